"""The release gate: each limit holds to the byte, and what cannot be judged is never taken for kept or broken."""

import math
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fmcompress as fc
from fmcompress.data.click_model import draw_clicks, random_click_model, write_rows
from fmcompress.data.rows import open_rows
from fmcompress.fm.schema import Schema
from tests.conftest import SEED

SCHEMA = Schema.of((("user", 300), ("item", 200), ("hour", 24)))
LIBFM = Path(__file__).parents[1] / "checkpoints" / "genuine" / "libfm"


@dataclass(frozen=True)
class Release:
    """A checkpoint, rows that it was drawn from, an artifact that is close to it, and one that is not."""

    folder: Path

    def __getattr__(self, name):
        suffix = {"fm": ".pt", "test": ".parquet", "one_class": ".parquet", "other": ".parquet"}.get(name)
        return self.folder / f"{name}{suffix or '.safetensors'}"

    def growth(self):
        """Return how many bytes the better artifact has more than the crude one."""
        return self.better.stat().st_size - self.crude.stat().st_size


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    found = Release(tmp_path_factory.mktemp("release"))
    clicks = random_click_model(SCHEMA, dim=8, seed=SEED)
    fc.save_checkpoint(fc.FMCheckpoint(SCHEMA, clicks.bias, clicks.linear, clicks.embeddings), found.fm)
    checkpoint = fc.load_checkpoint(found.fm)
    fc.quantize(checkpoint, "5KB").save(found.better)
    fc.quantize(checkpoint, "2KB").save(found.crude)
    regression = replace(checkpoint, link="identity")
    fc.save_checkpoint(regression, found.folder / "ratings.pt")
    fc.quantize(regression, "2KB").save(found.ratings)
    rows = draw_clicks(clicks, 3000, seed=1)
    write_rows(rows, SCHEMA, found.test)
    write_rows(replace(rows, labels=np.zeros_like(rows.labels)), SCHEMA, found.one_class)
    pq.write_table(pa.table({"label": [0, 1], "user": [1, 2]}), found.other)
    clicked, passed_by = (np.flatnonzero(rows.labels == label) for label in (1, 0))
    for name, few in (("few", 29), ("enough", 30)):
        write_rows(
            rows.take(np.concatenate([passed_by[:1000], clicked[:few]])), SCHEMA, found.folder / f"{name}.parquet"
        )
    found.damaged.write_bytes(found.better.read_bytes()[:-1])
    return found


def only(verdict):
    (found,) = verdict.checks
    return found


def score(release, name):
    return fc.evaluate(fc.load(getattr(release, name)), release.test)


def ids(release):
    return np.column_stack([pq.read_table(release.test)[name].to_numpy() for name in SCHEMA.names])


def labels(release):
    return pq.read_table(release.test)["label"].to_numpy()


def test_size(release):
    size = release.better.stat().st_size
    found = only(fc.check(release.better, max_size=size))
    assert (found.name, found.artifact) == ("max-size", str(release.better))
    assert (found.actual, found.limit, found.unit, found.passed) == (size, size, "bytes", True)
    assert not only(fc.check(str(release.better), max_size=str(size - 1))).passed
    assert fc.check(release.better, max_size="5KB").passed


def test_growth_in_bytes(release):
    grown = release.growth()
    found = only(fc.check(release.better, baseline=release.crude, max_growth=grown))
    assert (found.actual, found.limit, found.unit, found.passed) == (grown, grown, "bytes", True)
    assert not only(fc.check(release.better, baseline=release.crude, max_growth=f"{grown - 1}B")).passed
    assert only(fc.check(release.crude, baseline=release.better, max_growth="0")).actual == -grown
    assert fc.check(release.crude, baseline=release.crude, max_growth="0%").passed


def test_growth_in_percent_is_exact(release):
    grown, before = release.growth(), release.crude.stat().st_size
    hair = 1e-9
    for percent, passed in ((100 * grown / before + hair, True), (100 * grown / before - hair, False)):
        found = only(fc.check(release.better, baseline=release.crude, max_growth=f"{percent:.12f}%"))
        assert (found.unit, found.passed) == ("%", passed)
        assert found.actual == pytest.approx(100 * grown / before)
        assert (found.value, found.baseline) == (release.better.stat().st_size, before)


