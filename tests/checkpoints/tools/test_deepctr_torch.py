"""Genuine models of DeepCTR-Torch, and whole models as it would save them with other features."""

import sys
from collections import namedtuple
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from fmcompress.checkpoints import load_checkpoint
from fmcompress.errors import CheckpointError
from fmcompress.fm.bags import Bag
from fmcompress.fm.field_specs import parse_fields
from fmcompress.fm.schema import Field, NumericField, SharedField
from fmcompress.fm.scorer import FMScorer
from tests.checkpoints.samples import FIELDS, FILES

FOLDER = FILES / "deepctr-torch"


@pytest.mark.parametrize("name", ["deepfm.h5", "deepfm_weights.h5", "deepfm_dense.h5", "deepfm_dense_weights.h5"])
def test_predictions_are_the_tools_own(name):
    ckpt = load_checkpoint(FOLDER / name)
    expected = np.load(FOLDER / ("expected_dense.npz" if "dense" in name else "expected.npz"))
    found = FMScorer(ckpt).predict(expected["X"], expected["dense"] if "dense" in name else None)
    np.testing.assert_allclose(found, expected["prob"][:, 0], atol=1e-5)
    assert (ckpt.schema.fields, ckpt.link, ckpt.source.tool) == (FIELDS.fields, "sigmoid", "DeepCTR-Torch")


def test_whole_model_names_its_dense_features():
    assert load_checkpoint(FOLDER / "deepfm_dense.h5").schema.numeric == (NumericField("price", linear_only=True),)
    assert load_checkpoint(FOLDER / "deepfm_dense_weights.h5").schema.numeric_names == ("dense_0",)


def test_given_fields_name_what_a_state_dict_does_not():
    given = parse_fields("user:7,price:numeric,clicked=item,item:5,cat:11")
    ckpt = load_checkpoint(FOLDER / "deepfm_dense_weights.h5", fields=given)
    assert ckpt.schema.numeric == (NumericField("price", linear_only=True),)
    assert ckpt.schema.shared == (SharedField("clicked", "item"),)
    assert ckpt.schema.order == ("user", "price", "clicked", "item", "cat")


def test_given_link_replaces_sigmoid():
    assert load_checkpoint(FOLDER / "deepfm_weights.h5", link="identity").link == "identity"


# A look-alike of the tool: classes of its names and attributes, for whole models with other features.


class SparseFeat(
    namedtuple("SparseFeat", "name vocabulary_size embedding_dim use_hash dtype embedding_name group_name")
):
    pass


DenseFeat = namedtuple("DenseFeat", "name dimension dtype")
VarLenSparseFeat = namedtuple("VarLenSparseFeat", "sparsefeat maxlen combiner length_name")


class Part(nn.Module):
    pass


class DeepFM(nn.Module):
    pass


class WDL(nn.Module):
    pass


HOMES = {
    "deepctr_torch.inputs": (SparseFeat, DenseFeat, VarLenSparseFeat),
    "deepctr_torch.models.basemodel": (Part,),
    "deepctr_torch.models.deepfm": (DeepFM,),
    "deepctr_torch.models.wdl": (WDL,),
}


def sparse(name, table=None, size=5):
    return SparseFeat(name, size, 3, False, "int32", table or name, "default_group")


def dense(name, dimension=1):
    return DenseFeat(name, dimension, "float32")


def tables(columns, width=None):
    columns = [column.sparsefeat if isinstance(column, VarLenSparseFeat) else column for column in columns]
    return nn.ModuleDict({
        column.embedding_name: nn.Embedding(column.vocabulary_size, width or column.embedding_dim)
        for column in columns
        if isinstance(column, SparseFeat)
    })  # fmt: skip


