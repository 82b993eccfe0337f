"""The rise of the loss on held-out rows is what a candidate really does to it."""

from dataclasses import replace

import numpy as np
import pytest

from fmcompress.checkpoints import FMCheckpoint
from fmcompress.data.batch import Batch
from fmcompress.data.click_model import draw_clicks, random_click_model
from fmcompress.errors import BudgetError
from fmcompress.evaluation.calibration import fit_offset
from fmcompress.fm.links import Link, parse_link
from fmcompress.fm.quantizer import Quantizer
from fmcompress.fm.schema import Schema
from fmcompress.fm.scorer import FMScorer
from fmcompress.methods.auto.bit_allocation import allocate_bits, price_candidates, tier_splits
from fmcompress.methods.auto.candidates import FieldCandidate, TierCandidate
from fmcompress.methods.auto.held_out_loss import enough_rows, prepare_held_out
from fmcompress.methods.auto.held_out_rows import held_out_model
from fmcompress.progress import SILENT
from fmcompress.quantization.field_weights import all_weights
from fmcompress.quantization.sensitivity import from_moments
from tests import kinds, pooled
from tests.conftest import SEED
from tests.models import origin

SCHEMA = Schema.of([("user", 300), ("item", 160), ("city", 12), ("one", 1)])
CLICKS = random_click_model(SCHEMA, dim=6, seed=SEED)
COUNTS = np.random.default_rng(1).zipf(1.4, SCHEMA.categories).clip(max=10**6)
CHECKPOINT = FMCheckpoint(SCHEMA, CLICKS.bias, CLICKS.linear, CLICKS.embeddings, counts=COUNTS)


@pytest.fixture(scope="module")
def batch():
    drawn = draw_clicks(CLICKS, 3000, seed=3)
    ids = drawn.ids.copy()
    ids[np.random.default_rng(0).random(ids.shape) < 0.05] = -1
    return Batch(ids, drawn.labels)


@pytest.fixture(scope="module")
def splits():
    return [tier_splits(own, len(own)) for own in SCHEMA.split(COUNTS)]


def held_out(batch, splits):
    weights = all_weights(CHECKPOINT, from_moments(CHECKPOINT, COUNTS))
    return prepare_held_out(weights, CHECKPOINT, splits, batch, seed=0, progress=SILENT)


def test_what_calibration_gives_back_is_no_price(batch, splits):
    plain = held_out(batch, splits)
    moved = replace(plain, labels=np.minimum(plain.labels + (np.arange(len(batch)) % 3 == 0), 1.0))  # more clicks
    found = replace(moved, calibrated=True)
    assert found.loss() < moved.loss() - 0.01
    by = fit_offset(moved.model.score(moved.seen).logits, moved.labels, moved.link)
    shifted = replace(moved, model=held_out_model(replace(CHECKPOINT, bias=CHECKPOINT.bias + by), batch.values))
    ours, theirs = ([one.error for one in each.measured()[0][0][0].embeddings] for each in (found, shifted))
    assert ours == pytest.approx(theirs, abs=1e-6)


def true_loss(checkpoint, batch):
    logits = FMScorer(checkpoint).logits_and_sums(batch.ids)[0].astype(np.float64)
    return float(Link("sigmoid").losses(logits, batch.labels.astype(np.float64)).mean())


def with_field(column, own, embeddings, linear):
    """Return the checkpoint with other weights of some categories of a field."""
    rows = np.arange(SCHEMA.categories)[SCHEMA.rows(column)][own]
    changed = CHECKPOINT.embeddings.copy(), CHECKPOINT.linear.copy()
    changed[0][rows], changed[1][rows] = embeddings, linear
    return replace(CHECKPOINT, embeddings=changed[0], linear=changed[1])


def test_the_rise_of_one_field_is_the_true_change_of_the_loss(batch, splits):
    found = held_out(batch, splits)
    before = true_loss(CHECKPOINT, batch)
    assert found.loss() == pytest.approx(before, abs=1e-7)
    checked = 0
    for column, ways in enumerate(found.measured()):
        for split, way in enumerate(ways):
            for tier, candidates in enumerate(way):
                codebooks = found.tiers[column][split][tier]
                seen = found.seen[column].categories[codebooks.tier.places]
                linear = candidates.linear[-1]
                for candidate in candidates.embeddings[::7]:
                    shown = codebooks.decoded(candidate), codebooks.decoded_linear(linear.codewords)
                    own = CHECKPOINT.linear[SCHEMA.rows(column)][seen]
                    changed = true_loss(with_field(column, seen, shown[0], own), batch)
                    assert candidate.error == pytest.approx(changed - before, abs=2e-7)
                    checked += 1
                own = CHECKPOINT.embeddings[SCHEMA.rows(column)][seen]
                changed = true_loss(with_field(column, seen, own, shown[1]), batch)
                assert linear.error == pytest.approx(changed - before, abs=2e-7)
    assert checked > 30


def test_after_substitution_the_loss_is_that_of_the_chosen_candidates(batch, splits):
    found = held_out(batch, splits)
    chosen, checkpoint = [], CHECKPOINT
    for column, ways in enumerate(found.measured()):
        candidate = ways[0][0].embeddings[min(1, len(ways[0][0].embeddings) - 1)]
        chosen.append(
            FieldCandidate(0, (TierCandidate(Quantizer(candidate.codewords, 0), 0, 0.0, candidate.metric),), 0, 0.0)
        )
        codebooks = found.tiers[column][0][0]
        seen = found.seen[column].categories
        changed = with_field(column, seen, codebooks.decoded(candidate), CHECKPOINT.linear[SCHEMA.rows(column)][seen])
        rows = SCHEMA.rows(column)
        embeddings = checkpoint.embeddings.copy()
        embeddings[rows] = changed.embeddings[rows]
        checkpoint = replace(checkpoint, embeddings=embeddings)
    found.substitute(chosen)
    assert found.loss() == pytest.approx(true_loss(checkpoint, batch), abs=1e-6)
    # With the others so stored, a candidate that stands for the field already changes nothing.
    for ways, stored in zip(found.measured(), chosen, strict=True):
        assert ways[0][0].rise(stored.tiers[0]) == pytest.approx(0, abs=1e-7)