def test_growth_against_a_checkpoint_is_that_of_its_file(release):
    verdict = fc.check(release.better, baseline=release.fm, max_growth="0")
    assert only(verdict).baseline == release.fm.stat().st_size
    assert (verdict.baseline.kind, verdict.passed) == ("checkpoint of fmcompress", True)


def test_the_baseline_may_be_of_another_tool(release):
    theirs = LIBFM / "model_reg_als.txt"
    limits = {"baseline": theirs, "max_growth": "1GB"}
    assert "--fields" in only(fc.check(release.better, **limits)).reason
    verdict = fc.check(release.better, **limits, fields=Schema.of((("a", 20), ("b", 3))), link="identity")
    assert (verdict.baseline.kind, verdict.baseline.file_bytes) == ("checkpoint of libFM", theirs.stat().st_size)
    assert verdict.passed


def test_quality(release):
    fm = fc.evaluate(fc.load_checkpoint(release.fm), release.test)
    crude = score(release, "crude")
    data = {"data": release.test}
    assert not only(fc.check(release.crude, min_auc=crude.auc + 1e-9, **data)).passed
    assert only(fc.check(release.crude, min_auc=crude.auc, **data)).passed
    for limits, actual in (
        ({"max_auc_drop": 0}, fm.auc - crude.auc),
        ({"max_logloss_rise": 1e-6}, crude.logloss - fm.logloss),
        ({"max_logloss_rise": "0.01%"}, 100 * (crude.logloss / fm.logloss - 1)),
    ):
        found = only(fc.check(release.crude, baseline=release.fm, **limits, **data))
        assert found.actual == pytest.approx(actual)
        assert not found.passed
        ((name, limit),) = limits.items()
        enough = f"{actual + 1e-9:.12f}%" if isinstance(limit, str) else actual + 1e-9
        assert fc.check(release.crude, baseline=release.fm, **{name: enough}, **data).passed


def test_the_same_model_never_fails(release):
    again = {"baseline": release.crude, "data": release.test}
    assert fc.check(release.crude, max_auc_drop=0, max_logloss_rise=0, max_growth="0", **again).passed


def test_regressions_have_an_error(release):
    rmse = fc.evaluate(fc.load(release.ratings), release.test).rmse
    assert only(fc.check(release.ratings, data=release.test, max_rmse=rmse)).passed
    before = fc.evaluate(fc.load_checkpoint(release.folder / "ratings.pt"), release.test).rmse
    compared = {"data": release.test, "baseline": release.folder / "ratings.pt"}
    found = only(fc.check(release.ratings, max_rmse_rise="0.001%", **compared))
    assert (found.unit, found.actual) == ("%", pytest.approx(100 * (rmse / before - 1)))
    assert fc.check(release.ratings, max_rmse_rise=max(0, rmse - before) + 1e-9, **compared).passed


def test_there_is_no_percentage_of_an_error_of_0(release, tmp_path):
    nothing = replace(fc.load_checkpoint(release.folder / "ratings.pt"), bias=0.0)
    nothing = replace(nothing, linear=nothing.linear * 0, embeddings=nothing.embeddings * 0)
    fc.save_checkpoint(nothing, tmp_path / "nothing.pt")
    compared = {"data": release.one_class, "baseline": tmp_path / "nothing.pt"}
    assert "RMSE is 0" in only(fc.check(release.ratings, max_rmse_rise="1%", **compared)).reason
    assert only(fc.check(release.ratings, max_rmse_rise=1e-9, **compared)).passed is False


def test_scores_that_a_model_has_not_are_not_judged(release):
    assert "max-rmse" in only(fc.check(release.ratings, data=release.test, min_auc=0.5)).reason
    assert "min-auc" in only(fc.check(release.crude, data=release.test, max_rmse=1)).reason
    verdict = fc.check(release.crude, data=release.one_class, baseline=release.fm, min_auc=0, max_logloss_rise=9)
    no_auc, logloss = verdict.checks
    assert (no_auc.passed, no_auc.actual) == (None, None)
    assert "all the same" in no_auc.reason
    assert (logloss.passed, logloss.actual is None) == (None, False)
    assert "0 of 3,000 rows have label 1, too few to judge by" in logloss.reason