def build(linear, pairwise=None, *, kind=DeepFM, task="binary", use_fm=True):
    """Return a model of these feature columns, as the tool would build it."""
    torch.manual_seed(0)
    pairwise = linear if pairwise is None else pairwise
    model, part, out = kind(), Part(), Part()
    for attribute, column_type in (("sparse", SparseFeat), ("dense", DenseFeat), ("varlen_sparse", VarLenSparseFeat)):
        found = [column for column in linear if isinstance(column, column_type)]
        setattr(part, f"{attribute}_feature_columns", found)
    part.embedding_dict = tables(linear, 1)
    numbers = sum(column.dimension for column in part.dense_feature_columns)
    if numbers:
        part.weight = nn.Parameter(torch.arange(1.0, numbers + 1)[:, None])
    out.task, out.bias = task, nn.Parameter(torch.ones(1))
    names = [column[0].name if isinstance(column, VarLenSparseFeat) else column.name for column in [*linear, *pairwise]]
    model.feature_index = dict.fromkeys(names, (0, 1))
    model.dnn_feature_columns, model.use_fm = pairwise, use_fm
    model.embedding_dict, model.linear_model, model.out = tables(pairwise), part, out
    return model


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Return a function that saves a model as the tool does, and loads it."""
    for package in ("deepctr_torch", "deepctr_torch.models"):
        monkeypatch.setitem(sys.modules, package, ModuleType(package))
    for home, classes in HOMES.items():
        module = ModuleType(home)
        monkeypatch.setitem(sys.modules, home, module)
        for each in classes:
            monkeypatch.setattr(each, "__module__", home)
            setattr(module, each.__name__, each)

    def save_and_load(model, **given):
        torch.save(model, tmp_path / "deepfm.h5")
        return load_checkpoint(tmp_path / "deepfm.h5", **given)

    return save_and_load


def test_features_of_one_embedding_name_share_a_table(load):
    model = build([sparse("clicked", table="item"), dense("price"), sparse("user"), sparse("item")])
    ckpt = load(model)
    assert ckpt.schema.fields == (Field("clicked", 5), Field("user", 5))
    assert ckpt.schema.shared == (SharedField("item", "clicked"),)
    assert ckpt.schema.order == ("clicked", "price", "user", "item")
    table = model.embedding_dict["item"].weight.detach().numpy()
    np.testing.assert_array_equal(ckpt.embeddings[:5], table)


def test_given_names_of_shared_tables_must_be_the_models(load):
    model = build([sparse("item"), sparse("user"), sparse("clicked", table="item")])
    assert load(model, fields=parse_fields("i:5,u:5,c=i")).schema.shared == (SharedField("c", "i"),)
    with pytest.raises(CheckpointError, match="'clicked' shares the table of 'item'"):
        load(model, fields=parse_fields("i:5,u:5,c=u"))


def test_dense_feature_of_several_numbers(load):
    ckpt = load(build([sparse("user"), dense("price"), dense("place", 2)]))
    assert ckpt.schema.numeric_names == ("price", "place_0", "place_1")
    np.testing.assert_array_equal(ckpt.numeric.linear, [1, 2, 3])
    assert not ckpt.numeric.embeddings.any()


def test_feature_of_one_part_is_zero_in_the_other(load):
    ckpt = load(build([sparse("user"), sparse("item")], [sparse("user"), sparse("city"), dense("price")]))
    assert ckpt.schema.order == ("user", "item", "city")
    _, item, city = ckpt.schema.split(ckpt.embeddings)
    assert city.any()
    assert not item.any()
    assert not ckpt.schema.split(ckpt.linear)[2].any()


def test_regression_has_no_sigmoid(load):
    assert load(build([sparse("user")], task="regression")).link == "identity"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: build([sparse("user")], use_fm=False), "no pairwise term: it was made with use_fm=False"),
        (lambda: build([sparse("user")], task="multiclass"), "its task is multiclass"),
        (lambda: build([sparse("user")], task=["binary"]), "its task is list"),
        (lambda: build([sparse("user")], kind=WDL), r"it is a deepctr_torch\.models\.wdl\.WDL, expected a"),
        (lambda: build([sparse("user")], [dense("price")]), "it has no embeddings: it is a linear model"),
        (
            lambda: build([sparse("user"), VarLenSparseFeat(sparse("hist"), 9, "max", None)]),
            "its sequence 'hist' is pooled by max, expected sum or mean",
        ),
        (
            lambda: build([sparse("user"), VarLenSparseFeat(sparse("hist"), 9, ["max"], None)]),
            "its sequence 'hist' is pooled by list, expected sum or mean",
        ),
        (
            lambda: build([sparse("item"), sparse("clicked", "item")], [sparse("item")]),
            "shares tables, and its feature 'clicked' is not in both parts",
        ),
    ],
)
def test_other_models_are_refused(load, model, message):
    with pytest.raises(CheckpointError, match=message):
        load(model())


@pytest.mark.parametrize("save", [lambda model: model, lambda model: model.state_dict()])
def test_dnn_is_refused_by_its_key(load, save):
    model = build([sparse("user")])
    model.dnn_linear = nn.Linear(4, 1, bias=False)
    with pytest.raises(CheckpointError, match=r"no factorization machine: it also holds 'dnn_linear\.weight'"):
        load(save(model))


def test_model_much_larger_than_its_file_is_refused(load):
    with pytest.raises(CheckpointError, match="would have 1,001,000 weights, but it has 2,001 only"):
        load(build([sparse("user", size=1000)], [sparse("item", size=1)._replace(embedding_dim=1000)]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model: setattr(model, "dnn_feature_columns", None), "feature columns cannot be read"),
        (lambda model: setattr(model, "dnn_feature_columns", [sparse("city")]), "'city' has no table 'city'"),
        (lambda model: setattr(model.linear_model, "dense_feature_columns", []), "it has weights of 1 numbers"),
        (lambda model: model.embedding_dict.update({"city": nn.Embedding(2, 3)}), "it has tables 'city', 'user'"),
        (lambda model: model.embedding_dict.update({"user": nn.Embedding(6, 3)}), "has shape"),
        (lambda model: model.linear_model.dense_feature_columns.append(dense("x", 2**40)), "columns have 1,099"),
    ],
)
def test_columns_that_disagree_with_the_tables(load, change, message):
    model = build([sparse("user"), dense("price")])
    change(model)
    with pytest.raises(CheckpointError, match=message):
        load(model)


def computed_as_the_tool_does(model, columns, rows, combiners):
    """Return logits by the tool's own formula, of rows of ids and of padded sequences by the names of columns."""
    logits = np.ones(len(next(iter(rows.values()))))
    vectors = []
    for part, combiner in ((model.embedding_dict, combiners[0]), (model.linear_model.embedding_dict, combiners[1])):
        for column in columns:
            own = column.sparsefeat if isinstance(column, VarLenSparseFeat) else column
            table, ids = part[own.embedding_name].weight.detach().double().numpy(), rows[own.name]
            if own is column:
                pooled = table[ids]
            else:
                lengths = rows.get(column.length_name)
                mask = ids != 0 if lengths is None else np.arange(ids.shape[1]) < lengths[:, None]
                pooled = (table[ids] * mask[:, :, None]).sum(axis=1)
                pooled = pooled / (mask.sum(axis=1, keepdims=True) + 1e-8) if combiner == "mean" else pooled
            if part is model.embedding_dict:
                vectors.append(pooled)
            else:
                logits += pooled[:, 0]
    stacked = np.stack(vectors, axis=1)
    return logits + 0.5 * (stacked.sum(axis=1) ** 2 - (stacked**2).sum(axis=1)).sum(axis=1)


