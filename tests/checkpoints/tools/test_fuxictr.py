"""Genuine models of FuxiCTR with the files beside them, and features of other kinds."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch

from fmcompress.checkpoints import load_checkpoint
from fmcompress.errors import CheckpointError
from fmcompress.fm.bags import Bag
from fmcompress.fm.field_specs import parse_fields
from fmcompress.fm.schema import Field, NumericField, SharedField
from fmcompress.fm.scorer import FMScorer
from tests.checkpoints.samples import FILES

FOLDER = FILES / "fuxictr"
MODELS = {name: FOLDER / name / f"FM_{name}.model" for name in ("tiny_cat", "tiny_num")}
EMBEDDINGS = "embedding_layer.embedding_layer.embedding_layers.{}.weight"
LINEAR = "fm.lr_layer." + EMBEDDINGS
CATEGORICAL = {"type": "categorical", "padding_idx": 0, "vocab_size": 5}
AVERAGED = {**CATEGORICAL, "type": "sequence", "max_len": 4, "feature_encoder": "layers.MaskedAveragePooling()"}
ADDED = {**AVERAGED, "feature_encoder": ["layers.MaskedSumPooling()"]}


def expected(name):
    """Return the rows that the tool scored, as text, and its predictions."""
    with (FOLDER / name / "expected_test.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return rows, np.array([float(row["prob"]) for row in rows])


def ids_of(ckpt, rows):
    """Return the ids of raw tokens, by the checkpoint's vocabulary; PAD counts as missing."""
    columns = []
    for name in ckpt.schema.id_names:
        own = ckpt.vocabulary.of(name, ckpt.schema)
        ids = dict(zip(own.tokens, own.ids.tolist(), strict=True))
        columns.append([ids.get(row[name], own.oov) for row in rows])
    return np.stack(columns, axis=1)


def values_of(ckpt, rows):
    return np.array([[float(row[name]) for name in ckpt.schema.numeric_names] for row in rows], np.float32)


@pytest.mark.parametrize("name", MODELS)
def test_predictions_from_raw_tokens_are_the_tools_own(name):
    ckpt = load_checkpoint(MODELS[name])
    rows, prob = expected(name)
    found = FMScorer(ckpt).predict(ids_of(ckpt, rows), values_of(ckpt, rows))
    np.testing.assert_allclose(found, prob, atol=1e-5)


def test_fields_are_those_of_the_feature_map():
    ckpt = load_checkpoint(MODELS["tiny_num"])
    assert ckpt.schema.fields == (Field("user", 9, pad=0), Field("item", 7, pad=0), Field("ctx", 13, pad=0))
    assert ckpt.schema.numeric == (NumericField("price"),)
    assert (ckpt.dim, ckpt.link, ckpt.source.tool) == (4, "sigmoid", "FuxiCTR")


def test_vocabulary_is_the_tools_own():
    user = load_checkpoint(MODELS["tiny_cat"]).vocabulary.fields["user"]
    assert dict(zip(user.tokens, user.ids.tolist(), strict=True))["u6"] == 1
    assert (user.oov, user.missing) == (8, 8)


@pytest.fixture
def alone(tmp_path):
    """A genuine model without the files beside it."""
    return shutil.copy(MODELS["tiny_num"], tmp_path / "FM.model")


def test_model_alone_says_what_it_needs(alone):
    with pytest.raises(CheckpointError, match=r"^FM\.model: it does not say which of its features are seq") as caught:
        load_checkpoint(alone)
    assert "--fields user:9,item:7,ctx:13,price:numeric" in caught.value.hint


@pytest.mark.parametrize(
    "given",
    [
        {"fields": parse_fields("user:9,item:7,ctx:13,price:numeric")},
        {"fields": parse_fields("price:numeric,ctx:13,user:9,item:7")},
        {"dataset": FOLDER / "tiny_num" / "feature_map.json"},
    ],
)
def test_model_alone_can_be_told(alone, given):
    ckpt = load_checkpoint(alone, **given)
    rows, prob = expected("tiny_num")
    tokens = load_checkpoint(MODELS["tiny_num"])
    ids = ids_of(tokens, rows)[:, [tokens.schema.names.index(name) for name in ckpt.schema.names]]
    np.testing.assert_allclose(FMScorer(ckpt).predict(ids, values_of(ckpt, rows)), prob, atol=1e-5)
    assert {field.pad for field in ckpt.schema.fields} == {0}


