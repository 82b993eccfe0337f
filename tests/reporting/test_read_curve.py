"""Curves from the JSON that ``sweep`` writes."""

import json
import math

import pytest

from fmcompress.errors import UsageError
from fmcompress.reporting.curve import read_curve
from tests.reporting.test_curve import CURVE, NUMBERS, ONE_CLASS, UNMEASURED


@pytest.mark.parametrize("curve", [CURVE, NUMBERS, ONE_CLASS, UNMEASURED])
def test_json_there_and_back(tmp_path, curve):
    (tmp_path / "curve.json").write_text(curve.to_json(), encoding="utf-8")
    found = read_curve(tmp_path / "curve.json")
    assert found.to_json() == curve.to_json()
    assert found.to_text() == curve.to_text()


def change(path, value):
    """Return the JSON of a curve with another value at a path."""
    found = json.loads(CURVE.to_json())
    *way, last = path
    part = found
    for step in way:
        part = part[step]
    if value is ...:
        del part[last]
    else:
        part[last] = value
    return json.dumps(found)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "Expecting value"),
        ("[]", "it has another form"),
        ("{}", "there is no checkpoint"),
        ("[" * 100_000, ""),
        (change(["points"], 7), "it has another form"),
        (change(["points", 1, "seconds"], ...), "there is no seconds"),
        (change(["points", 1, "file_bytes"], 1.5), "file_bytes is no positive whole number"),
        (change(["points", 1, "file_bytes"], 10**400), "file_bytes is no positive whole number"),
        (change(["points", 1, "auc"], math.nan), "auc is no number"),
        (change(["points", 1, "auc"], "0.8"), "auc is no number"),
        (change(["points", 1, "seconds"], 10**400), ""),
        (change(["checkpoint", "name"], None), "name is no text"),
        (change(["checkpoint", "fp32_bytes"], 0), "fp32_bytes is no positive whole number"),
        (change(["checkpoint", "measured_on"], "train"), "measured on 'train'"),
        (change(["checkpoint", "measured_on"], None), "do not fit together"),
        (change(["checkpoint", "measured_on"], []), ""),
        (change(["checkpoint", "rows"], True), "rows is no positive whole number"),
    ],
)
def test_what_is_no_curve(tmp_path, text, says):
    (tmp_path / "curve.json").write_text(text)
    with pytest.raises(UsageError, match=r"curve\.json is no curve of fmcompress: ") as caught:
        read_curve(tmp_path / "curve.json")
    assert says in str(caught.value)
    assert len(str(caught.value)) < 300
    assert "fmcompress sweep" in caught.value.hint


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_curve(tmp_path / "none")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="is no curve"):
        read_curve(str(tmp_path / "bytes"))
