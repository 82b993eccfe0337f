"""Arguments of wrong types: one line that names the argument, for every public function, class and method."""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

import fmcompress as fc
from fmcompress.arguments import checked_arguments
from fmcompress.errors import FMCompressError, UsageError
from fmcompress.types import Float32Array, Int32Array
from tests.checkpoints.samples import small_checkpoint

WRONG = (
    5, 1.5, -1, True, None, "nonsense", b"x", Path("no/such"), [], [3], [None], ["a"], [[]], (), ((1, 2),), {}, {1: 2},
    {"a": "b"}, {"a": None}, object(), np.zeros(3), np.zeros((2, 2), "f4"), np.zeros(3, "i4"), np.array(["a"]),
    np.float64(2), int,
)  # fmt: skip
SCHEMA = fc.Schema.of([("user", 4), ("item", 3)])
CHECKPOINT = small_checkpoint()
WORDS = fc.FieldVocabulary(("a", "b"), np.arange(2, dtype=np.int32))
KEYS = fc.HashedKeys.of(np.arange(3))
GATE = {"max_size": "10MB", "baseline": "none", "max_growth": "5%", "data": "none", "min_auc": 0.5}


@pytest.fixture(scope="module")
def model():
    return fc.quantize(CHECKPOINT, "10KB")


TABLES = fc.EmbeddingTables({"a": np.ones((3, 2))})


@pytest.fixture(scope="module")
def report(model):
    return fc.report(model)


def calls(model, report):
    """Return what is called, and arguments that are right."""
    linear, embeddings = np.zeros(7, np.float32), np.zeros((7, 2), np.float32)
    weights = {"linear": linear, "embeddings": embeddings}
    tables = fc.quantize_tables(TABLES, "10KB")
    return {
        "load_checkpoint": (fc.load_checkpoint, {"path": "none.pt"}),
        "save_checkpoint": (fc.save_checkpoint, {"ckpt": CHECKPOINT, "path": "no/such.pt"}),
        "FMCheckpoint": (fc.FMCheckpoint, {"schema": SCHEMA, "bias": 0.0, **weights}),
        "parse_fields": (fc.parse_fields, {"text": "a:3"}),
        "Field": (fc.Field, {"name": "a", "cardinality": 3}),
        "SharedField": (fc.SharedField, {"name": "a", "table": "b"}),
        "NumericField": (fc.NumericField, {"name": "a"}),
        "Pooling": (fc.Pooling, {"embedding": "mean", "linear": "sum"}),
        "Schema": (fc.Schema, {"fields": (fc.Field("a", 3),)}),
        "Schema.of": (fc.Schema.of, {"sizes": [("a", 3)]}),
        "Schema.in_order": (fc.Schema.in_order, {"fields": [fc.Field("a", 3)]}),
        "Schema.weights": (SCHEMA.weights, {"dim": 3}),
        "Schema.rows": (SCHEMA.rows, {"field": 0}),
        "Schema.union": (SCHEMA.union, {"other": SCHEMA}),
        "NumericWeights": (fc.NumericWeights, weights),
        "NumericWeights.none": (fc.NumericWeights.none, {"dim": 3}),
        "read_vocabulary": (fc.read_vocabulary, {"path": "none.json"}),
        "Vocabulary": (fc.Vocabulary, {"fields": {"user": WORDS}}),
        "Vocabulary.of": (fc.Vocabulary({"user": WORDS}).of, {"name": "user", "schema": SCHEMA}),
        "Vocabulary.check": (fc.Vocabulary({"user": WORDS}).check, {"schema": SCHEMA}),
        "Vocabulary.decode": (fc.Vocabulary.decode, {"data": fc.Vocabulary({"user": WORDS}).encode()}),
        "FieldVocabulary": (fc.FieldVocabulary, {"tokens": ("a",), "ids": np.zeros(1, np.int32)}),
        "FieldVocabulary.of": (fc.FieldVocabulary.of, {"ids": {"a": 0}}),
        "FieldKeys": (fc.FieldKeys, {"keys": KEYS}),
        "FieldKeys.of": (fc.FieldKeys.of, {"keys": np.arange(3)}),
        "FieldKeys.find": (fc.FieldKeys(KEYS).find, {"keys": np.arange(3)}),
        "HashedKeys": (fc.HashedKeys, {"count": 3, "check_bits": 16, "in_full": 0, "data": KEYS.data}),
        "HashedKeys.of": (fc.HashedKeys.of, {"keys": np.arange(3)}),
        "HashedKeys.find": (KEYS.find, {"keys": np.arange(3)}),
        "HashedKeys.decode": (fc.HashedKeys.decode, {"data": KEYS.data}),
        "key_order": (fc.key_order, {"keys": np.arange(3)}),
        "quantize": (fc.quantize, {"checkpoint": CHECKPOINT, "budget": "10KB"}),
        "sweep": (fc.sweep, {"checkpoint": CHECKPOINT, "budgets": ["10KB"]}),
        "load_tables": (fc.load_tables, {"path": "none.pt"}),
        "EmbeddingTables": (fc.EmbeddingTables, {"vectors": {"a": np.ones((3, 2))}}),
        "quantize_tables": (fc.quantize_tables, {"tables": TABLES, "budget": "10KB"}),
        "CompressedTables.of": (fc.CompressedTables.of, {"packed": tables}),
        "CompressedTables.save": (tables.save, {"path": "no/such.safetensors"}),
        "CompressedTables.table": (tables.table, {"name": "a"}),
        "TablesReport.to_markdown": (fc.report(tables).to_markdown, {}),
        "TablesReport.to_github": (fc.report(tables).to_github, {}),
        "load": (fc.load, {"path": "none.safetensors"}),
        "CompressedFM.of": (fc.CompressedFM.of, {"packed": model}),
        "CompressedFM.predict": (model.predict, {"ids": np.zeros((2, 2), np.int64)}),
        "CompressedFM.save": (model.save, {"path": "no/such.safetensors"}),
        "export_onnx": (fc.export_onnx, {"model": model, "path": "no/such.onnx"}),
        "report": (fc.report, {"artifact": model}),
        "Report.to_markdown": (report.to_markdown, {}),
        "Report.to_html": (report.to_html, {}),
        "Report.to_github": (report.to_github, {}),
        "Report.to_card": (report.to_card, {}),
        "compare": (fc.compare, {"old": model, "new": model}),
        "Comparison.to_markdown": (fc.compare(model, model).to_markdown, {}),
        "evaluate": (fc.evaluate, {"model": CHECKPOINT, "data": "none.parquet"}),
        "Scores": (fc.Scores, {"rows": 3, "auc": 0.5, "logloss": 0.6, "calibration": 1.0}),
        "check": (fc.check, {"artifacts": "none.safetensors", **GATE}),
        "LightFM": (fc.LightFM, {}),
        "XLightFM": (fc.XLightFM, {}),
        "SpaceOptions": (fc.SpaceOptions, {}),
        "SearchOptions": (fc.SearchOptions, {}),
        "TuneOptions": (fc.TuneOptions, {}),
        "ReassignOptions": (fc.ReassignOptions, {}),
        "MovingOptions": (fc.MovingOptions, {}),
        "LightFM.quantizers": (fc.LightFM().quantizers, {"cardinalities": [3, 4], "dim": 4}),
    }  # fmt: skip