def test_a_few_rows_of_a_label_judge_nothing(release):
    limits = {"min_auc": 0.5, "max_auc_drop": 0.5, "max_logloss_rise": "90%", "baseline": release.fm}
    for name, passed in (("few", None), ("enough", True)):
        verdict = fc.check(release.better, max_size="5KB", data=release.folder / f"{name}.parquet", **limits)
        assert [check.passed for check in verdict.checks] == [True, passed, passed, passed]
        assert all(check.actual is not None for check in verdict.checks)
    few = fc.check(release.better, data=release.folder / "few.parquet", confidence=0.95, **limits).checks
    assert {check.reason.split(": ", 1)[1] for check in few} == {
        "29 of 1,029 rows have label 1, too few to judge by: expected 30 or more of each label"
    }
    assert {check.upper for check in few} == {None}
    pq.write_table(pq.read_table(release.test).slice(0, 29), release.folder / "29.parquet")
    numbers = only(fc.check(release.ratings, data=release.folder / "29.parquet", max_rmse=1e9))
    assert "29 rows are too few to judge by, expected 30 or more" in numbers.reason


def test_with_confidence_bounds_decide(release):
    data = {"data": release.test, "baseline": release.fm}
    drop = only(fc.check(release.crude, max_auc_drop=0.1, **data))
    assert (drop.passed, drop.confidence, drop.lower) == (True, None, None)
    for errors, passed in ((2, True), (-2, False), (1, None), (-1, None)):
        limit = drop.actual + errors * drop.standard_error
        found = only(fc.check(release.crude, max_auc_drop=limit, confidence=0.95, **data))
        assert (found.passed, found.confidence) == (passed, 0.95)
        assert found.standard_error == drop.standard_error
        assert found.upper - found.actual == pytest.approx(1.6449 * drop.standard_error, rel=1e-4)
        assert ("may keep the limit or break it" in found.reason) == (passed is None)
        assert only(fc.check(release.crude, max_auc_drop=limit, **data)).passed == (limit > drop.actual)
        assert only(fc.check(release.crude, max_auc_drop=limit, confidence=0.5, **data)).passed == (limit > drop.actual)


def test_each_limit_of_a_score_is_judged_with_confidence(release):
    data = {"data": release.test, "confidence": 0.95}
    auc = only(fc.check(release.crude, min_auc=0.5, **data))
    assert auc.standard_error == pytest.approx(score(release, "crude").auc_standard_error)
    for limit, passed in ((auc.lower - 1e-9, True), (auc.upper + 1e-9, False), (auc.actual, None)):
        assert only(fc.check(release.crude, min_auc=limit, **data)).passed is passed
    before = {"baseline": release.fm, **data}
    rise, percent = (only(fc.check(release.crude, max_logloss_rise=limit, **before)) for limit in (9, "99%"))
    base = rise.baseline
    assert percent.standard_error == pytest.approx(100 * rise.standard_error / base, rel=0.2)
    for found, unit in ((rise, ""), (percent, "%")):
        for limit, passed in ((found.upper + 1e-9, True), (found.lower - 1e-9, False), (found.actual, None)):
            assert only(fc.check(release.crude, max_logloss_rise=f"{limit:.12f}{unit}", **before)).passed is passed
    rmse = only(fc.check(release.ratings, max_rmse=9, **data))
    errors = np.square(fc.load(release.ratings).predict(ids(release)) - labels(release))
    assert rmse.standard_error == pytest.approx(errors.std(ddof=1) / len(errors) ** 0.5 / (2 * rmse.actual), rel=1e-5)
    assert only(fc.check(release.ratings, max_rmse=rmse.actual, **data)).passed is None
    same = {"baseline": release.folder / "ratings.pt", **data}
    assert only(fc.check(release.ratings, max_rmse_rise="50%", **same)).passed
    assert only(fc.check(release.ratings, max_rmse_rise=0, **same)).upper < 0  # it got better, for certain


def test_how_many_rows_would_tell(release):
    data = {"data": release.test, "baseline": release.fm, "confidence": 0.95}
    drop = only(fc.check(release.crude, max_auc_drop=0.1, **data))
    limit = drop.actual + drop.standard_error
    reason = only(fc.check(release.crude, max_auc_drop=limit, **data)).reason
    assert reason.endswith("with a confidence of 0.95 it may keep the limit or break it; some 8,100 rows like these "
                           "3,000 would tell")  # fmt: skip
    assert "rows" not in only(fc.check(release.crude, max_auc_drop=drop.actual + 1e-9, **data)).reason


