"""Shared tails and the like: within tight budgets, better for more bytes, the same for the same seed."""

from dataclasses import replace

import numpy as np
import pytest

from fmcompress.baselines import Chosen, Trial, run_baselines
from fmcompress.baselines.shared_tail import reduced, tailed_module
from fmcompress.errors import UsageError
from fmcompress.evaluation.scores import score_rows

from .conftest import OPTIONS

pytestmark = pytest.mark.slow

KEYS = ["shared-tail"]
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