def bag_of(sequences, present):
    return Bag(np.concatenate(([0], np.cumsum(present.sum(axis=1)))), sequences[present].astype(np.int32))


ROWS = {
    "user": np.array([0, 1, 4, 2]),
    "item": np.array([3, 0, 1, 2]),
    "hist": np.array([[1, 2, 3], [4, 4, 0], [0, 0, 0], [2, 0, 0]]),
    "length": np.array([3, 2, 1, 0]),
}


@pytest.mark.parametrize("table", ["hist", "item"])
@pytest.mark.parametrize("length", [None, "length"])
@pytest.mark.parametrize("combiners", [("mean", "mean"), ("sum", "sum"), ("mean", "sum")])
def test_sequences_are_pooled_as_the_tool_pools_them(load, table, length, combiners):
    own, linear = (VarLenSparseFeat(sparse("hist", table), 3, combiner, length) for combiner in combiners)
    columns = [sparse("user"), own, sparse("item")]
    model = build([sparse("user"), linear, sparse("item")], columns)
    ckpt = load(model)
    assert str(ckpt.schema.poolings["hist"]) == "/".join(dict.fromkeys(combiners))
    lengths = None if length is None else ROWS["length"]
    present = ROWS["hist"] != 0 if lengths is None else np.arange(3) < lengths[:, None]
    ids = np.stack([ROWS.get(name) if name != "hist" else np.full(4, -1) for name in ckpt.schema.id_names], axis=1)
    logits, _ = FMScorer(ckpt).logits_and_sums(ids.astype(np.int32), None, {"hist": bag_of(ROWS["hist"], present)})
    np.testing.assert_allclose(logits, computed_as_the_tool_does(model, columns, ROWS, combiners), atol=1e-5)
    pads = {field.name: field.pad for field in ckpt.schema.fields}
    assert pads == (
        {"user": None, "item": None, "hist": 0 if length is None else None}
        if table == "hist"
        else {"user": None, "hist": None}
    )


def test_sequences_of_a_state_dict_are_named_by_the_caller(load):
    model = build([sparse("user"), VarLenSparseFeat(sparse("hist"), 3, "mean", None)])
    assert not load(model.state_dict()).schema.poolings
    assert str(load(model.state_dict(), fields="user:5,hist:5:mean").schema.poolings["hist"]) == "mean"
    with pytest.raises(CheckpointError, match="its field 'hist' is pooled by mean, not sum"):
        load(model, fields="user:5,hist:5:sum")
    assert load(model, fields="u:5,h:5").schema.poolings.keys() == {"h"}