MADE_BY_OTHERS = {
    "Auto", "Bag", "Comparison", "CompressedFM", "CompressedTables", "Curve", "Report", "TablesReport", "VectorTable",
    "Verdict", "__version__",
}  # fmt: skip
"""Classes of results, which functions make, and what has no arguments."""


def test_every_public_name_is_tried(model, report):
    errors = {name for name in fc.__all__ if name.endswith(("Error", "Warning"))}
    assert set(fc.__all__) - errors - MADE_BY_OTHERS == {name for name in calls(model, report) if "." not in name}


WRONG_VALUES = {
    "Schema.rows": IndexError, "NumericWeights.none": ValueError, "Vocabulary.decode": ValueError,
    "HashedKeys.decode": ValueError,
}  # fmt: skip
"""What values of the right type may raise, as Python's own functions do."""


def error_of(function, given):
    """Return what a call raises, or None."""
    try:
        function(**given)
    except Exception as error:
        return error
    return None


def test_wrong_types_are_usage_errors(model, report, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for called, (function, right) in calls(model, report).items():
        for name in inspect.signature(function).parameters:
            for value in WRONG:
                error = error_of(function, {**right, name: value})
                case = f"{called}({name}={value!r}): {type(error).__name__}: {error}"
                assert error is None or isinstance(error, (FMCompressError, WRONG_VALUES.get(called, UsageError))), case
                assert len(str(error)) < 300, case
                assert str(error).isprintable(), case


def test_what_can_be_no_argument_is_always_a_usage_error(model, report, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for called, (function, right) in calls(model, report).items():
        for name in inspect.signature(function).parameters:
            if (called, name) in {("CompressedFM.predict", "ids"), ("CompressedFM.predict", "values")}:
                continue  # what numpy makes an array of, as the error says
            with pytest.raises(UsageError, match=rf"^{name} is of type object, expected "):
                function(**{**right, name: object()})


@checked_arguments
def example(
    text: str,
    number: int = 0,
    ratio: float | None = None,
    path: "str | Path" = "a",
    names: Sequence[str] = (),
    sizes: Mapping[str, int] | None = None,
    pair: tuple[str, int] = ("a", 1),
    kind: Literal["a", "b"] = "a",
    array: Float32Array | None = None,
    ids: Int32Array | None = None,
    every: Iterable[tuple[str, int]] = (),
    unknown: "Report | None" = None,  # noqa: F821 -- known to type checkers alone
    **more: bool,
) -> str:
    return text


@pytest.mark.parametrize(
    "given",
    [
        {"text": "b", "number": np.int32(3), "ratio": np.float32(2)},
        {"text": "b", "ratio": 1, "path": Path("b"), "names": ["a"], "sizes": {}, "pair": ["b", 2], "kind": "c"},
        {"text": "b", "names": ("a", "b"), "sizes": {"a": 1}, "array": np.zeros(2), "ids": np.zeros(2, np.int64)},
        {"text": "b", "every": (pair for pair in [("a", 1)])},
        {"text": "b", "every": {"a": 1}.items(), "unknown": None},
    ],
)
def test_right_types(given):
    assert example(**given) == "b"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"text": 3}, "text is 3, expected a text"),
        ({"text": None}, "text is None, expected a text"),
        ({"text": "a", "number": 1.5}, "number is 1.5, expected a whole number"),
        ({"text": "a", "number": True}, "number is True, expected a whole number"),
        ({"text": "a", "ratio": "1"}, "ratio is '1', expected a number or None"),
        ({"text": "a", "path": 3}, "path is 3, expected a text or a path"),
        ({"text": "a", "names": "abc"}, "names is 'abc', expected a list of a text"),
        ({"text": "a", "names": ["a", 3]}, "names is ['a', 3], expected a list of a text"),
        ({"text": "a", "sizes": {"a": "b"}}, "sizes is {'a': 'b'}, expected a dict or None"),
        ({"text": "a", "pair": ("a",)}, "pair is ('a',), expected pairs"),
        ({"text": "a", "kind": 3}, "kind is 3, expected 'a' or 'b'"),
        ({"text": "a", "array": [1.0]}, "array is [1.0], expected an array of float32 or None"),
        ({"text": "a", "ids": np.zeros(2)}, "ids is of type ndarray, expected an array of int32 or None"),
        ({"text": "a", "unknown": 3}, "unknown is 3, expected Report or None"),
        ({"text": "a", "names": ["x"] * 100 + [3]}, "names is a list, expected a list of a text"),
    ],
)
def test_messages(given, says):
    with pytest.raises(UsageError) as caught:
        example(**given)
    assert str(caught.value) == says