@pytest.mark.slow
def test_plans_on_held_out_rows_fit_any_budget_and_are_the_same_again(batch):
    sensitivity = from_moments(CHECKPOINT, COUNTS)
    priced = price_candidates(CHECKPOINT, COUNTS, sensitivity, batch, seed=0)
    with pytest.raises(BudgetError) as caught:
        allocate_bits(priced, origin(budget_bytes=10))
    for budget in (caught.value.smallest_bytes, 2500, 5000, 10**6):
        plan = allocate_bits(priced, origin(budget_bytes=budget))
        assert plan.file_bytes <= budget
        assert plan == replace(allocate_bits(priced, origin(budget_bytes=budget)), tiers=plan.tiers)
        assert len(plan.rises) == len(plan.quantizers) == len(plan.tiers.as_fields)


def test_fields_that_are_never_seen_and_categories_without_rows_are_stored_too(batch):
    ids = batch.ids[:40].copy()
    ids[:, 1] = -1
    priced = price_candidates(
        CHECKPOINT, COUNTS, from_moments(CHECKPOINT, COUNTS), Batch(ids, batch.labels[:40]), seed=0
    )
    plan = allocate_bits(priced, origin(budget_bytes=3000))
    assert plan.file_bytes <= 3000
    assert np.isfinite(plan.rises).all()


@pytest.mark.parametrize(("positives", "rows", "enough"), [(1000, 2000, True), (999, 5000, False), (4500, 5000, False)])
def test_prices_are_measured_where_there_are_enough_rows_of_both_labels(positives, rows, enough):
    labels = (np.arange(rows) < positives).astype(np.float32)
    assert enough_rows(Batch(np.zeros((rows, 4), np.int32), labels), Link("sigmoid")) is enough


def loss_of_kind(ckpt, batch):
    logits = FMScorer(ckpt).logits_and_sums(batch.ids, batch.values, batch.bags)[0].astype(np.float64)
    return float(parse_link(ckpt.link).losses(logits, batch.labels.astype(np.float64)).mean())


@pytest.mark.parametrize("kind", [*kinds.LINKS, "pooled", "pooled in other ways"])
def test_rises_are_what_candidates_do_to_the_loss_of_the_link(kind):
    """Whether fields have one value in a row or several: then their shifts are pooled."""
    if kind in kinds.LINKS:
        ckpt = kinds.checkpoint(kind)
        batch = kinds.batch(ckpt, 3000)
    else:
        poolings = ("sqrtn/sum", "each", "sum/mean", "each") if "other" in kind else ()
        ckpt = pooled.checkpoint(pooled.schema(*poolings))
        batch = pooled.batch(ckpt, 1500)
    weights = all_weights(ckpt, from_moments(ckpt, ckpt.counts))
    cut = [[np.zeros(field.cardinality, np.uint8)] for field in ckpt.schema.fields]
    held_out_loss = prepare_held_out(weights, ckpt, cut, batch, seed=0, progress=SILENT)
    before = loss_of_kind(ckpt, batch)
    assert held_out_loss.loss() == pytest.approx(before, abs=1e-6)
    for table, ((candidates,),) in enumerate(held_out_loss.measured()):
        codebooks, seen = held_out_loss.tiers[table][0][0], held_out_loss.seen[table].categories
        for candidate in candidates.embeddings[1::4]:
            embeddings = ckpt.embeddings.copy()
            embeddings[ckpt.schema.offsets[table] + seen] = codebooks.decoded(candidate)
            change = (
                loss_of_kind(replace(ckpt, embeddings=embeddings, schema=ckpt.schema.without_pads()), batch) - before
            )
            assert candidate.error == pytest.approx(change, abs=2e-6)
        coarse = candidates.linear[-1]
        linear = ckpt.linear.copy()
        linear[ckpt.schema.offsets[table] + seen] = codebooks.decoded_linear(coarse.codewords)
        change = loss_of_kind(replace(ckpt, linear=linear, schema=ckpt.schema.without_pads()), batch) - before
        assert coarse.error == pytest.approx(change, abs=2e-6)


def test_tiers_of_pooled_values_stand_in_for_the_field_together():
    """What is measured of one tier is right while other values of the same bags lie in another."""
    ckpt = pooled.checkpoint()
    batch = pooled.batch(ckpt, 800)
    weights = all_weights(ckpt, from_moments(ckpt, None))
    cut = [[(np.arange(field.cardinality) % 2).astype(np.uint8)] for field in ckpt.schema.fields]
    found = prepare_held_out(weights, ckpt, cut, batch, seed=0, progress=SILENT)
    before = loss_of_kind(ckpt, batch)
    for table, (way,) in enumerate(found.measured()):
        for codebooks, candidates in zip(found.tiers[table][0], way, strict=True):
            seen = found.seen[table].categories[codebooks.tier.places]
            embeddings = ckpt.embeddings.copy()
            embeddings[ckpt.schema.offsets[table] + seen] = codebooks.decoded(candidates.embeddings[-1])
            changed = replace(ckpt, embeddings=embeddings, schema=ckpt.schema.without_pads())
            assert candidates.embeddings[-1].error == pytest.approx(loss_of_kind(changed, batch) - before, abs=2e-6)
