"""Codes assigned anew: the best ones of the quadratic model, and a lower loss."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from fmcompress.artifact import Origin, unpack_model
from fmcompress.checkpoints import FMCheckpoint
from fmcompress.data.click_model import draw_clicks, random_click_model, write_rows
from fmcompress.data.rows import count_categories, open_rows
from fmcompress.errors import UsageError
from fmcompress.evaluation.scores import score_rows
from fmcompress.finetune.options import MovingOptions, ReassignOptions, TuneOptions
from fmcompress.fm.quantizer import Quantizer
from fmcompress.fm.schema import Schema
from fmcompress.fm.scorer import FMScorer
from fmcompress.fm.tiers import Tiers
from fmcompress.methods.auto import reassignment
from fmcompress.methods.auto.reassignment import reassign
from fmcompress.quantization.codebooks import fit_codebooks
from fmcompress.quantization.sensitivity import from_rows
from tests.conftest import SEED
from tests.finetuned import finetune
from tests.models import pack_model

pytestmark = pytest.mark.slow

SCHEMA = Schema.of([("user", 60), ("item", 50), ("city", 5)])
CLICKS = random_click_model(SCHEMA, dim=4, seed=SEED)
TEACHER = FMCheckpoint(SCHEMA, CLICKS.bias, CLICKS.linear, CLICKS.embeddings)
TIERS = Tiers(SCHEMA, (np.arange(SCHEMA.categories) % 2 * (np.arange(SCHEMA.categories) < 60)).astype(np.uint8))
QUANTIZERS = (Quantizer((4, 2), 3), Quantizer((1, 4), 0, 1), Quantizer((3,), 4), Quantizer())


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    for seed, name in enumerate(("train", "valid")):
        write_rows(draw_clicks(CLICKS, 5000, seed=seed), SCHEMA, folder / f"{name}.parquet")
    return [open_rows(folder / f"{name}.parquet", SCHEMA) for name in ("train", "valid")]


@pytest.fixture(scope="module")
def costs(rows):
    return from_rows(TEACHER, rows[0], count_categories(rows[0]), seed=0)


@pytest.fixture(scope="module")
def coarse(costs):
    return fit_codebooks(TEACHER, costs, QUANTIZERS, seed=0, tiers=TIERS)


def reassigned(model, batch, targets, costs, prior):
    return reassign(model, batch, targets, teacher=TEACHER, sensitivity=costs, prior=prior)


def sample_of(rows):
    (batch,) = rows.batches()
    return batch, FMScorer(TEACHER).predict(batch.ids)


def model_of_loss(model, batch, targets, tier, category, prior, costs):
    """Return g and H of one category as their equations say, in plain loops over rows."""
    ids = TIERS.ids(batch.ids)
    column = int(TIERS.field_of[tier])
    embeddings = np.empty_like(TEACHER.embeddings)
    linear = np.empty_like(TEACHER.linear)
    embeddings[TIERS.order] = np.concatenate([field.embeddings() for field in model.fields])
    linear[TIERS.order] = np.concatenate([field.linear() for field in model.fields])
    scorer = FMScorer(replace(TEACHER, bias=model.bias, embeddings=embeddings, linear=linear))
    row = TIERS.order[TIERS.as_fields.rows(tier)][category]
    current = np.append(embeddings[row], linear[row]).astype(np.float64)
    wanted = np.append(TEACHER.embeddings[row], TEACHER.linear[row]).astype(np.float64)
    average = np.zeros((5, 5))
    average[:4, :4], average[4, 4] = costs.hessians[column], costs.curvatures[column]
    gradient, hessian = prior * average @ (current - wanted), prior * average
    for one in np.flatnonzero(ids[:, tier] == category):
        logits, sums = scorer.logits_and_sums(batch.ids[one : one + 1])
        p = 1 / (1 + np.exp(-float(logits[0])))
        u = np.append(sums[0] - embeddings[row], 1).astype(np.float64)
        gradient = gradient + (p - float(targets[one])) * u
        hessian = hessian + p * (1 - p) * np.outer(u, u)
    return current, gradient, hessian


def test_no_single_code_would_be_better(rows, costs, coarse):
    """The tier that is assigned last sees all others as they end: there the quadratic model can be recomputed."""
    batch, targets = sample_of(rows[0])
    prior = 5.0
    found = reassigned(coarse, batch, targets, costs, prior)
    sizes = [
        field.quantizer.row_bits * size
        for field, size in zip(coarse.fields, TIERS.as_fields.cardinalities, strict=True)
    ]
    tier = min((p for p in range(4) if sizes[p]), key=lambda p: (sizes[p], -p))
    before = replace(
        found,
        fields=tuple(c if p == tier else f for p, (c, f) in enumerate(zip(coarse.fields, found.fields, strict=True))),
    )
    field = found.fields[tier]
    for category in range(0, int(TIERS.as_fields.cardinalities[tier]), 3):
        current, gradient, hessian = model_of_loss(before, batch, targets, tier, category, prior, costs)

        def cost(codes, linear, current=current, gradient=gradient, hessian=hessian):
            vector = np.concatenate([table[code] for table, code in zip(field.tables, codes, strict=True)])
            shift = np.append(vector, field.linear_table[linear]) - current
            return gradient @ shift + 0.5 * shift @ hessian @ shift

        codes = field.codes[category].tolist()
        raw = field.quantizer.linear_raw
        linear = category if raw else int(field.linear_codes[category])
        chosen = cost(codes, linear)
        before_codes = coarse.fields[tier].codes[category].tolist()
        before_linear = category if raw else int(coarse.fields[tier].linear_codes[category])
        assert chosen <= cost(before_codes, before_linear) + 1e-4
        if len(codes) == 1:
            best = min(cost([k], w) for k, w in product(range(len(field.tables[0])), [linear]))
            assert chosen == pytest.approx(best, abs=1e-3 * (1 + abs(best)))


def test_chunks_and_blocks_only_bound_the_memory(rows, costs, coarse, monkeypatch):
    batch, targets = sample_of(rows[0])
    whole = reassigned(coarse, batch, targets, costs, 10.0)
    for name, size in (("_BLOCK_BYTES", 4 * 25 * 3), ("_CHUNK_ROWS", 500), ("_CHUNK_CATEGORIES", 7)):
        monkeypatch.setattr(reassignment, name, size)
    small = reassigned(coarse, batch, targets, costs, 10.0)
    same = [np.mean(a.codes == b.codes) for a, b in zip(whole.fields, small.fields, strict=True) if a.codes.size]
    assert min(same) > 0.95  # sums in another order may tip a category between two codewords that cost the same


def test_a_field_that_no_row_has_stays_near_the_checkpoint(rows, costs, coarse):
    """Without rows the prior alone decides: the nearest codewords in the metric of the loss."""
    batch, targets = sample_of(rows[0])
    ids = batch.ids.copy()
    ids[:, 1] = -1
    found = reassigned(coarse, replace(batch, ids=ids), targets, costs, 10.0)
    field, vectors = found.fields[2], TEACHER.embeddings[SCHEMA.rows(1)]
    shift = field.tables[0][None] - vectors[:, None]
    atier = np.einsum("nkd,de,nke->nk", shift, costs.hessians[1], shift)
    np.testing.assert_allclose(atier[np.arange(50), field.codes[:, 0]], atier.min(axis=1), rtol=1e-3, atol=1e-7)


def test_assigned_codes_lower_the_loss_and_nothing_else_changes(rows, costs, coarse):
    batch, targets = sample_of(rows[0])
    found = reassigned(coarse, batch, targets, costs, 10.0)
    packed = [pack_model(model, Origin(1, "auto", 0)) for model in (coarse, found)]
    before, after = (score_rows(model, rows[1]) for model in packed)
    assert after.logloss < before.logloss - 1e-3
    assert packed[0].file_bytes == packed[1].file_bytes
    for one, other in zip(coarse.fields, found.fields, strict=True):
        assert all(map(np.array_equal, one.tables, other.tables))
        np.testing.assert_array_equal(one.linear_table, other.linear_table)


def test_with_a_strong_prior_codes_stay_near_the_checkpoint(rows, costs, coarse):
    batch, targets = sample_of(rows[0])
    atier = []
    for prior in (0.1, 1e6):
        found = reassigned(coarse, batch, targets, costs, prior)
        decoded = np.concatenate([field.embeddings() for field in found.fields])
        atier.append(float(((decoded - TEACHER.embeddings[TIERS.order]) ** 2).sum()))
    assert atier[1] < atier[0]


def test_tuning_with_codes_assigned_anew_beats_fixed_ones(rows, costs, coarse):
    packed = pack_model(coarse, Origin(1, "auto", 0))
    start = score_rows(packed, rows[1])
    options = TuneOptions(epochs=4, batch_size=256)
    found = {
        name: finetune(
            packed, *rows, teacher=TEACHER, start=start, options=replace(options, reassign=how), sensitivity=costs
        )
        for name, how in (
            ("fixed", None),
            ("again", ReassignOptions(prior=10.0)),
            ("same", ReassignOptions(prior=10.0)),
        )
    }
    assert found["again"].scores.logloss < found["fixed"].scores.logloss < start.logloss
    np.testing.assert_array_equal(found["again"].model.codes, found["same"].model.codes)
    assert found["again"].model.file_bytes == packed.file_bytes
    changed = unpack_model(found["again"].model)
    assert any(
        not np.array_equal(one.codes, other.codes) for one, other in zip(changed.fields, coarse.fields, strict=True)
    )


@pytest.mark.parametrize("wrong", [{"prior": 0.0}, {"prior": float("nan")}, {"share": 1.5}])
def test_senseless_settings_are_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        ReassignOptions(**wrong)


def test_codes_change_in_one_way_only():
    with pytest.raises(UsageError, match="either move"):
        TuneOptions(moving=MovingOptions(), reassign=ReassignOptions())
