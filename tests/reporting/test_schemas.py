"""The schemas in ``docs`` tell of all the JSON that commands write, and of no more."""

import copy
import json
import math
from dataclasses import replace

import pytest

from fmcompress.artifact import Quality
from fmcompress.checkpoints.inspection import InspectedField, Inspection
from fmcompress.evaluation.scores import Scores
from fmcompress.gates import Check, Verdict
from fmcompress.reporting import report
from fmcompress.reporting.compare import compare
from fmcompress.reporting.inspection import to_json as inspection_json
from fmcompress.reporting.verdict import JudgedModel
from tests.json_schema import DOCS, problems, schema
from tests.mixed import packed_mixed
from tests.models import EVERY_SHAPE, origin, packed
from tests.reporting.test_curve import CURVE, NUMBERS, ONE_CLASS, UNMEASURED
from tests.reporting.test_evaluation import EVALUATION
from tests.reporting.test_report import KINDS, hostile_model
from tests.tables.samples import packed_tables

SCORES = Scores(20, 0.75, 0.5, 1.0)
NUMBER_SCORES = Scores(20, math.nan, math.nan, math.nan, 1.5)


def artifact(link="sigmoid", **quality):
    model = packed_mixed(4, "9 2x4 4", "5 raw raw | 3 1x2 shared", link=link, **KINDS)
    return replace(model, header=replace(model.header, origin=origin(quality=quality)))


REPORTS = [
    artifact(source=Quality(9, 0.8, 0.5), artifact=Quality(9, math.nan, 0.5)),
    artifact(link="clip:1:5", artifact=Quality(9, math.nan, math.nan, 1.5)),
    packed(*EVERY_SHAPE["many tiers"], quality=False, source=()),
    hostile_model(),
]
CHECK = Check("max-size", "a", 10, 20, "bytes", True, 10, None, "bytes")
VERDICTS = [
    Verdict((CHECK,), (JudgedModel("a", "artifact", 10, SCORES),), None),
    Verdict(
        (replace(CHECK, name="max-rmse-rise", actual=None, passed=None, unit="%", value_unit="RMSE", reason="no"),),
        (JudgedModel("a", "", None, None),),
        JudgedModel("b", "artifact", 10, NUMBER_SCORES),
    ),
]
INSPECTION = Inspection(
    "libFM", "fm.txt", "ab" * 32, 100, 4, "sigmoid", -0.5, 7, 36, 140, False, True, ("vocabulary",),
    (InspectedField("user", "categorical", 7, 0, None, 6, 2, 3), InspectedField("clicked", "shared", 7, table="user"),
     InspectedField("price", "numeric")),
)  # fmt: skip
DOCUMENTS = [
    *(("report", report(model).to_json()) for model in REPORTS),
    *(("compare", compare(old, new).to_json()) for old in REPORTS for new in REPORTS[:3]),
    *(("sweep", curve.to_json()) for curve in (CURVE, UNMEASURED, ONE_CLASS, NUMBERS)),
    *(("check", verdict.to_json()) for verdict in VERDICTS),
    ("evaluate", EVALUATION.to_json()),
    ("inspect", inspection_json(INSPECTION)),
    *(("tables", report(tables).to_json()) for tables in (packed_tables(), packed_tables(with_tiers=True))),
]


def test_every_schema_has_documents():
    assert {path.name.split(".")[0] for path in DOCS.glob("*.schema.json")} == {kind for kind, _ in DOCUMENTS}


@pytest.mark.parametrize(("kind", "text"), DOCUMENTS, ids=[f"{n} {kind}" for n, (kind, _) in enumerate(DOCUMENTS)])
def test_documents_keep_to_their_schemas(kind, text):
    found = json.loads(text, parse_constant=lambda constant: constant / 0)
    assert next(iter(found)) == "schema"
    assert problems(found, schema(kind)) == []


@pytest.mark.slow
def test_scores_of_compared_artifacts(files):
    found = compare(files.ptq, files.tuned, data=files.test)
    assert problems(json.loads(found.to_json()), schema("compare")) == []


def test_every_key_is_required():
    """A pipeline that leans on a key must find it: in the schema none is optional."""
    for path in DOCS.glob("*.schema.json"):
        rules = json.loads(path.read_text(encoding="utf-8"))
        for each in (rules, *rules.get("$defs", {}).values()):
            assert each["required"] == list(each["properties"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda found: found.pop("ratio"), "$: 'ratio' is a required property"),
        (lambda found: found.update(ratio="7"), "$.ratio: '7' is not of type 'number'"),
        (lambda found: found.update(file_bytes=True), "$.file_bytes: True is not of type 'integer'"),
        (lambda found: found.update(schema="fmcompress/report/2"), "$.schema: 'fmcompress/report/1' was expected"),
        (lambda found: found.update(more=1), "$: Additional properties are not allowed ('more' was unexpected)"),
        (lambda found: found["fields"][0].update(kind="cat"), "$.fields[0].kind: 'cat' is not one of"),
        (lambda found: found["fields"][0].update(bytes=-1), "$.fields[0].bytes: -1 is less than the minimum of 0"),
        (lambda found: found["quality"].update(source={}), "$.quality.source: 'rows' is a required property"),
        (lambda found: found["source"].append(1), "$.source[3]: 1 is not of type 'string'"),
    ],
)
def test_what_is_wrong_is_found(change, says):
    found = copy.deepcopy(json.loads(report(REPORTS[0]).to_json()))
    change(found)
    assert any(says in problem for problem in problems(found, schema("report")))
