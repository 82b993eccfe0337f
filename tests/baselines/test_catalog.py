"""All baselines, from the source to points: within budget, not worse than untuned, the same for the same seed."""

from dataclasses import replace

import numpy as np
import pytest

from fmcompress.baselines import BASELINES, run_baselines
from fmcompress.errors import UsageError
from fmcompress.evaluation.scores import score_rows
from fmcompress.serve.compressed_fm import CompressedFM

from .conftest import BUDGETS, OPTIONS

pytestmark = pytest.mark.slow

ELSEWHERE = ["dfm", "qr", "md", "dhe", "shared-tail", "mpe", "mec", "shaver"]  # test_composed.py, test_recent.py
KEYS = [baseline.key for baseline in BASELINES if baseline.key not in ELSEWHERE]
SIZED = [baseline.key for baseline in BASELINES if baseline.sized and baseline.key in KEYS]
CODEBOOKS = ["uniform-pq", "authors", "lightfm", "xlightfm"]
TUNED = ["smaller-fm-int8", "smaller-fm-int4", "pruning"]


@pytest.fixture(scope="module")
def points(source, data):
    return list(run_baselines(KEYS, source, data, BUDGETS, OPTIONS))


def of(points, key):
    return [point for point in points if point.baseline == key]


def selection(model, data):
    return score_rows(model, data.valid).selection


@pytest.mark.parametrize("key", SIZED)
def test_budgets_are_met_or_left_out(points, key):
    sizes = [point.file_bytes for point in of(points, key)]
    assert len(sizes) == 2
    assert all(size <= budget for size, budget in zip(sizes, BUDGETS[1:], strict=True))
    assert sizes[1] > 3500  # the larger budget is made use of


@pytest.mark.parametrize("key", CODEBOOKS)
def test_sizes_of_artifacts_are_those_of_their_files(points, key, tmp_path):
    for point in of(points, key):
        assert isinstance(point.model, CompressedFM)
        point.model.save(tmp_path / "a", force=True)
        assert (tmp_path / "a").stat().st_size == point.file_bytes


def test_smaller_fms_come_in_all_sizes_below_the_source(points):
    for key in KEYS[:3]:
        assert [point.model.dim for point in of(points, key)] == [2, 4]
    for floats, int8, int4 in zip(*(of(points, key) for key in KEYS[:3]), strict=True):
        assert int4.file_bytes < int8.file_bytes < floats.file_bytes
    assert of(points, "smaller-fm-int4")[1].name == "FM, dim 4, int4"


@pytest.mark.parametrize("key", TUNED)
def test_tuning_is_not_worse_than_none(points, source, data, key):
    untuned = list(run_baselines([key], source, data, BUDGETS, replace(OPTIONS, epochs=0)))
    before, after = ([selection(point.model, data) for point in found] for found in (untuned, of(points, key)))
    assert all(one >= other for one, other in zip(after, before, strict=True))
    assert sum(after) > sum(before)
    assert [point.file_bytes for point in untuned] == [point.file_bytes for point in of(points, key)]


def test_codebooks_that_are_tuned_are_not_worse(points, data):
    for key in ("authors", "lightfm"):
        for before, after in zip(of(points, "uniform-pq"), of(points, key), strict=True):
            assert after.file_bytes == pytest.approx(before.file_bytes, rel=0.02)  # codes' entropies differ
            assert selection(after.model, data) >= selection(before.model, data)


@pytest.mark.parametrize("key", ["smaller-fm-int4", "pruning"])
def test_the_same_seed_gives_the_same_models(points, source, data, key):
    again = list(run_baselines([key], source, data, BUDGETS, OPTIONS))
    for one, other in zip(of(points, key), again, strict=True):
        np.testing.assert_array_equal(one.model.embeddings, other.model.embeddings)
        np.testing.assert_array_equal(one.model.linear, other.model.linear)
        assert one.model.bias == other.model.bias


def test_unknown_baselines_are_refused_at_once(source, data):
    with pytest.raises(UsageError, match="baseline is 'smaller', expected smaller-fm, "):
        run_baselines(["smaller"], source, data, [])
