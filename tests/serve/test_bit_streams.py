"""Codes and tiers read from the packed streams, against unpacking all of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmcompress.artifact import unpack_model
from fmcompress.artifact.layout import field_layouts, tier_layouts
from fmcompress.serve.bit_streams import CodeReader, TierRanks, as_words
from fmcompress.serve.memory import directory_bytes
from tests.models import EVERY_SHAPE, TIERED_SHAPES, packed


def assert_codes_read(model):
    expected = unpack_model(model).fields
    for tier, field in zip(tier_layouts(model.header), expected, strict=True):
        codes = np.concatenate([field.codes, field.linear_codes.reshape(len(field.codes), -1)], axis=1)
        ids = np.arange(tier.cardinality, dtype=np.uint64)[:, None]
        if codes.shape[1]:
            found = CodeReader(as_words(model.codes), [tier]).read(ids)
            np.testing.assert_array_equal(found[:, :, 0].T, codes)


@pytest.mark.parametrize("shape", EVERY_SHAPE)
def test_every_code_of_every_shape_is_read(shape):
    assert_codes_read(packed(*EVERY_SHAPE[shape]))


@settings(deadline=None)
@given(
    codewords=st.lists(st.sampled_from([1, 2, 3, 100, 1024, 4096]), min_size=1, max_size=14),
    rows=st.integers(1, 30),
    before=st.integers(1, 20),
)
def test_windows_reach_across_words_wherever_a_stream_begins(codewords, rows, before):
    name = ",".join(map(str, [*codewords, 7, 8]))
    assert_codes_read(packed(16, f"{before} 1x8 raw", f"{rows} {name} raw"))


def test_words_have_room_to_read_beyond_the_end():
    for size in range(20):
        codes = np.full(size, 255, dtype=np.uint8)
        words = as_words(codes)
        assert words.view(np.uint8)[:size].tolist() == [255] * size
        assert len(words) >= (size * 8) // 64 + 2
        assert not words.view(np.uint8)[size:].any()


def assert_tiers_found(model):
    layouts = list(field_layouts(model.header))
    tiered = {column: field for column, field in enumerate(layouts) if field.tier_bytes}
    ranks = TierRanks(as_words(model.codes), layouts)
    assert ranks.columns == list(tiered)
    assert ranks._counts.nbytes == sum(map(directory_bytes, layouts))
    of = {column: own for column, own in enumerate(model.schema.split(model.tiers.of)) if column in tiered}
    ids = np.stack([np.arange(max(map(len, of.values()))) % len(own) for own in of.values()], axis=1)
    tiers, places = ranks.find(ids)
    for column, own in enumerate(of.values()):
        expected = np.array([np.cumsum(own == tier) - 1 for tier in range(own.max() + 1)])
        np.testing.assert_array_equal(tiers[:, column], own[ids[:, column]])
        np.testing.assert_array_equal(places[:, column], expected[own, np.arange(len(own))][ids[:, column]])


@pytest.mark.parametrize("shape", [name for name in TIERED_SHAPES if name != "int8"])
def test_the_tier_of_every_category_is_found(shape):
    assert_tiers_found(packed(*TIERED_SHAPES[shape]))


@settings(deadline=None)
@given(
    fields=st.lists(st.lists(st.integers(1, 150), min_size=2, max_size=4), min_size=1, max_size=3),
    before=st.integers(1, 40),
    seed=st.integers(0, 99),
)
def test_streams_may_begin_and_end_anywhere_in_a_word(fields, before, seed):
    described = [" | ".join(f"{size} 1x8 raw" for size in sizes) for sizes in fields]
    assert_tiers_found(packed(2, f"{before} 1x8 raw", *described, seed=seed))


@pytest.mark.parametrize("tiers", [2, 3, 4])
def test_tiers_of_one_category_and_of_almost_all(tiers):
    rare = " | ".join(["1 shared shared"] * (tiers - 1))
    assert_tiers_found(packed(2, f"5000 shared shared | {rare}", f"{rare} | 5000 shared shared"))
