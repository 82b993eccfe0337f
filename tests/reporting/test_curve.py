"""The size-quality curve as text, JSON and Markdown."""

import json
import math
from dataclasses import replace

import pytest

from fmcompress.artifact import Quality
from fmcompress.reporting.curve import Curve, CurvePoint, CurveSource

CURVE = Curve(
    CurveSource("f$m$|.pt", 40_000, Quality(20, 0.75, 0.5, auc_standard_error=0.0625)),
    (
        CurvePoint("auto", None, 100, None, None, None, 0.0, smallest_bytes=845),
        CurvePoint("auto", None, 2000, 1999, Quality(20, 0.74, 0.51), 0.008, 1.25),
        CurvePoint("auto", None, 4000, 4000, Quality(20, 0.745, 0.505), 0.004, 2.0),
        CurvePoint("FM, dim 8, row-wise int4", "rowwise-int4", None, 5000, Quality(20, 0.7, 0.6), None, 0.1),
    ),
    "test",
)
UNMEASURED = Curve(CurveSource("fm.pt", 40_000, None), (CurvePoint("auto", None, 2000, 1999, None, 0.008, 1.25),), None)
ONE_CLASS = Curve(
    CurveSource("fm.pt", 40_000, Quality(20, math.nan, 0.5)),
    (CurvePoint("auto", None, 2000, 1999, Quality(20, math.nan, 0.6), 0.008, 1.25),),
    "validation",
)


NUMBERS = Curve(
    CurveSource("fm.txt", 40_000, Quality(20, math.nan, math.nan, 1.5)),
    (CurvePoint("auto", None, 2000, 1999, Quality(20, math.nan, math.nan, 1.6), 0.008, 1.25),),
    "test",
)


def parsed(curve):
    return json.loads(curve.to_json(), parse_constant=lambda constant: constant / 0)


def test_json():
    found = parsed(CURVE)
    assert found["checkpoint"] == {
        "name": "f$m$|.pt", "fp32_bytes": 40_000, "auc": 0.75, "logloss": 0.5, "rmse": None, "rows": 20,
        "measured_on": "test", "auc_standard_error": 0.0625, "calibrated_logloss": None,
    }  # fmt: skip
    too_small, ours, _, baseline = found["points"]
    assert ours == {
        "name": "auto", "baseline": None, "budget_bytes": 2000, "file_bytes": 1999, "smallest_bytes": None,
        "ratio": 40_000 / 1999, "auc": 0.74, "logloss": 0.51, "rmse": None, "rows": 20, "measured_on": "test",
        "auc_standard_error": None, "calibrated_logloss": None, "delta_auc": pytest.approx(-0.01),
        "delta_logloss": pytest.approx(0.01), "delta_rmse": None,
        "predicted_rise": 0.008, "seconds": 1.25,
    }  # fmt: skip
    assert too_small["smallest_bytes"] == 845
    assert all(too_small[key] is None for key in ("file_bytes", "ratio", "auc", "rows", "measured_on", "delta_auc"))
    assert (baseline["baseline"], baseline["budget_bytes"], baseline["predicted_rise"]) == ("rowwise-int4", None, None)
    assert all(point.keys() == ours.keys() for point in found["points"])


def test_figures_that_do_not_exist_are_null():
    assert parsed(ONE_CLASS)["points"][0]["auc"] is None
    assert parsed(ONE_CLASS)["points"][0]["delta_auc"] is None
    point = parsed(UNMEASURED)["points"][0]
    assert all(point[key] is None for key in ("auc", "logloss", "rows", "measured_on", "delta_auc", "delta_logloss"))
    assert point["predicted_rise"] == 0.008


def test_regressions_are_measured_by_their_rmse():
    point = parsed(NUMBERS)["points"][0]
    assert (point["rmse"], point["delta_rmse"]) == (1.6, pytest.approx(0.1))
    assert point["auc"] is point["delta_logloss"] is None
    head, _, _, ours, *_, caption = NUMBERS.to_text().splitlines()
    assert "RMSE" in head
    assert "AUC" not in head
    assert ours.split()[4:6] == ["1.60000", "+0.10000"]
    assert "half the squared error" in caption


def test_calibrated_logloss_stands_beside():
    source = replace(CURVE.checkpoint, quality=Quality(20, 0.75, 0.5, math.nan, 0.0625, 0.4375))
    found = replace(CURVE, checkpoint=source)
    assert "calibrated on them, the checkpoint has a LogLoss of 0.43750; the" in found.caption()
    assert parsed(found)["checkpoint"]["calibrated_logloss"] == 0.4375
    assert parsed(found)["points"][0]["calibrated_logloss"] is None
    assert "calibrated" not in CURVE.caption()


def test_text():
    lines = CURVE.to_text().splitlines()
    assert lines[2].split()[-9:] == ["-", "40,000", "1.00", "0.75000", "+0.00000", "0.50000", "+0.00000", "-", "-"]
    assert lines[3].startswith("auto: too small, the least is 845 bytes ")
    assert lines[4].split() == [
        "auto", "2,000", "1,999", "20.01", "0.74000", "-0.01000", "0.51000", "+0.01000", "+0.00800", "1.2",
    ]  # fmt: skip
    assert lines[6].startswith("rowwise-int4: FM, dim 8, row-wise int4 ")
    assert "20 rows of test data, the checkpoint's AUC with a standard error of 0.06250; the" in lines[-1]
    assert len({len(line) for line in lines[1:7]}) == 1


def test_text_without_labelled_data_has_no_auc():
    assert UNMEASURED.to_text().splitlines()[0].split() == [
        "model", "budget", "bytes", "ratio", "predicted", "rise", "seconds",
    ]  # fmt: skip
    assert "not known" in UNMEASURED.to_text()


def test_markdown():
    lines = CURVE.to_markdown().splitlines()
    assert "f\\$m\\$\\|.pt" in lines[2]
    assert len({line.count("|") - line.count("\\|") for line in lines[:7]}) == 1