def test_rows_that_are_not_the_same_are_not_compared(release, monkeypatch):
    from fmcompress.evaluation import scores

    turns = iter([release.test, release.folder / "enough.parquet"])
    monkeypatch.setattr(scores, "open_rows", lambda path, *given, **more: open_rows(next(turns), *given, **more))
    found = only(fc.check(release.better, max_auc_drop=0.5, data=release.test, baseline=release.fm))
    assert (found.passed, "scored on other rows" in found.reason) == (None, True)


def test_what_cannot_be_judged_stops_no_other_check(release):
    missing = release.folder / "none.safetensors"
    verdict = fc.check([missing, release.damaged, release.better], max_size="1KB")
    assert [found.passed for found in verdict.checks] == [None, None, False]
    assert "no such file" in verdict.checks[0].reason
    assert "damaged" in verdict.checks[1].reason
    assert (verdict.passed, len(verdict.failed), len(verdict.not_judged)) == (False, 1, 2)
    verdict = fc.check(release.better, max_size="5KB", data=release.other, min_auc=0.5, max_auc_drop=1,
                       baseline=release.fm)  # fmt: skip
    assert [found.passed for found in verdict.checks] == [True, None, None]
    assert "column of field 'item' is missing" in verdict.checks[1].reason
    verdict = fc.check(release.better, max_size="5KB", baseline=missing, max_growth="5%")
    assert [found.passed for found in verdict.checks] == [True, None]
    assert "none.safetensors" in verdict.checks[1].reason
    assert not verdict.passed


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "no limit"),
        ({"max_growth": "5%"}, "max-growth needs something to compare with"),
        ({"min_auc": 0.5}, "min-auc needs labelled rows"),
        ({"max_auc_drop": 0.5, "data": "d"}, "max-auc-drop needs something to compare with"),
        ({"max_size": 1, "baseline": "b"}, "no limit that compares"),
        ({"max_size": 1, "data": "d"}, "no limit that needs them"),
        ({"max_size": "much"}, "max-size: 'much' is not a size"),
        ({"max_size": "5%"}, "max-size is '5%', expected no percentage"),
        ({"max_growth": "5", "baseline": "b"}, "max-growth is '5': bytes, or percent"),
        ({"max_growth": "-5%", "baseline": "b"}, "max-growth: '-5%' is not a size"),
        ({"min_auc": 1.5, "data": "d"}, "min-auc is 1.5, expected a number from 0 to 1"),
        ({"min_auc": math.nan, "data": "d"}, "min-auc is nan"),
        ({"max_auc_drop": "0.1%", "data": "d", "baseline": "b"}, "expected no percentage"),
        ({"max_size": 1, "confidence": 0.95}, "no limit of a score"),
        ({"min_auc": 0.5, "data": "d", "confidence": 95}, "confidence is 95, expected a number from 0.5"),
        ({"min_auc": 0.5, "data": "d", "confidence": math.nan}, "confidence is nan"),
        ({"min_auc": 0.5, "data": "d", "confidence": 1.0}, "confidence is 1.0"),
        ({"max_rmse": math.inf, "data": "d"}, "max-rmse is inf"),
        ({"max_logloss_rise": "some", "data": "d", "baseline": "b"}, "max-logloss-rise is 'some'"),
    ],
)
def test_limits_that_make_no_sense(given, says):
    with pytest.raises(fc.UsageError, match=says) as caught:
        fc.check("artifact.safetensors", **given)
    assert caught.value.hint


def test_no_artifact():
    with pytest.raises(fc.UsageError, match="no artifact"):
        fc.check([], max_size=1)


def test_sizes_need_neither_torch_nor_pyarrow(release):
    code = (
        "import sys, fmcompress as fc; fc.check(sys.argv[1], max_size=9999, max_growth='5%', baseline=sys.argv[2]);"
        "print([m for m in ('torch', 'faiss', 'pyarrow', 'sklearn', 'scipy') if m in sys.modules])"
    )
    for baseline in (release.crude, release.fm):
        argv = [sys.executable, "-c", code, release.better, baseline]
        assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout == "[]\n"
