"""Places and centred tables: what is looked up is what is stored, and every byte of it can be read again."""

import numpy as np
import pytest

from fmcompress.backbones.vanilla_fm import RowNumbers
from fmcompress.baselines import Trial
from fmcompress.baselines.centred import CentredTable
from fmcompress.baselines.places import packed_places
from fmcompress.baselines.tuning import StoredModule, begin_tuning_stored
from fmcompress.data.batch import Batch
from fmcompress.fm.scorer import FMScorer
from tests.models import random_ids


def rice_places(packed, things, number):
    """Return which are meant of a Rice code of so many places, read bit by bit."""
    low_bits, inverted = packed[0] % 64, packed[0] >= 64
    bits, meant, place = iter(np.unpackbits(packed[1:]).tolist()), np.zeros(things, bool), -1
    for _ in range(things - number if inverted else number):
        gap = 0
        while next(bits):
            gap += 1
        for _ in range(low_bits):
            gap = 2 * gap + next(bits)
        place += gap + 1
        meant[place] = True
    return meant != inverted


@pytest.mark.parametrize("share", [0.0, 0.003, 0.1, 0.5, 0.98, 1.0])
def test_places_are_read_again_from_no_more_than_a_bitmap(share):
    meant = np.random.default_rng(0).random(3000) < share
    packed = packed_places(meant)
    assert len(packed) <= 1 + 375
    if packed[0] == 255:
        np.testing.assert_array_equal(np.unpackbits(packed[1:])[:3000], meant)
    else:
        np.testing.assert_array_equal(rice_places(packed, 3000, int(meant.sum())), meant)
    if share == 0.003:
        assert len(packed) < 25


@pytest.fixture
def pruned(task):
    """A model with 0 to 8 bits and some numbers pruned, trained for some steps."""
    source, rng = task.source, np.random.default_rng(2)
    bits = rng.integers(0, 9, source.schema.categories).astype(np.uint8)
    kept = rng.random(source.embeddings.shape) < 0.5
    table = CentredTable(source.schema, np.asarray(source.embeddings), task.counts, bits, kept)
    linear = CentredTable(source.schema, source.linear[:, None], task.counts, bits, lists_bits=False)
    module = StoredModule(source, linear, table)
    run = begin_tuning_stored(module, Trial(0.0, 1e-2, 1e-4), task)
    ids = random_ids(source.schema, 500)
    for _ in range(10):
        run.step(Batch(ids, rng.integers(0, 2, len(ids)).astype(np.float32)))
    return module


def test_a_trained_table_predicts_what_is_stored(pruned, task):
    schema, stored = task.source.schema, pruned.stored()
    ids = random_ids(schema, 300)
    logits = pruned(RowNumbers(schema)(Batch(ids, np.zeros(300, np.float32))))[0].detach()
    scored, _ = FMScorer(stored.decode()).logits_and_sums(ids)
    np.testing.assert_allclose(logits, scored, atol=1e-4)


def test_what_is_stored_is_what_a_plain_reference_makes_of_codes_steps_and_centres(pruned, task):
    rows, schema = pruned.embeddings.stored(), task.source.schema
    decoded, number, category = rows.decode(), 0, 0
    for field, own in enumerate(schema.fields):
        centre = rows.centres[field] * float(rows.centre_steps[field])
        for _ in range(own.cardinality):
            bits, expected = int(rows.bits[category]), centre.copy()
            if bits:
                shift = (rows.codes[number] + (0.5 if bits < 4 else 0)) * float(rows.steps[field, bits])
                expected += shift * rows.kept[number]
                assert rows.codes[number].min() >= -(2 ** (bits - 1))
                assert rows.codes[number].max() < 2 ** (bits - 1)
                number += 1
            np.testing.assert_allclose(decoded[category], expected, atol=1e-5)
            category += 1


def test_every_part_of_a_table_takes_its_bytes(pruned, task):
    rows, schema = pruned.embeddings.stored(), task.source.schema
    left, listed = rows.bits, len(np.unique(rows.bits))
    for level in np.unique(rows.bits)[:-1]:
        listed += len(packed_places(left > level))
        left = left[left > level]
    used = [set(own.tolist()) - {0} for own in schema.split(rows.bits)]
    numbers = [int(rows.kept[rows.bits[rows.bits > 0] == bits].sum()) for bits in range(1, 9)]
    codes = sum(-(-number * bits // 8) for bits, number in enumerate(numbers, start=1))
    centres = rows.centres.size + 2 * len(schema) + 2 * sum(map(len, used))
    packed = rows.arrays()["packed"]
    assert packed.nbytes == listed + len(packed_places(rows.kept.ravel())) + centres + codes
    linear = pruned.linear.stored()
    without = 2 * len(schema) + len(schema) + 2 * sum(map(len, used))
    own = sum(-(-int((rows.bits == bits).sum()) * bits // 8) for bits in range(1, 9))
    assert linear.arrays()["packed"].nbytes == without + own  # the bits are listed once
