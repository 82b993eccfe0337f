"""The verdict of the release gate: figures that differ look different, and no name gets out of its place."""

import json
import math
from dataclasses import replace

import pytest

from fmcompress.evaluation.scores import Scores
from fmcompress.gates import Check, Verdict
from fmcompress.reporting.verdict import JudgedModel

SIZE = Check("max-size", "fm.safetensors", 10_000_001, 10_000_000, "bytes", False, 10_000_001, None, "bytes")
GROWTH = Check("max-growth", "fm.safetensors", 5.0000001, 5.0, "%", False, 10_000_001, 9_523_810, "bytes")
AUC = Check("min-auc", "fm.safetensors", 0.8000000004, 0.8, "AUC", True, 0.8000000004, None, "AUC")
UNKNOWN = Check("min-auc", "b.safetensors", None, 0.8, "AUC", None, None, None, "AUC", "test.parquet: no such file")
SCORES = Scores(4000, 0.8000000004, 0.5, 1.0)
VERDICT = Verdict(
    (SIZE, GROWTH, AUC, UNKNOWN),
    (
        JudgedModel("fm.safetensors", "artifact", 10_000_001, SCORES),
        JudgedModel("b.safetensors", "artifact", 9000, None),
    ),
    JudgedModel("old.safetensors", "artifact", 9_523_810, None),
)
EVIL = "a|b\n::error::x%\r,:##[error]<b>\x1b[31m.safetensors"


def verdict_of(*checks):
    return Verdict(checks, tuple(JudgedModel(check.artifact, "artifact", 1, None) for check in checks), None)


def test_text():
    assert VERDICT.to_text() == (
        "artifact        check                           actual                       limit     verdict\n"
        "--------------  ----------  --------------------------  --------------------------  ----------\n"
        "fm.safetensors  max-size    10.0 MB (10,000,001 bytes)  10.0 MB (10,000,000 bytes)        FAIL\n"
        "fm.safetensors  max-growth       5.00% (476,191 bytes)       5.00% (476,190 bytes)        FAIL\n"
        "fm.safetensors  min-auc                   0.8000000004                0.8000000000        pass\n"
        "b.safetensors   min-auc                              –                     0.80000  not judged\n"
        "\n"
        "baseline old.safetensors: artifact, stored in 9.5 MB (9,523,810 bytes)\n"
        "fm.safetensors: artifact, stored in 10.0 MB (10,000,001 bytes); AUC 0.80000, LogLoss 0.50000, 4,000 rows\n"
        "not judged: min-auc: test.parquet: no such file"
    )


def test_json_has_the_keys_of_pipelines_and_no_nan():
    found = json.loads(VERDICT.to_json(), parse_constant=lambda constant: constant / 0)
    assert (found["passed"], found["failed"], found["not_judged"]) == (False, 2, 1)
    assert found["checks"][0] == {
        "name": "max-size", "artifact": "fm.safetensors", "actual": 10_000_001, "limit": 10_000_000, "unit": "bytes",
        "passed": False, "value": 10_000_001, "baseline": None, "value_unit": "bytes", "reason": "",
        "standard_error": None, "confidence": None, "lower": None, "upper": None,
    }  # fmt: skip
    assert found["checks"][3]["passed"] is found["checks"][3]["actual"] is None
    assert found["artifacts"][0]["scores"]["rmse"] is None
    assert found["baseline"]["file_bytes"] == 9_523_810
    assert json.loads(verdict_of(AUC).to_json())["passed"] is True


def test_markdown():
    lines = VERDICT.to_markdown().splitlines()
    assert lines[0] == "## Release check: 2 of 4 failed, 1 of 4 could not be judged"
    assert lines[2] == "| artifact | check | actual | limit | verdict |"
    assert (
        lines[4] == "| fm.safetensors | max-size | 10.0 MB (10,000,001 bytes) | 10.0 MB (10,000,000 bytes) | ❌ FAIL |"
    )
    assert lines[6].endswith("| ✅ pass |")
    assert lines[-1] == "- not judged: min-auc: test.parquet: no such file"


def test_github():
    assert VERDICT.to_github().splitlines() == [
        "::error title=max-size%3A FAIL::fm.safetensors: 10.0 MB (10,000,001 bytes), the limit is "
        "10.0 MB (10,000,000 bytes)",
        "::error title=max-growth%3A FAIL::fm.safetensors: 5.00%25 (476,191 bytes), the limit is "
        "5.00%25 (476,190 bytes)",
        "::notice title=min-auc%3A pass::fm.safetensors: 0.8000000004, the limit is 0.8000000000",
        "::error title=min-auc%3A not judged::b.safetensors: test.parquet: no such file; the limit is 0.80000",
        "Release check: 2 of 4 failed, 1 of 4 could not be judged",
    ]