def test_given_names_replace_the_files():
    ckpt = load_checkpoint(MODELS["tiny_num"], fields=parse_fields("a:9,b:7,c:13,d:numeric"))
    assert ckpt.schema.order == ("a", "b", "c", "d")
    assert set(ckpt.vocabulary.fields) == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("user:9,item:7", "3 fields that are with categories: 'user', 'item', 'ctx', but --fields names 2"),
        ("user:9,item:8,ctx:13,price:numeric", "'item' has 7 categories, but --fields says 8"),
        ("user:9,ctx:7,c:13,price:numeric", "names 'ctx' where the file has 'item'"),
        ("user:9,item:7,ctx:13,price:linear", "numeric field 'price' has an embedding"),
    ],
)
def test_given_fields_must_be_the_files(fields, message):
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(MODELS["tiny_num"], fields=parse_fields(fields))


@pytest.fixture
def load(tmp_path):
    """Return a function that writes a model of features ``a``, ``b``, … with 5 categories, and loads it."""

    def write(specs, *, state=(), **given):
        generator = torch.Generator().manual_seed(0)
        weights = {"fm.lr_layer.bias": torch.zeros(1)}
        for name in specs:
            for pattern, width in ((EMBEDDINGS, 3), (LINEAR, 1)):
                weights[pattern.format(name)] = torch.randn(5, width, generator=generator)
                weights[pattern.format(name)][0] = 0
        torch.save({**weights, **dict(state)}, tmp_path / "FM.model")
        features = [{name: spec} for name, spec in specs.items()]
        (tmp_path / "feature_map.json").write_text(json.dumps({"features": features}))
        return load_checkpoint(tmp_path / "FM.model", **given)

    return write


def test_row_that_is_not_zero_is_no_pad(load):
    specs = {"a": CATEGORICAL, "b": CATEGORICAL}
    trained = torch.ones(5, 1)
    ckpt = load(specs, state={LINEAR.format("b"): trained})
    assert [field.pad for field in ckpt.schema.fields] == [0, None]


def test_shared_embeddings_have_linear_weights_of_their_own(load):
    shared = {"a": CATEGORICAL, "b": {**CATEGORICAL, "share_embedding": "a"}}
    table = torch.arange(15.0).reshape(5, 3)
    same = {EMBEDDINGS.format(name): table for name in "ab"}
    ckpt = load(shared, state=same)
    assert (ckpt.schema.names, ckpt.schema.shared) == (("a", "b"), ())
    np.testing.assert_array_equal(ckpt.embeddings[5:], table)
    same |= {LINEAR.format(name): torch.ones(5, 1) for name in "ab"}
    ckpt = load(shared, state=same)
    assert (ckpt.schema.names, ckpt.schema.shared) == (("a",), (SharedField("b", "a"),))


def test_features_that_the_model_was_not_trained_with_are_left_out(load, tmp_path):
    load({"a": CATEGORICAL, "b": CATEGORICAL})
    found = json.loads((tmp_path / "feature_map.json").read_text())
    found["features"] = {"id": {"type": "meta"}, "c": CATEGORICAL, "b": CATEGORICAL, "a": CATEGORICAL}
    (tmp_path / "feature_map.json").write_text(json.dumps(found))
    assert load_checkpoint(tmp_path / "FM.model").schema.names == ("b", "a")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"type": "sequence", "vocab_size": 5, "max_len": 9}, "its sequence 'b' by no layer of its own"),
        ({**AVERAGED, "feature_encoder": "layers.KMaxPooling(2, 1)"}, "its sequence 'b' by 'layers.KMaxPooling"),
        ({**AVERAGED, "feature_encoder": ["layers.MaskedSumPooling()", "nn.ReLU()"]}, "its sequence 'b' by no layer"),
        ({"type": "embedding"}, "its feature 'b' is a vector of another model"),
        ({**CATEGORICAL, "feature_encoder": "nn.ReLU()"}, "its feature 'b' is encoded by a layer"),
        ({"type": "text"}, "its feature 'b' is of type text"),
        ({**CATEGORICAL, "vocab_size": 6}, r"'b' has 5 categories, feature_map\.json says 6"),
        ({"type": "numeric"}, r"'.*\.b\.weight' has shape"),
        ({"vocab_size": 5}, r"feature_map\.json cannot be read"),
        ({**CATEGORICAL, "vocab_size": "5"}, r"feature_map\.json cannot be read"),
    ],
)
def test_features_of_other_kinds_are_refused(load, spec, message):
    with pytest.raises(CheckpointError, match=message):
        load({"a": CATEGORICAL, "b": spec})


SEQUENCES = np.array([[1, 2, 3, 0], [4, 4, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0], [2, 3, 4, 1]])
"""Padded as the tool pads them."""


