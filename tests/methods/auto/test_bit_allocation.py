"""Where fields are cut into tiers, and the allocation of bytes to them."""

from itertools import product

import numpy as np
import pytest

from fmcompress.artifact import Frame
from fmcompress.artifact.header import fixed_bytes
from fmcompress.data.batch import Batch
from fmcompress.data.click_model import draw_clicks, random_click_model
from fmcompress.errors import BudgetError
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.schema import Schema
from fmcompress.methods.auto.bit_allocation import allocate_bits, price_candidates, tier_splits
from fmcompress.methods.auto.candidates import FieldCandidate, TierCandidate
from fmcompress.methods.auto.held_out_loss import prepare_held_out
from fmcompress.progress import SILENT
from fmcompress.quantization.field_weights import all_weights
from fmcompress.quantization.knapsack import allocate
from fmcompress.quantization.sensitivity import from_moments
from tests.conftest import SEED
from tests.models import origin, random_checkpoint

SMALL = random_checkpoint((9, 30, 4), dim=2)
SCHEMA = Schema.of([("user", 200), ("item", 60), ("city", 5)])
CLICKS = random_click_model(SCHEMA, dim=4, seed=SEED)
COUNTS = np.random.default_rng(2).zipf(1.4, SCHEMA.categories).clip(max=10**5)
CHECKPOINT = FMCheckpoint(SCHEMA, CLICKS.bias, CLICKS.linear, CLICKS.embeddings, counts=COUNTS)


@pytest.fixture(scope="module")
def batch():
    drawn = draw_clicks(CLICKS, 3000, seed=4)
    return Batch(drawn.ids, drawn.labels)


@pytest.fixture(scope="module")
def priced(batch):
    return price_candidates(CHECKPOINT, COUNTS, from_moments(CHECKPOINT, COUNTS), batch, seed=0)


def test_the_plan_is_the_best_of_all_combinations():
    priced = price_candidates(SMALL, None, from_moments(SMALL, None), seed=0)
    (fields,) = priced.blends
    everything = [(sum(c.payload_bytes for c in combination), sum(c.error for c in combination))
                  for combination in product(*fields)]  # fmt: skip
    fixed = fixed_bytes(Frame.of(SMALL), origin(budget_bytes=1000))
    smallest = fixed + min(size for size, _ in everything)
    for budget in (smallest, smallest + 7, smallest + 40, smallest + 90, 3000):
        plan = allocate_bits(priced, origin(budget_bytes=budget))
        room = budget - fixed_bytes(Frame.of(SMALL), origin(budget_bytes=budget))
        best = min(error for size, error in everything if size <= room)
        found = sum(
            next(c.error for c in own if c.tiers[0].quantizer == quantizer)
            for own, quantizer in zip(fields, plan.quantizers, strict=True)
        )
        assert found == pytest.approx(best, rel=1e-6, abs=1e-12)
        assert plan.rises is None


def test_a_budget_that_is_too_small_is_told_with_the_least_that_works(priced):
    with pytest.raises(BudgetError) as caught:
        allocate_bits(priced, origin(budget_bytes=20))
    least = caught.value.smallest_bytes
    assert allocate_bits(priced, origin(budget_bytes=least)).file_bytes <= least


def test_rises_are_what_each_tier_does_to_the_loss_with_the_others_as_they_are(batch, priced):
    plan = allocate_bits(priced, origin(budget_bytes=2500))
    weights = all_weights(CHECKPOINT, from_moments(CHECKPOINT, COUNTS))
    fresh = prepare_held_out(weights, CHECKPOINT, priced.splits, batch, seed=0, progress=SILENT)
    measured, rises = fresh.measured(), iter(zip(plan.rises, plan.quantizers, plan.metrics, strict=True))
    for field, sizes in enumerate(plan.tiers.sizes):
        split = next(number for number, of in enumerate(priced.splits[field]) if of.max() + 1 == len(sizes))
        for tier in measured[field][split]:
            rise, quantizer, metric = next(rises)
            (embeddings,) = [c for c in tier.embeddings if c.codewords == quantizer.codewords
                             and (not c.codewords or c.metric == metric)]  # fmt: skip
            (linear,) = [c for c in tier.linear if sum(c.codewords) == quantizer.linear_codewords]
            rounding = tier.rounded([embeddings], quantizer.value_bits)[0] + tier.rounding.linear[quantizer.value_bytes]
            assert rise == pytest.approx(embeddings.error + linear.error + rounding)


def test_the_plan_is_no_worse_on_held_out_rows_than_any_allocation_it_starts_from(priced):
    for budget in (1500, 3000):
        plan = allocate_bits(priced, origin(budget_bytes=budget))
        allowed = budget - fixed_bytes(Frame.of(CHECKPOINT), origin(budget_bytes=budget))
        stored = iter(map(TierCandidate, plan.quantizers, *[[0] * len(plan.quantizers)] * 2, plan.metrics))
        chosen = [
            FieldCandidate(len(sizes) - 1, tuple(next(stored) for _ in sizes), 0, 0.0) for sizes in plan.tiers.sizes
        ]
        losses = []
        for allocation in (chosen, *(allocate(fields, allowed) for fields in priced.blends)):
            priced.held_out.substitute(allocation)
            losses.append(priced.held_out.loss())
        assert losses[0] <= min(losses[1:]) + 1e-9


def test_the_frequent_categories_are_the_first_tier():
    counts = np.where(np.arange(300) % 3 == 0, 1000, 3) + np.arange(300) % 2
    whole, cut = tier_splits(counts, 300)
    assert not whole.any()
    np.testing.assert_array_equal(cut == 0, counts >= 1000)


@pytest.mark.parametrize(
    ("counts", "cardinality"),
    [(None, 300), (np.full(300, 7), 300), (np.arange(20), 20), (np.array([5]), 1)],
    ids=["no counts", "equal counts", "few categories", "one category"],
)
def test_fields_stay_whole_where_there_is_nothing_to_tell_categories_apart(counts, cardinality):
    (whole,) = tier_splits(counts, cardinality)
    np.testing.assert_array_equal(whole, np.zeros(cardinality))


def test_no_tier_is_empty():
    rng = np.random.default_rng(0)
    for seed in range(20):
        counts = np.random.default_rng(seed).zipf(1.5, 200).clip(max=10**9)
        counts[rng.integers(200)] += 1
        for of in tier_splits(counts, 200):
            assert set(of) == set(range(int(of.max()) + 1))
