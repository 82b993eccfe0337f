"""Genuine DeepFM and NFM models: each tool's own predictions are reproduced."""

import csv
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from fmcompress.checkpoints import load_checkpoint
from fmcompress.errors import CheckpointError, UsageError
from fmcompress.fm.bags import Bag
from fmcompress.fm.scorers import scorer_of
from tests.checkpoints.networks import predict
from tests.checkpoints.samples import FILES

FOLDER = FILES / "networks"
CATS = "user:7,item:5,cat:11"
ALL = f"{CATS},tags:6:mean,price:linear"
PRICE = f"{CATS},price:linear"

CASES = [
    ("pytorch-fm", "deepfm.pt", "deepfm", {}),
    ("pytorch-fm", "deepfm_state_dict.pt", "deepfm", {"fields": CATS}),
    ("pytorch-fm", "nfm.pt", "nfm", {}),
    ("pytorch-fm", "nfm_state_dict.pt", "nfm", {"fields": CATS}),
    ("deepctr-torch", "deepfm.h5", "deepfm", {}),
    ("deepctr-torch", "deepfm_weights.h5", "deepfm", {"fields": ALL}),
    ("deepctr-torch", "deepfm_bn.h5", "deepfm_bn", {}),
    ("deepctr-torch", "deepfm_bn_weights.h5", "deepfm_bn", {"activation": "sigmoid"}),
    ("deepctr-torch", "deepfm_prelu.h5", "deepfm_prelu", {}),
    ("deepctr-torch", "deepfm_prelu_weights.h5", "deepfm_prelu", {}),
    ("deepctr-torch", "nfm.h5", "nfm", {}),
    ("deepctr-torch", "nfm_weights.h5", "nfm", {"fields": ALL}),
    ("torch-rechub", "../../torch-rechub/model.pth", "model", {}),
    ("torch-rechub", "dense.pth", "dense", {}),
    ("torch-rechub", "dense_weights.pth", "dense", {"fields": PRICE}),
    ("torch-rechub", "sequence.pth", "sequence", {}),
    ("torch-rechub", "sequence_weights.pth", "sequence", {"fields": ALL, "activation": "sigmoid,sigmoid"}),
    ("torch-rechub", "apart.pth", "apart", {}),
    ("torch-rechub", "apart_weights.pth", "apart", {"fields": PRICE, "activation": "LeakyReLU"}),
]
"""Tool, file, name of the predictions, what has to be said about it."""


def rows_of(ckpt, ids, price, tags):
    """Return rows as ``predict`` takes them: ids by field, lists of tags without 0."""
    names = ckpt.schema.id_names
    found = np.stack([np.full(len(price), -1) if name == "tags" else ids[name].astype(int) for name in names], axis=1)
    return found, price[:, None], {"tags": [[tag for tag in row if tag] for row in tags]}


def check(ckpt, rows, expected):
    """Check the predictions of rows, by the scorer of checkpoints and by formulas of the tests' own."""
    ids, values, lists = rows
    np.testing.assert_allclose(predict(ckpt, ids, values, lists), expected, atol=1e-5)
    pooled = {name: bag_of(own) for name, own in lists.items() if name in ckpt.schema.id_names}
    own_values = values.astype(np.float32) if len(ckpt.numeric) else None
    found = scorer_of(ckpt).predict(ids.astype(np.int32), own_values, bags=pooled)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def bag_of(rows):
    starts = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    return Bag(starts, np.concatenate([np.asarray(row, np.int32) for row in rows]))


@pytest.mark.parametrize(("tool", "file", "name", "given"), CASES, ids=[file for _, file, _, _ in CASES])
def test_predictions_are_the_tools_own(tool, file, name, given):
    ckpt = load_checkpoint(FOLDER / tool / file, **given)
    expected = np.load(FOLDER / tool / "expected.npz")
    x = expected["X"]
    names = {"field_0": 0, "field_1": 1, "field_2": 2, "user": 0, "item": 1, "cat": 2}
    ids = {name: x[:, column] for name, column in names.items()}
    none = np.zeros(len(x))
    price, tags = (expected[key] if key in expected else none[:, None] for key in ("price", "tags"))
    check(ckpt, rows_of(ckpt, ids, price.reshape(len(x)), tags), expected[name])
    assert (ckpt.source.tool, ckpt.network.kind) == (tool_of(tool), "nfm" if name == "nfm" else "deepfm")


