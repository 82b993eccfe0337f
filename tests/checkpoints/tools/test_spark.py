"""Genuine models and pipelines of Spark MLlib, and pipelines of other stages."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fmcompress.checkpoints import load_checkpoint
from fmcompress.errors import CheckpointError
from fmcompress.evaluation.predictors import predictions_of, predictor
from fmcompress.evaluation.scores import open_rows_for
from fmcompress.fm.field_specs import parse_fields
from fmcompress.fm.schema import Field, NumericField
from fmcompress.fm.scorer import FMScorer
from tests.checkpoints.samples import FILES

VERSIONS = ("spark", "spark4")
SIZES = parse_fields("user:9,item:7,ctx:13")


@pytest.fixture(params=VERSIONS)
def folder(request):
    return FILES / request.param


@pytest.fixture
def expected(folder):
    return np.load(folder / "expected_clf.npz")


def predictions(ckpt, rows):
    """Return the predictions for the active columns of Spark's features."""
    return FMScorer(ckpt).predict((rows - ckpt.schema.offsets).astype(np.int32))


@pytest.mark.parametrize(("name", "fields"), [("pipeline_clf", None), ("pipeline_clf", SIZES), ("fm_clf", SIZES)])
def test_predictions_are_the_tools_own(folder, expected, name, fields):
    ckpt = load_checkpoint(folder / name, fields=fields)
    assert (ckpt.source.tool, ckpt.source.name, ckpt.link, ckpt.dim) == ("Spark MLlib", name, "sigmoid", 4)
    np.testing.assert_allclose(predictions(ckpt, expected["idx"]), expected["prob"][:, 1], atol=1e-5)


def test_raw_tokens_give_the_same_predictions(folder, expected, tmp_path):
    ckpt = load_checkpoint(folder / "pipeline_clf")
    assert ckpt.schema == SIZES
    pq.write_table(pa.table({name: expected[name] for name in SIZES.names}), tmp_path / "rows.parquet")
    (batch,) = open_rows_for(ckpt, tmp_path / "rows.parquet", labelled=False).batches()
    np.testing.assert_array_equal(batch.ids + SIZES.offsets, expected["idx"])
    np.testing.assert_allclose(predictions_of(predictor(ckpt), batch), expected["prob"][:, 1], atol=1e-5)


def test_unknown_tokens_and_nulls_get_the_index_that_spark_keeps_for_them(folder):
    vocabulary = load_checkpoint(folder / "pipeline_clf").vocabulary
    assert [(own.oov, own.missing) for own in vocabulary.fields.values()] == [(7, 7), (5, 5), (11, 11)]


def test_regression_has_no_sigmoid(folder):
    ckpt = load_checkpoint(folder / "fm_reg", fields=SIZES)
    assert ckpt.link == "identity"
    row = pq.read_table(folder / "fm_reg" / "data").to_pylist()[0]
    w, v = np.array(row["linear"]["values"]), np.array(row["factors"]["values"]).reshape(29, 4)
    active = [2, 11, 20]
    logit = row["intercept"] + w[active].sum() + 0.5 * (v[active].sum(axis=0) ** 2 - (v[active] ** 2).sum(axis=0)).sum()
    np.testing.assert_allclose(predictions(ckpt, np.array([active])), logit, atol=1e-5)


def test_model_alone_needs_fields(folder):
    with pytest.raises(CheckpointError, match=r"^fm_clf: .* which fields its 29 categories belong to"):
        load_checkpoint(folder / "fm_clf")
    with pytest.raises(CheckpointError, match="29 rows, but its fields have 28"):
        load_checkpoint(folder / "fm_clf", fields=parse_fields("user:8,item:7,ctx:13"))


def test_given_names_replace_those_of_the_pipeline(folder, expected):
    ckpt = load_checkpoint(folder / "pipeline_clf", fields=parse_fields("u:9,i:7,c:13"))
    assert list(ckpt.vocabulary.fields) == ["u", "i", "c"]
    swapped = load_checkpoint(folder / "pipeline_clf", fields=parse_fields("ctx:13,user:9,item:7"))
    ids = (expected["idx"] - SIZES.offsets)[:, [2, 0, 1]]
    np.testing.assert_allclose(FMScorer(swapped).predict(ids.astype(np.int32)), expected["prob"][:, 1], atol=1e-5)


# Directories of our own, laid out as Spark does.