@pytest.mark.parametrize("name", [EVIL, "é 価格 🛒.safetensors", "x" * 10_000])
def test_names_stay_in_their_place(name):
    check = Check("max-size", name, None, 1, "bytes", None, None, None, "bytes", f"{name}: no such file")
    verdict = verdict_of(check)
    command, summary = verdict.to_github().split("\n")
    assert command.startswith("::error title=max-size%3A not judged::")
    assert "\r" not in command
    assert summary == "Release check: 1 of 1 could not be judged"
    assert len(verdict.to_text().splitlines()) == 5
    table = [line for line in verdict.to_markdown().splitlines() if line.startswith("|")]
    assert len(table) == 3
    assert "<b>" not in verdict.to_markdown()
    assert "\x1b" not in verdict.to_text() + verdict.to_markdown() + command
    assert json.loads(verdict.to_json())["checks"][0]["artifact"] == name


def test_percent_signs_survive_in_annotations():
    found = verdict_of(Check("max-size", "100%0A.safetensors", 1, 2, "bytes", True, 1, None, "bytes")).to_github()
    assert found.startswith("::notice title=max-size%3A pass::100%250A.safetensors: 1 bytes")


@pytest.mark.parametrize(
    ("actual", "limit", "shown"),
    [
        (0.0007, 0.001, ("0.00070", "0.00100")),
        (-0.0007, 0.001, ("-0.00070", "0.00100")),
        (0.001 + 1e-8, 0.001, ("0.00100001", "0.00100000")),
        (0.001, 0.001, ("0.00100", "0.00100")),
        (0.001 + 1e-17, 0.001, ("0.00100", "0.00100")),
    ],
)
def test_numbers_that_differ_look_different(actual, limit, shown):
    check = Check("max-auc-drop", "a", actual, limit, "AUC", True, 0.8, 0.8, "AUC")
    assert verdict_of(check).to_text().splitlines()[2].split()[2:4] == list(shown)


@pytest.mark.parametrize("grown", [0, -1, -476_190, 476_190])
def test_bytes_of_growth(grown):
    check = Check("max-growth", "a", grown, 500_000, "bytes", True, 9_523_810 + grown, 9_523_810, "bytes")
    assert f"{abs(grown):,} bytes" in verdict_of(check).to_text()
    assert ("-" in verdict_of(check).to_github().split("a: ")[1]) == (grown < 0)


def test_the_bytes_of_a_percentage_are_those_of_the_limit_as_written():
    check = Check("max-growth", "a", 100 / 3, 5.1, "%", False, 1333, 1000, "bytes")
    assert "33.33% (333 bytes), the limit is 5.10% (51 bytes)" in verdict_of(check).to_github().replace("%25", "%")


def test_a_regression_shows_its_error():
    model = JudgedModel("r.safetensors", "artifact", 10, Scores(20, math.nan, math.nan, math.nan, 0.9))
    check = Check("max-rmse", "r.safetensors", 0.9, 1.0, "RMSE", True, 0.9, None, "RMSE")
    assert "RMSE 0.90000, 20 rows" in Verdict((check,), (model,), None).to_text()


DROP = Check("max-auc-drop", "a", 0.0007, 0.001, "AUC", True, 0.7993, 0.8, "AUC", "", 0.0004)
RISE = Check("max-logloss-rise", "a", 1.5, 2.0, "%", None, 0.5, 0.49, "nats", "a: may be", 0.4, 0.95, 0.8421, 2.1579)


def test_standard_errors_stand_beside():
    lines = verdict_of(SIZE, DROP).to_text().splitlines()
    assert lines[0].split("  ")[-1] == "verdict"
    assert lines[0].split()[2:] == ["actual", "std.", "error", "limit", "verdict"]
    assert lines[2].split()[-6] == "–"
    assert lines[3].split()[2:] == ["0.00070", "0.00040", "0.00100", "pass"]
    assert lines[-1] == (
        "max-auc-drop of a: the limit is 0.8 standard errors away, so chance may have decided; "
        "--confidence 0.95 judges what is certain"
    )
    assert "0.00070 (standard error 0.00040), the limit is 0.00100" in verdict_of(DROP).to_github()
    for certain in (replace(DROP, standard_error=1e-4), replace(DROP, standard_error=0.0), replace(DROP, passed=None)):
        assert "chance" not in verdict_of(certain).to_text()


def test_bounds_stand_beside():
    head, _, row, *_ = verdict_of(RISE).to_text().splitlines()
    assert head.split()[2:] == ["actual", "std.", "error", "95%", "bounds", "limit", "verdict"]
    assert row.split()[2:] == ["1.50%", "0.40%", "0.84%", "to", "2.16%", "2.00%", "not", "judged"]
    kept = replace(RISE, passed=True, limit=3.0, reason="")
    assert "1.50% (0.84% to 2.16% with a confidence of 0.95), the limit is 3.00%" in (
        verdict_of(kept).to_github().replace("%25", "%")
    )
    assert "chance" not in verdict_of(kept).to_text()
