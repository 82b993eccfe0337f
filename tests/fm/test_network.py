"""Dense layers: what they compute, and what is refused."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from fmcompress.errors import CheckpointError
from fmcompress.fm.activations import ACTIVATIONS
from fmcompress.fm.network import DenseLayer, Network, input_size
from fmcompress.fm.schema import Schema

SCHEMA = Schema.of([("user", 5), ("item", 4)])
OF_TORCH = {
    "identity": torch.nn.Identity(),
    "relu": torch.nn.ReLU(),
    "leaky_relu": torch.nn.LeakyReLU(),
    "sigmoid": torch.nn.Sigmoid(),
    "tanh": torch.nn.Tanh(),
    "elu": torch.nn.ELU(),
}


def layers(*sizes: int, activation: str = "relu") -> tuple[DenseLayer, ...]:
    """Return random dense layers of these sizes, the last one without activation."""
    rng = np.random.default_rng(0)
    found = [
        DenseLayer(
            rng.normal(size=(n, m)).astype(np.float32),
            rng.normal(size=n).astype(np.float32),
            "identity" if number == len(sizes) - 2 else activation,
        )
        for number, (m, n) in enumerate(pairwise(sizes))
    ]
    return tuple(found)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_values_and_slopes_are_those_of_torch(activation):
    network = Network("deepfm", layers(6, 5, 4, 1, activation=activation))
    inputs = np.random.default_rng(1).normal(size=(20, 6)).astype(np.float32)
    x = leaf = torch.from_numpy(inputs).requires_grad_()
    for layer in network.layers:
        x = torch.nn.functional.linear(x, torch.from_numpy(layer.weight), torch.from_numpy(layer.bias))
        x = OF_TORCH[layer.activation](x)
    x.sum().backward()
    sums = network.sums(inputs)
    values, slopes = network.values_of(sums), network.slopes_of(sums)
    np.testing.assert_allclose(values, x.detach().numpy()[:, 0], atol=1e-4)
    np.testing.assert_allclose(slopes, leaf.grad.numpy(), atol=1e-4)
    np.testing.assert_array_equal(network.values(inputs), values)


def test_rotated_network_takes_rotated_embeddings():
    network = Network("deepfm", layers(2 * 3 + 1, 4, 1))
    axes = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0].astype(np.float32)
    vectors = np.random.default_rng(2).normal(size=(10, 2, 3)).astype(np.float32)
    last = np.ones((10, 1), np.float32)
    before = network.values(np.concatenate([vectors.reshape(10, -1), last], axis=1))
    after = network.rotated(axes, 2).values(np.concatenate([(vectors @ axes).reshape(10, -1), last], axis=1))
    np.testing.assert_allclose(after, before, atol=1e-5)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (lambda: Network("wide", layers(8, 1)), "'wide', expected one of deepfm, nfm"),
        (lambda: Network("nfm", ()), "shapes none do not lead"),
        (lambda: Network("nfm", (*layers(4, 3, 1)[:1], *layers(2, 1))), "do not lead from one to the next"),
        (lambda: Network("nfm", layers(4, 3)), "and to one number"),
        (lambda: Network("nfm", layers(5, 1)).check(SCHEMA, 4), "takes 5 numbers, the fields give 4 to nfm"),
        (lambda: Network("deepfm", layers(4, 1)).check(SCHEMA, 4), "takes 4 numbers, the fields give 8 to deepfm"),
        (lambda: DenseLayer(np.ones((2, 3), np.float32), np.ones(3, np.float32)), r"expected \(out, in\) and \(out,\)"),
        (lambda: DenseLayer(np.ones((2, 3), np.float32), np.ones(2, np.float32), "dice"), "activation 'dice'"),
        (lambda: DenseLayer(np.full((2, 3), np.nan, np.float32), np.ones(2, np.float32)), "NaN or infinite"),
    ],
)
def test_networks_that_make_no_sense_are_refused(network, message):
    with pytest.raises(CheckpointError, match=message):
        network()


def test_inputs_are_counted():
    assert input_size("deepfm", SCHEMA, 4) == 8
    assert input_size("nfm", SCHEMA, 4) == 4