INTS, DOUBLES = pa.list_(pa.int32()), pa.list_(pa.float64())
VECTOR = {"type": pa.int8(), "size": pa.int32(), "indices": INTS, "values": DOUBLES}
MATRIX = {
    "type": pa.int8(),
    "numRows": pa.int32(),
    "numCols": pa.int32(),
    "colPtrs": INTS,
    "rowIndices": INTS,
    "values": DOUBLES,
    "isTransposed": pa.bool_(),
}
TYPES = {
    "labelsArray": pa.list_(pa.list_(pa.string())),
    "categorySizes": INTS,
    "intercept": pa.float64(),
    "linear": pa.struct(VECTOR.items()),
    "factors": pa.struct(MATRIX.items()),
}


def write_stage(path, class_name, params, **row):
    (path / "metadata").mkdir(parents=True)
    (path / "metadata" / "_SUCCESS").touch()
    metadata = {"class": f"org.apache.spark.ml.{class_name}", "paramMap": params, "defaultParamMap": {}}
    (path / "metadata" / "part-00000").write_text(json.dumps(metadata) + "\n")
    if row:
        (path / "data").mkdir()
        columns = {name: pa.array([value], TYPES[name]) for name, value in row.items()}
        pq.write_table(pa.table(columns), path / "data" / "part-0.parquet")
    return path


def write_pipeline(path, stages):
    """Write a pipeline of ``(class, parameters, row)``; the class is without packages."""
    uids = [f"{name}_{number}" for number, (name, _, _) in enumerate(stages)]
    write_stage(path, "PipelineModel", {"stageUids": uids})
    digits = len(str(len(stages)))
    for number, (uid, (name, params, row)) in enumerate(zip(uids, stages, strict=True)):
        write_stage(path / "stages" / f"{number:0{digits}d}_{uid}", f"some.{name}", params, **row)
    return path


def indexer(source, target, labels, invalid="error"):
    params = {"inputCol": source, "outputCol": target, "handleInvalid": invalid}
    return "StringIndexerModel", params, {"labelsArray": [labels]}


def encoder(source, target, size, invalid="error", drop=True):
    params = {"inputCols": [source], "outputCols": [target], "handleInvalid": invalid, "dropLast": drop}
    return "OneHotEncoderModel", params, {"categorySizes": [size]}


def assembler(*sources, target="features"):
    return "VectorAssembler", {"inputCols": list(sources), "outputCol": target}, {}


def dense(values, *, transposed=True):
    rows, columns = values.shape
    stored = values.reshape(-1) if transposed else values.T.reshape(-1)
    return matrix(1, rows, columns, stored, transposed=transposed)


def matrix(kind, rows, columns, values, starts=(), indices=(), *, transposed=False):
    return dict(zip(MATRIX, (kind, rows, columns, starts, indices, values, transposed), strict=True))


def vector(values, size=None, indices=None):
    return dict(zip(VECTOR, (1 if size is None else 0, size, indices, values), strict=True))


def model(linear, factors, name="FMClassificationModel"):
    return name, {"featuresCol": "features"}, {"intercept": 0.5, "linear": linear, "factors": factors}


def counting(features):
    """Return a model of ``features`` columns whose weights count up."""
    factors = np.arange(2.0 * features).reshape(features, 2)
    return model(vector(np.arange(float(features))), dense(factors))


def test_numbers_and_ids_without_tokens(tmp_path):
    stages = [encoder("age", "a", 2, drop=False), assembler("price", "a", target="b"), assembler("b", "weight")]
    ckpt = load_checkpoint(write_pipeline(tmp_path / "fm", [*stages, counting(4)]))
    assert ckpt.schema.all_fields == (NumericField("price"), Field("age", 2), NumericField("weight"))
    assert ckpt.vocabulary is None
    assert ckpt.linear.tolist() == [1, 2]
    assert ckpt.numeric.linear.tolist() == [0, 3]
    assert ckpt.numeric.embeddings.tolist() == [[0, 1], [6, 7]]