def tool_of(folder):
    return {"deepctr-torch": "DeepCTR-Torch", "fuxictr": "FuxiCTR", "recbole": "RecBole"}.get(folder, folder)


@pytest.mark.parametrize("model", ["DeepFM", "NFM"])
def test_predictions_of_recbole(model):
    (path,) = (FOLDER / "recbole").glob(f"{model}-*.pth")
    ckpt = load_checkpoint(path)
    expected = np.load(FOLDER / "recbole" / "expected.npz")
    check(ckpt, rows_of(ckpt, expected, expected["price"], expected["tags"]), expected[model])
    assert (ckpt.source.tool, ckpt.network.kind) == ("RecBole", model.lower())
    assert list(ckpt.vocabulary.fields["ctx"].tokens) == expected["vocab_ctx"].tolist()


@pytest.mark.parametrize(
    ("folder", "file", "column", "activation"),
    [
        ("net_cat", "DeepFM_net_cat", "DeepFM", None),
        ("net_cat", "NFM_net_cat", "NFM", None),
        ("net_cat", "NFM_flat", "NFM_flat", None),
        ("net_all", "DeepFM_net_all", "DeepFM", "Tanh"),
        ("net_all", "NFM_net_all", "NFM", None),
    ],
)
def test_predictions_of_fuxictr(folder, file, column, activation):
    ckpt = load_checkpoint(FOLDER / "fuxictr" / folder / f"{file}.model", activation=activation)
    with (FOLDER / "fuxictr" / folder / "expected_test.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    ids = {name: ids_of(ckpt, name, [row[name] for row in rows]) for name in ("user", "item", "ctx")}
    tags = [ids_of(ckpt, "tags", [tag for tag in row.get("tags", "").split("^") if tag]) for row in rows]
    price = np.array([float(row.get("price", 0)) for row in rows])
    check(ckpt, rows_of(ckpt, ids, price, tags), [float(row[column]) for row in rows])
    assert (ckpt.source.tool, ckpt.network.kind) == ("FuxiCTR", column[:6].lower().split("_")[0])


def ids_of(ckpt, name, tokens):
    own = ckpt.vocabulary.of(name, ckpt.schema) if name in ckpt.schema.id_names else None
    known = {} if own is None else dict(zip(own.tokens, own.ids.tolist(), strict=True))
    return np.array([known.get(token, own.oov) for token in tokens], int)


def test_other_names_in_another_order_change_nothing():
    path = FOLDER / "fuxictr" / "net_all" / "NFM_net_all.model"
    plain = load_checkpoint(path)
    found = load_checkpoint(path, fields="ctx:13,tags:7,price:numeric,user:9,item:7")
    ids = np.stack([np.arange(20) % size for size in (9, 7, 7, 13)], axis=1)
    by_name = dict(zip(("user", "tags", "item", "ctx"), ids.T, strict=True))
    value = np.linspace(0, 1, 20)[:, None]
    one, other = (
        predict(each, np.stack([by_name[name] for name in each.schema.id_names], axis=1), value)
        for each in (plain, found)
    )
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_shared_tables_stand_where_the_caller_says(tmp_path):
    """Dense layers of a state_dict take features that share a table where --fields has them."""
    rng = np.random.default_rng(0)
    tables = {name: torch.tensor(rng.normal(size=(size, 2))) for name, size in (("a", 3), ("b", 4))}
    first = torch.tensor(rng.normal(size=(3, 6)))
    weights = {
        **{f"embedding_dict.{name}.weight": table for name, table in tables.items()},
        **{f"linear_model.embedding_dict.{name}.weight": table[:, :1] for name, table in tables.items()},
        "out.bias": torch.zeros(1),
        "dnn.linears.0.weight": first,
        "dnn.linears.0.bias": torch.zeros(3),
        "dnn_linear.weight": torch.ones(1, 3),
    }
    torch.save(weights, tmp_path / "a.h5")
    ckpt = load_checkpoint(tmp_path / "a.h5", fields="a:3,c=a,b:4")
    assert ckpt.schema.id_names == ("a", "b", "c")
    np.testing.assert_allclose(ckpt.network.layers[0].weight, first[:, [0, 1, 4, 5, 2, 3]].numpy(), rtol=1e-6)
    with pytest.raises(CheckpointError, match="names the others in another order than the file: 'a' and 'b'"):
        load_checkpoint(tmp_path / "a.h5", fields="b:4,c=a,a:3")
    with pytest.raises(
        CheckpointError, match=r"'dnn\.linears\.0\.weight' takes 6 numbers, expected 4 of a DeepFM or 2"
    ):
        load_checkpoint(tmp_path / "a.h5")


REFUSED = [
    ("pytorch-fm/deepfm.pt", {"activation": "tanh"}, "hidden layers have relu, relu, but --activation says tanh"),
    (
        "deepctr-torch/nfm.h5",
        {"activation": "relu,tanh"},
        "hidden layers have relu, relu, but --activation says relu, tanh",
    ),
    ("deepctr-torch/nfm_weights.h5", {"activation": "relu,relu,relu"}, "has 2 hidden layers, but --activation names 3"),
    ("../pytorch-fm/fm.pt", {"activation": "relu"}, "it has no dense layers"),
    ("pytorch-fm/nfm_state_dict.pt", {"fields": f"{CATS}"[:-1] + "0,x:linear"}, "numeric field 'x' has an embedding"),
    ("torch-rechub/dense_weights.pth", {}, "dense layers take 13 numbers, but its 3 tables and 0 numbers give 12"),
    ("torch-rechub/dense_weights.pth", {"fields": "user:7,item:5,cat:11,x=item"}, "'x' cannot share a table"),
]


@pytest.mark.parametrize(("file", "given", "message"), REFUSED)
def test_what_does_not_fit_is_told(file, given, message):
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(FOLDER / file, **given)


def test_activations_have_names():
    with pytest.raises(UsageError, match="activation 'gelu' is not one of identity, relu"):
        load_checkpoint(FOLDER / "deepctr-torch" / "nfm_weights.h5", activation="relu,gelu")


TELLING = [
    ("pytorch-fm/deepfm_state_dict.pt", {"fields": CATS}, "mlp.mlp.0.weight"),
    ("pytorch-fm/deepfm_state_dict.pt", {"fields": CATS}, "mlp.mlp.5.running_var"),
    ("pytorch-fm/nfm_state_dict.pt", {"fields": CATS}, "fm.1.running_mean"),
    ("deepctr-torch/deepfm_weights.h5", {"fields": ALL}, "dnn.linears.1.bias"),
    ("deepctr-torch/deepfm_bn_weights.h5", {}, "dnn.bn.1.weight"),
    ("deepctr-torch/deepfm_bn_weights.h5", {}, "dnn_linear.weight"),
    ("torch-rechub/dense_weights.pth", {"fields": PRICE}, "mlp.mlp.2.weight"),
    ("torch-rechub/dense_weights.pth", {"fields": PRICE}, "linear.fc.weight"),
    ("fuxictr/net_cat/DeepFM_net_cat.model", {"fields": "user:9,item:7,ctx:13"}, "mlp.mlp.3.weight"),
]


CHANGES = ("nan", "longer", "flat", "missing")
PRELU = "mlp.mlp.2.weight"
"""Without it, a layer is read as if it had a ReLU."""


@pytest.mark.parametrize(
    ("file", "given", "key", "change"),
    [(*each, change) for each in TELLING for change in CHANGES if (each[2], change) != (PRELU, "missing")],
)
def test_a_damaged_weight_is_named(tmp_path, file, given, key, change):
    state = torch.load(FOLDER / file)
    value = state.pop(key)
    changed = {
        "nan": torch.full_like(value, torch.nan),
        "longer": torch.cat([value, value]),
        "flat": value.reshape(-1)[:0],
    }
    if change != "missing":
        state[key] = changed[change]
    torch.save(state, tmp_path / "a.pt")
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(tmp_path / "a.pt", **given)
    assert "\n" not in str(caught.value)
    assert key.rpartition(".")[0] in str(caught.value) or change == "nan"


@pytest.mark.parametrize(
    ("file", "given", "added"),
    [
        ("pytorch-fm/deepfm_state_dict.pt", {"fields": CATS}, "cin.conv_layers.0.weight"),
        ("pytorch-fm/deepfm_state_dict.pt", {"fields": CATS}, "cn.w.0.weight"),
        ("deepctr-torch/deepfm_weights.h5", {"fields": ALL}, "cin.conv1ds.0.weight"),
        ("deepctr-torch/deepfm_weights.h5", {"fields": ALL}, "crossnet.kernels"),
        ("deepctr-torch/deepfm_bn_weights.h5", {}, "dnn.activation_layers.0.alpha"),
        ("fuxictr/net_cat/NFM_net_cat.model", {}, "int_layers.0.W_q.weight"),
        ("fuxictr/net_cat/DeepFM_net_cat.model", {}, "mlp.mlp.1.alpha"),
        ("torch-rechub/dense_weights.pth", {"fields": PRICE}, "attention_layers.0.mlp.weight"),
    ],
)
def test_layers_of_other_models_are_named(tmp_path, file, given, added):
    path = FOLDER / file
    torch.save({**torch.load(path), added: torch.ones(2, 2)}, tmp_path / path.name)
    if "fuxictr" in file:
        given = {"dataset": path.with_name("feature_map.json")}
    with pytest.raises(CheckpointError, match=f"it also holds '{added}'"):
        load_checkpoint(tmp_path / path.name, **given)


def test_wrapped_networks_are_found(tmp_path):
    state = torch.load(FOLDER / "pytorch-fm" / "nfm_state_dict.pt")
    wrapped = {
        f"model._orig_mod.module.{key}": value.half() if value.is_floating_point() else value
        for key, value in state.items()
    }
    lightning = {"epoch": 1, "state_dict": {**wrapped, "criterion.pos_weight": torch.ones(1)}, "optimizer_states": [{}]}
    torch.save(lightning, tmp_path / "a.ckpt")
    found = load_checkpoint(tmp_path / "a.ckpt", fields=CATS).network
    for layer, plain in zip(
        found.layers, load_checkpoint(FOLDER / "pytorch-fm" / "nfm.pt").network.layers, strict=True
    ):
        np.testing.assert_allclose(layer.weight, plain.weight, atol=2e-2)


def test_whole_models_of_fuxictr_tell_their_activations(tmp_path, monkeypatch):
    """What FuxiCTR saves is a state_dict, but users save whole models too."""
    layers = nn.Sequential(nn.Linear(12, 4), nn.Sigmoid(), nn.Linear(4, 1))

    class DeepFM(nn.Module):
        def __init__(self):
            super().__init__()
            for name, width in (("embedding_layer", 4), ("fm", 1)):
                tables = nn.ModuleDict({"user": nn.Embedding(9, width), "item": nn.Embedding(7, width)})
                tables["ctx"] = nn.Embedding(13, width)
                inner = holder(embedding_layer=holder(embedding_layers=tables))
                setattr(self, name, inner if name != "fm" else holder(lr_layer=holder(embedding_layer=inner)))
            self.fm.lr_layer.bias = nn.Parameter(torch.zeros(1))
            self.mlp = holder(mlp=layers)

    DeepFM.__module__, DeepFM.__qualname__ = "src", "DeepFM"
    monkeypatch.setitem(sys.modules, "src", SimpleNamespace(DeepFM=DeepFM))
    torch.save(DeepFM(), tmp_path / "a.pt")
    found = load_checkpoint(tmp_path / "a.pt", fields="user:9,item:7,ctx:13").network
    assert [layer.activation for layer in found.layers] == ["sigmoid", "identity"]


def holder(**modules):
    """Return a module that has others."""
    found = nn.Module()
    for name, module in modules.items():
        setattr(found, name, module)
    return found
