"""Sequences of torch modules, and the dense layers that they become."""

from contextlib import closing

import numpy as np
import pytest
import torch
from torch import nn

from fmcompress.checkpoints.checkpoint_file import CheckpointFile
from fmcompress.checkpoints.tools.dense_layers import Inputs, in_sequence, read_network
from fmcompress.errors import CheckpointError
from fmcompress.fm.activations import ACTIVATIONS
from fmcompress.fm.schema import NumericField, Schema

SCHEMA = Schema.of([("user", 3), ("item", 4)])
INPUTS = Inputs(SCHEMA, 3, ("user", "item"))


def trained(*modules):
    """Return a sequence in evaluation mode, whose batch norms and PReLUs have numbers of their own."""
    torch.manual_seed(0)
    model = nn.Sequential(*modules)
    for module in model:
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.1, 3)
            for weight in (module.weight, module.bias):
                nn.init.normal_(weight)
        if isinstance(module, nn.PReLU):
            nn.init.uniform_(module.weight, -0.5, 0.5)
    return model.eval()


SEQUENCES = {
    "one layer": [nn.Linear(6, 1)],
    "batch norm before the activation": [nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Dropout(), nn.Linear(5, 1)],
    "batch norm behind it": [nn.Linear(6, 5), nn.Tanh(), nn.BatchNorm1d(5), nn.Linear(5, 1)],
    "batch norm first": [nn.BatchNorm1d(6), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1)],
    "batch norm last": [nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1), nn.BatchNorm1d(1)],
    "one PReLU": [nn.Linear(6, 5), nn.PReLU(), nn.BatchNorm1d(5), nn.Linear(5, 4), nn.PReLU(4), nn.Linear(4, 1)],
}


@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize("whole", [False, True])
def test_layers_return_what_the_modules_do(tmp_path, name, whole):
    model = trained(*SEQUENCES[name])
    found = read(tmp_path, model, whole=whole)
    inputs = np.random.default_rng(1).normal(size=(30, 6)).astype(np.float32)
    with torch.no_grad():
        expected = model(torch.from_numpy(inputs))[:, 0].numpy()
    np.testing.assert_allclose(found.values(inputs), expected, atol=1e-5)


@pytest.mark.parametrize(
    "activation",
    [nn.ReLU(), nn.Sigmoid(), nn.Tanh(), nn.ELU(), nn.Identity(), nn.LeakyReLU(), nn.LeakyReLU(0.3), nn.LeakyReLU(-1)],
)
def test_whole_models_tell_their_activations(tmp_path, activation):
    model = trained(nn.Linear(6, 5), activation, nn.Linear(5, 1))
    inputs = np.random.default_rng(1).normal(size=(30, 6)).astype(np.float32)
    with torch.no_grad():
        expected = model(torch.from_numpy(inputs))[:, 0].numpy()
    np.testing.assert_allclose(read(tmp_path, model, whole=True).values(inputs), expected, atol=1e-5)


def read(tmp_path, model, *, whole=False, activations=("tanh",), inputs=INPUTS):
    """Return the network of a sequence that is saved whole, or as a state_dict."""

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.mlp = nn.Embedding(2, 2), model

    Model.__qualname__ = "Model"
    globals()["Model"] = Model
    saved = Model().eval()
    torch.save(saved if whole else saved.state_dict(), tmp_path / "a.pt")
    with closing(CheckpointFile(tmp_path / "a.pt")) as file:
        (part,) = file.parts
        module = part.model.attributes["_modules"]["mlp"] if whole else None
        steps = in_sequence(part.tensors, "mlp.", activations, module=module)
        return read_network("deepfm", steps, part.tensors, inputs)


@pytest.mark.parametrize(
    ("modules", "whole", "message"),
    [
        (
            [nn.Linear(5, 1)],
            False,
            r"'mlp\.0\.weight' has shape \(1, 5\), expected \(out, 6\): DeepFM takes 2 embeddings of 3 numbers$",
        ),
        (
            [nn.Linear(6, 4), nn.ReLU(), nn.Linear(3, 1)],
            False,
            r"'mlp\.2\.weight' has shape \(1, 3\), expected \(out, 4\)$",
        ),
        (
            [nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2)],
            False,
            r"the last of which is 'mlp\.2\.weight', return 2 numbers, expected one",
        ),
        (
            [nn.Linear(6, 4), nn.BatchNorm1d(3), nn.Linear(4, 1)],
            False,
            r"'mlp\.1\.weight' has shape \(3,\), expected \(4,\)",
        ),
        ([nn.Linear(6, 4), nn.PReLU(3), nn.Linear(4, 1)], False, r"'mlp\.1\.weight' has shape \(3,\)"),
        (
            [nn.Linear(6, 4), nn.GELU(), nn.Linear(4, 1)],
            True,
            r"layer 'mlp\.1' is a torch\.nn\.modules\.activation\.GELU",
        ),
        ([nn.Linear(6, 4), nn.ELU(0.5), nn.Linear(4, 1)], True, r"'mlp\.1' is an ELU with alpha 0\.5, expected 1"),
        ([nn.ReLU(), nn.Linear(6, 1)], True, "activation 'relu' has no linear layer before it"),
        ([nn.PReLU(), nn.Linear(6, 1)], True, r"no linear layer before it"),
        ([nn.Linear(6, 4), nn.LayerNorm(4), nn.Linear(4, 1)], True, r"'mlp\.1' is a torch\.nn\.modules\.normalization"),
    ],
)
def test_sequences_that_make_no_network_are_refused(tmp_path, modules, whole, message):
    with pytest.raises(CheckpointError, match=message):
        read(tmp_path, trained(*modules), whole=whole)


@pytest.mark.parametrize(
    "change", [lambda norm: norm.running_var.fill_(-1), lambda norm: norm.weight.data.fill_(torch.inf)]
)
def test_numbers_of_batch_norms_are_checked(tmp_path, change):
    model = trained(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    change(model[1])
    with pytest.raises(CheckpointError, match=r"'mlp\.1\.\w+' holds (negative variances|NaN or infinite numbers)"):
        read(tmp_path, model)


def test_activations_of_each_layer(tmp_path):
    model = trained(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3), nn.Sigmoid(), nn.Linear(3, 1))
    found = read(tmp_path, model, activations=("tanh", "sigmoid"))
    assert [layer.activation for layer in found.layers] == ["tanh", "sigmoid", "identity"]
    with pytest.raises(CheckpointError, match="has 2 hidden layers, but --activation names 3"):
        read(tmp_path, model, activations=("tanh",) * 3)


def test_inputs_are_put_in_the_order_of_the_schema(tmp_path):
    schema = Schema.in_order([NumericField("age", linear_only=True), *SCHEMA.fields, NumericField("price")])
    inputs = Inputs(schema, 2, ("price", "item"), ("age",))
    weight = read(tmp_path, nn.Sequential(nn.Linear(5, 1)), inputs=inputs).layers[0].weight
    stored = torch.load(tmp_path / "a.pt")["mlp.0.weight"].numpy()
    zeros = np.zeros((1, 2))
    np.testing.assert_array_equal(weight, np.concatenate([zeros, stored[:, 2:4], stored[:, :2], stored[:, 4:]], axis=1))


def test_every_activation_is_tried():
    assert set(ACTIVATIONS) == {"identity", "relu", "leaky_relu", "sigmoid", "tanh", "elu"}