@pytest.mark.parametrize(
    ("index", "encode", "drop", "width", "field", "oov"),
    [
        ("error", "error", True, 2, Field("user", 3, pad=2), None),
        ("skip", "error", False, 3, Field("user", 3), None),
        ("error", "keep", True, 3, Field("user", 3), None),
        ("error", "keep", False, 4, Field("user", 4), None),
        ("keep", "error", True, 3, Field("user", 4, pad=3), 3),
        ("keep", "error", False, 4, Field("user", 4), 3),
        ("keep", "keep", True, 4, Field("user", 4), 3),
        ("keep", "keep", False, 5, Field("user", 5), 3),
    ],
)
def test_columns_of_a_field(tmp_path, index, encode, drop, width, field, oov):
    labels = ["ann", "bob", "eve"]
    stages = [
        indexer("user", "i", labels, index),
        encoder("i", "o", 3 + (index == "keep"), encode, drop),
        assembler("o", "price"),
    ]
    ckpt = load_checkpoint(write_pipeline(tmp_path / "fm", [*stages, counting(width + 1)]))
    assert ckpt.schema.all_fields == (field, NumericField("price"))
    assert ckpt.vocabulary.fields["user"].known == {"ann": 0, "bob": 1, "eve": 2}
    assert ckpt.vocabulary.fields["user"].oov == oov
    assert ckpt.linear.tolist() == [*range(width), *[0] * (field.cardinality - width)]
    assert ckpt.numeric.linear.tolist() == [width]


def test_stages_that_the_model_does_not_depend_on_are_skipped(tmp_path):
    stages = [
        indexer("clicked", "label", ["no", "yes"]),
        ("StandardScalerModel", {"inputCol": "x", "outputCol": "scaled"}, {}),
        encoder("age", "a", 2, drop=False),
        assembler("a"),
        counting(2),
        ("IndexToString", {"inputCol": "prediction", "outputCol": "text"}, {}),
        *[("SQLTransformer", {"statement": "select 1"}, {})] * 5,
    ]
    assert load_checkpoint(write_pipeline(tmp_path / "fm", stages)).schema.names == ("age",)


BUCKETS = "Bucketizer", {"inputCol": "x", "outputCol": "b"}, {}


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([("StandardScalerModel", {"inputCol": "x", "outputCol": "s"}, {}), assembler("s")], "StandardScalerModel"),
        ([("FeatureHasher", {"inputCols": ["x"], "outputCol": "features"}, {})], "'features' of stage FeatureHasher"),
        ([("SQLTransformer", {"statement": "x"}, {}), assembler("x")], "SQLTransformer can change any column"),
        ([BUCKETS, indexer("b", "i", "ab"), encoder("i", "o", 2), assembler("o")], "'b' of stage Bucketizer"),
        ([BUCKETS, encoder("b", "o", 2), assembler("o")], "'b' of stage Bucketizer"),
        ([indexer("user", "i", ["a"]), assembler("i")], "number that a StringIndexer gives column 'user'"),
        ([indexer("user", "features", ["a"])], "column 'features' of a StringIndexer"),
        ([assembler("x", target="v"), encoder("v", "o", 2), assembler("o")], "'v', which is a vector"),
        ([encoder("age", "a", 1, drop=False), assembler("a", "a")], "two fields are named 'age'"),
        ([encoder("age", "a", 3, drop=False), assembler("a")], "features have 3 columns by its stages, .* model has 2"),
        ([assembler("x", "y")], "at least one field with categories"),
    ],
)
def test_other_stages_are_refused_by_name(tmp_path, stages, message):
    path = write_pipeline(tmp_path / "fm", [*stages, counting(2)])
    with pytest.raises(CheckpointError, match=rf"^fm: .*{message}"):
        load_checkpoint(path)


FACTORS = np.array([[1.0, 0.0], [2.0, 3.0], [0.0, 4.0]])


@pytest.mark.parametrize(
    "factors",
    [
        dense(FACTORS, transposed=True),
        dense(FACTORS, transposed=False),
        matrix(0, 3, 2, [1, 2, 3, 4], [0, 2, 4], [0, 1, 1, 2]),
        matrix(0, 3, 2, [1, 2, 3, 4], [0, 1, 3, 4], [0, 0, 1, 1], transposed=True),
    ],
)
@pytest.mark.parametrize("linear", [vector([0.0, 5.0, 0.0]), vector([5.0], 3, [1])])
def test_dense_and_sparse_weights(tmp_path, linear, factors):
    name, params, row = model(linear, factors)
    path = write_stage(tmp_path / "fm", f"classification.{name}", params, **row)
    ckpt = load_checkpoint(path, fields=parse_fields("a:3"))
    assert ckpt.bias == 0.5
    assert ckpt.linear.tolist() == [0, 5, 0]
    np.testing.assert_array_equal(ckpt.embeddings, FACTORS)
    assert ckpt.embeddings.flags.c_contiguous