def computed_as_the_tool_does(ckpt_of, specs, sequences):
    """Return logits by the tool's own formula: embeddings of PAD are zero, and what is not zero is counted."""
    logits = np.zeros(len(sequences))
    pooled = []
    for name, spec in specs.items():
        ids = sequences if spec["type"] == "sequence" else sequences[:, 0]
        table, linear = (ckpt_of[pattern.format(name)].double().numpy() for pattern in (EMBEDDINGS, LINEAR))
        if spec["type"] == "sequence":
            vectors = table[ids]
            mask = (vectors.sum(axis=-1) != 0).astype(float)
            averaged = "Average" in str(spec["feature_encoder"])
            pooled.append(vectors.sum(axis=1) / (mask.sum(axis=1, keepdims=True) + 1e-12 if averaged else 1))
            logits += linear[ids].sum(axis=(1, 2))
        else:
            pooled.append(table[ids])
            logits += linear[ids][:, 0]
    stacked = np.stack(pooled, axis=1)
    return logits + 0.5 * (stacked.sum(axis=1) ** 2 - (stacked**2).sum(axis=1)).sum(axis=1)


def bag_of(sequences):
    """Return the values of padded sequences."""
    present = sequences != 0
    starts = np.concatenate(([0], np.cumsum(present.sum(axis=1))))
    return Bag(starts, sequences[present].astype(np.int32))


@pytest.mark.parametrize("fields", [None, "a:5,b:5:mean/sum,c:5:sum", "x:5,y:5:mean/sum,z:5"])
def test_sequences_are_pooled_as_the_tool_pools_them(load, tmp_path, fields):
    specs = {"a": CATEGORICAL, "b": AVERAGED, "c": ADDED}
    ckpt = load(specs, fields=fields)
    state = torch.load(tmp_path / "FM.model")
    assert [str(pooling) for pooling in ckpt.schema.poolings.values()] == ["mean/sum", "sum"]
    assert [field.pad for field in ckpt.schema.fields] == [0, 0, 0]
    ids = np.full((5, 3), -1, np.int32)
    ids[:, 0] = np.where(SEQUENCES[:, 0] == 0, -1, SEQUENCES[:, 0])
    bags = dict.fromkeys(ckpt.schema.poolings, bag_of(SEQUENCES))
    logits, _ = FMScorer(ckpt).logits_and_sums(ids, None, bags)
    np.testing.assert_allclose(logits, computed_as_the_tool_does(state, specs, SEQUENCES), atol=1e-5)
    (tmp_path / "feature_map.json").unlink()
    if fields is not None and fields.startswith("a"):
        again = load_checkpoint(tmp_path / "FM.model", fields=fields)
        np.testing.assert_allclose(FMScorer(again).logits_and_sums(ids, None, bags)[0], logits)
        with pytest.raises(CheckpointError, match="its linear weights of 'b' are added, whatever"):
            load_checkpoint(tmp_path / "FM.model", fields="a:5,b:5:mean,c:5:sum")


def test_a_sequence_that_is_null_has_no_values(load, tmp_path):
    (tmp_path / "feature_vocab.json").write_text('{"b": {"__PAD__": 0, "x": 1, "__OOV__": 4}}')
    own = load({"a": CATEGORICAL, "b": AVERAGED}).vocabulary.fields["b"]
    assert (own.oov, own.missing) == (4, None)


def test_other_models_are_refused_by_their_keys(load):
    with pytest.raises(CheckpointError, match=r"also holds 'cin\.0\.weight'"):
        load({"a": CATEGORICAL}, state={"cin.0.weight": torch.zeros(2, 2)})


def test_files_of_another_data_set_are_refused(load, tmp_path):
    load({"a": CATEGORICAL, "b": CATEGORICAL})
    (tmp_path / "feature_map.json").write_text(json.dumps({"features": [{"a": CATEGORICAL}]}))
    with pytest.raises(CheckpointError, match=r"its feature 'b' is not in feature_map\.json"):
        load_checkpoint(tmp_path / "FM.model")


@pytest.mark.parametrize(
    ("vocabulary", "message"),
    [
        ('{"a": {"x": 5}}', "has id 5, expected 0 to 4"),
        ('{"a": {"x": -1}}', "cannot be read"),
        ('{"a": {"x": "1"}}', "cannot be read"),
        ('{"a": 3}', "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ("{", "cannot be read"),
    ],
)
def test_vocabulary_that_makes_no_sense(load, tmp_path, vocabulary, message):
    (tmp_path / "feature_vocab.json").write_text(vocabulary)
    with pytest.raises(CheckpointError, match=rf"^FM\.model: .*{message}"):
        load({"a": CATEGORICAL})