def test_other_mistakes_are_pythons(report):
    with pytest.raises(TypeError, match="unexpected keyword"):
        fc.load("a", mapped=True)
    with pytest.raises(TypeError, match="missing 1 required"):
        example()
    assert list(inspect.signature(fc.Field).parameters) == ["name", "cardinality", "pad", "pooling"]


FIELDS = ("user:4,item:3", {"user": 4, "item": 3}, [("user", 4), ("item", 3)], SCHEMA, list(SCHEMA.fields))


@pytest.mark.parametrize("fields", FIELDS, ids=repr)
def test_fields_in_any_form(tmp_path, fields):
    weights = {"V": np.ones((7, 2), np.float32), "w": np.ones(7), "b": np.ones(1)}
    np.savez(tmp_path / "fm.npz", **weights)
    for keys in ("v=V,w=w,b=b", {"v": "V", "w": "w", "b": "b"}):
        assert fc.load_checkpoint(tmp_path / "fm.npz", fields=fields, keys=keys).schema == SCHEMA


def test_kinds_of_fields_in_any_form(tmp_path):
    from fmcompress.fm.field_specs import as_fields

    text = "user:4,tags:5:mean,seen=user,price:numeric,age:linear"
    sizes = {"user": 4, "tags": "5:mean", "seen": "=user", "price": "numeric", "age": "linear"}
    assert as_fields(sizes) == as_fields(list(sizes.items())) == as_fields(text)
    for wrong in ({"user": 1.5}, {"user": None}, [("user",)], ["user:3"], {"user": "many"}, 5, {3: 4}):
        with pytest.raises(UsageError) as caught:
            fc.load_checkpoint(tmp_path / "none", fields=wrong)
        assert "expected" in str(caught.value) or "is no" in str(caught.value) or "is not" in str(caught.value)