@pytest.mark.parametrize(
    ("linear", "factors", "message"),
    [
        (vector([1.0, 2.0]), dense(FACTORS), "2 linear weights and 3 factors"),
        (vector([1.0], 3, [3]), dense(FACTORS), "indices that it cannot have"),
        (vector([1.0], 2**31 - 1, [0]), dense(FACTORS), "2,147,483,647 linear weights and 3 factors"),
        (vector([1.0, 2.0, 3.0]), matrix(1, 3, 2, [1, 2]), "3 × 2 has 2 values"),
        (vector([1.0, 2.0, 3.0]), matrix(0, 2**31 - 1, 2**31 - 1, [1], [0, 1], [0]), "has 1 values"),
        (vector([1.0, 2.0, 3.0]), matrix(0, 3, 2, [1, 2, 3], [0, 2, 9], [0, 1, 1]), "cannot be read"),
        (vector([1.0, 2.0, float("nan")]), dense(FACTORS), "linear weights hold NaN"),
        (vector([1.0, 2.0, 1e300]), dense(FACTORS), "linear weights hold NaN or infinite"),
        (vector([1.0, 2.0, None]), dense(FACTORS), "its weights cannot be read"),
    ],
)
def test_weights_that_disagree_are_refused(tmp_path, linear, factors, message):
    name, params, row = model(linear, factors)
    path = write_stage(tmp_path / "fm", f"classification.{name}", params, **row)
    with pytest.raises(CheckpointError, match=rf"^fm: .*{message}"):
        load_checkpoint(path, fields=parse_fields("a:3"))


def test_columns_of_other_types_are_refused(tmp_path):
    name, params, row = counting(3)
    path = write_stage(tmp_path / "fm", f"classification.{name}", params, **row)
    for column, other in (("linear", [1.0]), ("intercept", "0.5"), ("factors", None)):
        table = pa.table({**{name: pa.array([value], TYPES[name]) for name, value in row.items()}, column: [other]})
        pq.write_table(table, path / "data" / "part-0.parquet")
        with pytest.raises(CheckpointError, match="data of its stage FMClassificationModel cannot be read"):
            load_checkpoint(path, fields=parse_fields("a:3"))
    pq.write_table(pa.table({"intercept": [0.5]}), path / "data" / "part-0.parquet")
    with pytest.raises(CheckpointError, match="data of its stage FMClassificationModel cannot be read"):
        load_checkpoint(path, fields=parse_fields("a:3"))


def test_damaged_directories_are_refused(tmp_path, folder):
    path = tmp_path / "fm"

    def copy():
        shutil.rmtree(path, ignore_errors=True)
        return shutil.copytree(folder / "pipeline_clf", path)

    def refused(message):
        with pytest.raises(CheckpointError, match=rf"^fm: .*{message}") as caught:
            load_checkpoint(path)
        assert str(caught.value).isprintable()

    data = next(copy().glob("stages/3_*/data/*.parquet"))
    data.unlink()
    refused(r"data of its stage FMClassificationModel cannot be read \(found 0 rows")
    data = next(copy().glob("stages/3_*/data/*.parquet"))
    shutil.copy(data, data.with_name("part-00001.parquet"))
    refused("found 2 rows, expected one")
    data.write_bytes(data.read_bytes()[:-20])
    refused("cannot be read")
    shutil.rmtree(next(copy().glob("stages/1_*")))
    refused("metadata of .* cannot be read")
    metadata = next((copy() / "metadata").glob("part-*"))
    text = metadata.read_text()
    metadata.write_text(text.replace('"StringIndexer_', '"../StringIndexer_'))
    refused("has a name that it cannot have")
    metadata.write_text(text[:-20])
    refused("metadata of 'fm' cannot be read")
    metadata.write_text(text.replace("stageUids", "stages"))
    refused("no parameter 'stageUids'")


def test_other_models_are_refused(tmp_path):
    path = write_stage(tmp_path / "lr", "classification.LogisticRegressionModel", {})
    with pytest.raises(
        CheckpointError, match=r"^lr: it is no factorization machine of Spark: .*LogisticRegressionModel"
    ):
        load_checkpoint(path)
    path = write_stage(tmp_path / "cv", "tuning.CrossValidatorModel", {})
    write_stage(path / "bestModel", "PipelineModel", {"stageUids": []})
    with pytest.raises(CheckpointError, match="'CrossValidatorModel'") as caught:
        load_checkpoint(path)
    assert caught.value.hint == "give its folder bestModel"
    with pytest.raises(CheckpointError, match="it holds "):
        load_checkpoint(path / "bestModel")
    with pytest.raises(CheckpointError, match="it is a directory, but no model that Spark MLlib saved"):
        load_checkpoint(FILES)
