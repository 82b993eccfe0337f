"""One limit held against what was measured: to the byte, and with what is not known told."""

import math

import pytest

from fmcompress.errors import DataError, UsageError
from fmcompress.evaluation.scores import Scores
from fmcompress.gates.gate import parse_limits
from fmcompress.gates.judging import Measured, judge, measure
from fmcompress.reporting.verdict import JudgedModel
from tests.models import packed


def of(file_bytes=1000, auc=0.8, logloss=0.5, rmse=math.nan, name="a"):
    return Measured(JudgedModel(name, "artifact", file_bytes, Scores(9, auc, logloss, 1.0, rmse)))


def judged(name, given, artifact, baseline=None):
    (limit,) = parse_limits({name: given})
    return judge(limit, artifact, baseline)


@pytest.mark.parametrize(("size", "passed"), [(999, True), (1000, True), (1001, False)])
def test_bytes_are_exact(size, passed):
    found = judged("max-size", "1KB", of(size), of(1))
    assert (found.actual, found.passed, found.baseline) == (size, passed, None)


@pytest.mark.parametrize(
    ("name", "given", "better", "worse"),
    [
        ("min-auc", 0.8, {"auc": 0.9}, {"auc": 0.79}),
        ("max-auc-drop", 0.01, {"auc": 0.9}, {"auc": 0.78}),
        ("max-logloss-rise", "2%", {"logloss": 0.51}, {"logloss": 0.5101}),
        ("max-growth", "10%", {"file_bytes": 1100}, {"file_bytes": 1101}),
    ],
)
def test_what_is_better_and_what_is_worse(name, given, better, worse):
    assert judged(name, given, of(**better), of()).passed
    assert judged(name, given, of(**worse), of()).passed is False


def test_rounding_of_scores_is_no_difference():
    assert judged("max-auc-drop", 0, of(auc=0.8 - 1e-14), of()).passed
    assert judged("max-auc-drop", 0, of(auc=0.8 - 1e-9), of()).passed is False


def test_what_is_not_known_is_not_judged():
    broken = Measured(JudgedModel("b", "", None, None), unreadable="b: no such file")
    unscored = Measured(JudgedModel("c", "artifact", 10, None), unscored="no column")
    assert judged("max-size", "1KB", broken).reason == "b: no such file"
    assert judged("max-size", "1KB", unscored).passed
    assert judged("min-auc", 0.5, unscored).reason == "no column"
    assert judged("max-growth", "5%", of(), broken).reason == "b: no such file"
    assert judged("min-auc", 0.5, of(auc=math.nan)).reason == "a: the labels are all the same, so there is no AUC"
    assert "max-rmse" in judged("min-auc", 0.5, of(auc=math.nan, rmse=1.0)).reason
    found = judged("max-rmse-rise", "1%", of(rmse=1.0), of(rmse=0.0, name="z"))
    assert (found.passed, found.reason) == (None, "z: its RMSE is 0, of which there is no percentage")


def test_errors_are_reasons():
    def raises(error):
        def function(*_):
            raise error

        return function

    model = packed(2, "3 raw raw")
    assert measure("m", raises(UsageError("no", hint="do")), None).lacks("bytes") == "no (do)"
    assert measure("m", raises(OSError("gone")), None).model == JudgedModel("m", "", None, None)
    found = measure("m", lambda _: model, raises(DataError("no rows")))
    assert (found.figure("bytes"), found.figure("auc"), found.lacks("auc")) == (model.file_bytes, None, "no rows")
    assert measure("m", lambda _: model, None).model == JudgedModel("m", "artifact", model.file_bytes, None)
