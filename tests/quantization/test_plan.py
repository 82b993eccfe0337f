"""Plans: within every budget that is possible, and exact to the byte before any codebook is made."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest

from fmcompress.checkpoints import FMCheckpoint
from fmcompress.errors import BudgetError
from fmcompress.fm.schema import Schema
from fmcompress.methods.auto.bit_allocation import allocate_bits, price_candidates
from fmcompress.quantization.codebooks import fit_codebooks
from fmcompress.quantization.sensitivity import from_moments
from fmcompress.serve.compressed_fm import load
from tests.models import ODD_NAMES, origin, pack_model, random_checkpoint, random_ids

pytestmark = pytest.mark.slow

SIZES = (40, 1, 700, 7, 130)


def planned(checkpoint, budget):
    sensitivity = from_moments(checkpoint, checkpoint.counts)
    priced = price_candidates(checkpoint, checkpoint.counts, sensitivity, seed=7)
    return allocate_bits(priced, origin(budget_bytes=budget)), sensitivity


def made(checkpoint, budget):
    plan, sensitivity = planned(checkpoint, budget)
    model = fit_codebooks(checkpoint, sensitivity, plan.quantizers, seed=7, tiers=plan.tiers, metric=plan.metrics)
    return plan, pack_model(model, origin(budget_bytes=budget))


def smallest_of(checkpoint):
    with pytest.raises(BudgetError) as caught:
        planned(checkpoint, 1)
    return caught.value.smallest_bytes


@pytest.fixture(scope="module")
def checkpoint():
    return random_checkpoint(SIZES, dim=6)


@pytest.fixture(scope="module")
def sizes(checkpoint):
    """Return the smallest and the largest size that an artifact of the checkpoint can have."""
    return smallest_of(checkpoint), planned(checkpoint, 10**9)[0].largest_bytes


@pytest.mark.parametrize("share", [0, 0.01, 0.1, 0.33, 0.5, 0.77, 0.95, 1, 1.5])
def test_the_file_has_the_planned_size_and_fits_the_budget(tmp_path, checkpoint, sizes, share):
    smallest, largest = sizes
    budget = round(smallest + share * (largest - smallest))
    plan, model = made(checkpoint, budget)
    model.save(tmp_path / "a")
    assert (tmp_path / "a").stat().st_size == model.file_bytes == plan.file_bytes <= budget
    assert plan.largest_bytes == largest
    assert plan.quantizers == load(tmp_path / "a").header.quantizers


def test_the_largest_artifact_is_the_checkpoint_in_half_precision(checkpoint, sizes):
    plan, model = made(checkpoint, sizes[1])
    assert plan.file_bytes == sizes[1]
    assert sum(model.header.errors) == 0
    assert model.values.size == checkpoint.embeddings.size + checkpoint.linear.size


def test_a_budget_one_byte_below_the_smallest_is_refused_and_says_what_works(checkpoint, sizes):
    for budget in (1, 10, 500, sizes[0] - 1):
        with pytest.raises(BudgetError, match=rf"the smallest artifact of this model has {sizes[0]:,} bytes") as caught:
            planned(checkpoint, budget)
        assert caught.value.smallest_bytes == sizes[0]
        assert f"--budget {sizes[0]}" in caught.value.hint
    assert planned(checkpoint, sizes[0])[0].file_bytes <= sizes[0]


@pytest.mark.parametrize("letters", range(1, 9))
def test_the_smallest_size_works_however_many_digits_it_has(letters):
    checkpoint = random_checkpoint((3,), dim=2)
    checkpoint = dataclasses.replace(checkpoint, schema=Schema.of([("n" * letters, 3)]))
    smallest = smallest_of(checkpoint)
    assert planned(checkpoint, smallest)[0].file_bytes <= smallest
    with pytest.raises(BudgetError):
        planned(checkpoint, smallest - 1)


def test_more_bytes_are_never_expected_to_predict_worse(checkpoint, sizes):
    budgets = np.linspace(*sizes, 12).astype(int).tolist()
    errors = [sum(made(checkpoint, budget)[1].header.errors) for budget in budgets]
    assert all(later <= earlier * (1 + 1e-6) for earlier, later in pairwise(errors))


def test_the_same_seed_gives_the_same_bytes(tmp_path, checkpoint):
    for name in "ab":
        made(checkpoint, 6000)[1].save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def edge(name):
    checkpoint = random_checkpoint((40, 30), dim=4)
    embeddings, linear, counts = checkpoint.embeddings, checkpoint.linear, checkpoint.counts
    changes = {
        "equal embeddings": {"embeddings": np.ones_like(embeddings)},
        "zero embeddings": {"embeddings": np.zeros_like(embeddings)},
        "all zero": {"embeddings": np.zeros_like(embeddings), "linear": np.zeros_like(linear)},
        "few different embeddings": {"embeddings": np.round(embeddings)},
        "huge embeddings": {"embeddings": embeddings * np.float32(1e15)},
        "tiny embeddings": {"embeddings": embeddings * np.float32(1e-30)},
        "one huge row": {"embeddings": np.where(np.arange(70)[:, None] == 3, np.float32(1e6), embeddings)},
        "no counts": {"counts": None},
        "counts of zero": {"counts": np.zeros_like(counts)},
        "one category has it all": {"counts": np.where(np.arange(70) == 5, 10**12, 0)},
        "huge bias": {"bias": 1e4},
        "odd names": {"schema": Schema.of(zip(ODD_NAMES, (10, 20, 20, 10, 10), strict=True))},
    }
    return dataclasses.replace(checkpoint, **changes[name])


EDGES = [
    *("equal embeddings", "zero embeddings", "all zero", "few different embeddings", "huge embeddings"),
    *("tiny embeddings", "one huge row", "no counts", "counts of zero", "one category has it all"),
    *("huge bias", "odd names"),
]


def assert_sound(tmp_path, checkpoint):
    """Check artifacts from the smallest to the largest: they fit, load, and predict probabilities."""
    smallest = smallest_of(checkpoint)
    largest = planned(checkpoint, 10**9)[0].largest_bytes
    for budget in (smallest, (smallest + largest) // 2, largest):
        plan, model = made(checkpoint, budget)
        model.save(tmp_path / "a", force=True)
        assert (tmp_path / "a").stat().st_size == plan.file_bytes <= budget
        found = load(tmp_path / "a").predict(random_ids(checkpoint.schema, 50))
        assert ((found >= 0) & (found <= 1)).all()
    return model


@pytest.mark.parametrize("name", EDGES)
def test_odd_models_are_quantized(tmp_path, name):
    assert_sound(tmp_path, edge(name))


@pytest.mark.parametrize(
    ("sizes", "dim"), [((1,), 1), ((1,), 8), ((1, 1, 1), 4), ((200,), 8), ((200,), 1), ((50, 60), 1), ((2, 3), 64)]
)
def test_small_shapes_are_quantized(tmp_path, sizes, dim):
    assert_sound(tmp_path, random_checkpoint(sizes, dim=dim))


def test_the_largest_artifact_predicts_as_the_checkpoint_does(tmp_path):
    from fmcompress.fm.scorer import FMScorer

    checkpoint = random_checkpoint(SIZES, dim=6)
    model = assert_sound(tmp_path, checkpoint)
    ids = random_ids(checkpoint.schema, 300)
    np.testing.assert_allclose(model.predict(ids), FMScorer(checkpoint).predict(ids), atol=1e-3)


def test_quantizing_leaves_the_checkpoint_as_it_was(checkpoint):
    same = random_checkpoint(SIZES, dim=6)
    made(checkpoint, 6000)
    assert isinstance(checkpoint, FMCheckpoint)
    np.testing.assert_array_equal(checkpoint.embeddings, same.embeddings)
    np.testing.assert_array_equal(checkpoint.linear, same.linear)
