"""Shared tails and the like: within tight budgets, better for more bytes, the same for the same seed."""

from dataclasses import replace

import numpy as np
import pytest

from fmcompress.baselines import Chosen, Trial, run_baselines
from fmcompress.baselines.contrastive_codes import CodedTable, contrastive_codebook
from fmcompress.baselines.mixed_precision import bytes_of_bits, frequency_groups, likely_bits
from fmcompress.baselines.shapley import shapley_values
from fmcompress.baselines.shared_tail import reduced, tailed_module
from fmcompress.errors import UsageError
from fmcompress.evaluation.scores import score_rows
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.schema import Schema

from .conftest import OPTIONS

pytestmark = pytest.mark.slow

KEYS = ["shared-tail", "mpe", "mec", "shaver"]
BUDGETS = (100, 600, 1200)  # the first cannot be met
SHORT = replace(OPTIONS, epochs=1, grid=OPTIONS.grid[:1])


@pytest.fixture(scope="module")
def points(source, data):
    return {key: list(run_baselines([key], source, data, BUDGETS, SHORT)) for key in KEYS}


@pytest.mark.parametrize("key", KEYS)
def test_tight_budgets_are_met_and_made_use_of(points, key):
    small, large = (point.file_bytes for point in points[key])
    assert 0.9 * 600 < small <= 600 < large <= 1200


@pytest.mark.parametrize("key", KEYS)
def test_training_helps_and_so_do_bytes(points, source, data, key):
    small, large = (score_rows(point.model, data.valid) for point in points[key])
    assert large.selection > small.selection
    untrained = next(run_baselines([key], source, data, BUDGETS[1:2], replace(SHORT, epochs=0)))
    if key != "mpe":  # whose search needs more steps than these
        assert small.selection >= score_rows(untrained.model, data.valid).selection


@pytest.mark.parametrize("key", KEYS)
def test_a_way_that_was_chosen_before_gives_the_same_model(points, source, data, key):
    first = points[key][0]
    options = replace(SHORT, chosen={key: first.chosen})
    again = next(run_baselines([key], source, data, BUDGETS[1:2], options))
    np.testing.assert_array_equal(first.model.embeddings, again.model.embeddings)
    options = replace(SHORT, chosen={key: Chosen("none", Trial(0, 1e-2, 0))})
    with pytest.raises(UsageError, match=f"variant of {key} is 'none', expected '"):
        next(run_baselines([key], source, data, BUDGETS[1:2], options))


def test_the_most_frequent_categories_are_kept_and_the_rest_of_a_field_is_one(task):
    schema = task.source.schema
    model = tailed_module(task.source, task.counts, 8, 40, every_linear=False).stored().decode()
    kept = np.zeros(schema.categories, bool)
    kept[np.argsort(-task.counts, kind="stable")[:40]] = True
    for own, linear, keeps in zip(*map(schema.split, (model.embeddings, model.linear, kept)), strict=True):
        assert len(np.unique(own[~keeps], axis=0)) <= 1 >= len(np.unique(linear[~keeps]))
    frequent = task.counts > np.sort(task.counts)[-40]
    assert np.abs(model.embeddings - task.source.embeddings)[frequent].max() < 0.1


def test_cut_embeddings_keep_most_of_all_products(task):
    source = task.source
    cut = reduced(source, task.counts, 6, seed=0)
    assert cut.embeddings.shape == (source.schema.categories, 6)
    weights = np.sqrt(task.counts[:, None])
    one, other = (weights * np.asarray(model.embeddings, np.float64) for model in (source, cut))
    assert np.linalg.norm(one @ one.T - other @ other.T) < 0.3 * np.linalg.norm(one @ one.T)


def test_shapley_values_of_a_row_add_up_to_what_the_loss_rises_by_where_all_is_taken_away(task, data):
    source = task.source
    placeholders = np.random.default_rng(0).normal(0, 0.1, (len(source.schema), source.dim + 1)).astype(np.float32)
    values = shapley_values(source, placeholders, data.rows, 0)
    assert values.shape == (source.schema.categories, source.dim + 1)
    assert not values[task.counts == 0].any()
    rows = placeholders.repeat(source.schema.cardinalities, axis=0)
    without = FMCheckpoint(source.schema, source.bias, rows[:, -1].copy(), rows[:, :-1].copy(), source.link)
    rise = score_rows(without, data.rows).logloss - score_rows(source, data.rows).logloss
    assert values.sum() == pytest.approx(rise, abs=1e-5)


def test_groups_have_like_counts_and_one_field():
    schema = Schema.of([("a", 300), ("b", 3)])
    counts = np.random.default_rng(0).integers(0, 1000, 303)
    groups = frequency_groups(schema, counts)
    assert np.bincount(groups).tolist() == [8, 16, 32, 64, 128, 52, 3]
    for group in range(5):
        assert counts[groups == group].min() >= counts[groups == group + 1].max()


def test_likely_bits_fill_a_budget_with_the_most_probable_ones():
    schema = Schema.of([("a", 4000)])
    groups = np.arange(4000) // 1000
    logs = np.zeros((4, 7))
    logs[0, 6], logs[1, 3], logs[2, 2] = 12.0, 5.0, 1.0
    for expected in ([6, 3, 2, 0], [6, 3, 0, 0], [6, 0, 0, 0]):
        wanted, none = np.array(expected, np.uint8)[groups], np.zeros(4000, np.uint8)
        budget = bytes_of_bits(schema, 16, wanted, none)
        own, linear = likely_bits([logs, 0 * logs], groups, 4000 - np.arange(4000), schema, 16, budget + 99)
        assert own[::1000].tolist() == expected
        assert not linear.any()


def test_codewords_are_near_what_they_stand_for_and_their_sums_and_rows_are_stored():
    rng = np.random.default_rng(0)
    middles, own = rng.normal(size=(8, 6)).astype(np.float32), rng.integers(0, 8, 500)
    table = middles[own] + rng.normal(0, 0.01, (500, 6)).astype(np.float32)
    codewords, codes = contrastive_codebook(table, rng.integers(0, 9, 500), 2, 8, seed=0)
    assert codewords.shape == (8, 2, 3)
    assert codes.shape == (500, 2)
    schema, sizes = Schema.of([("a", 500)]), np.array([8])
    rows = CodedTable(schema, sizes, codes, codewords, summed=False).stored()
    assert np.square(rows.decode() - table).mean() < 0.2 * table.var()
    assert rows.arrays()["packed"].nbytes == 2 + codewords.size + 500 * 2 * 3 // 8
    summed = CodedTable(schema, sizes, codes, codewords[:, :, :1], summed=True).stored()
    assert summed.arrays()["packed"].nbytes == 2 + 16
    numbers = summed.codewords.astype(int)
    expected = [numbers[one, 0, 0] + numbers[other, 1, 0] for one, other in codes.tolist()]
    np.testing.assert_allclose(summed.decode()[:, 0], np.array(expected) * float(summed.steps[0]), rtol=1e-6)
