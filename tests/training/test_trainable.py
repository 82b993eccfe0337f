"""Models in training: their optimizers, and compressed ones there and back in the state of a run."""

import io

import numpy as np
import pytest
import torch

from fmcompress.artifact import save, unpack_model
from fmcompress.training import trainable
from fmcompress.training.trainable import PackedTrainable, adam, linear_decay, sparse_gradients
from tests.models import EVERY_SHAPE, packed
from tests.training.scripted import MemoryRows, Scripted


class Standing(PackedTrainable):
    """A model in training that is never trained."""

    def __init__(self, model):
        self.like, self.origin = unpack_model(model), model.header.origin

    def loss(self, batch):
        raise NotImplementedError

    def kept(self):
        raise NotImplementedError


@pytest.mark.parametrize("shape", EVERY_SHAPE)
def test_decode_is_the_inverse_of_encode(tmp_path, shape):
    model = packed(*EVERY_SHAPE[shape])
    model.save(tmp_path / "a")
    state, training = io.BytesIO(), Standing(model)
    torch.save(training.encode(model), state)
    state.seek(0)
    found = training.decode(torch.load(state, weights_only=True))
    assert (found.header, found.bias) == (model.header, model.bias)
    np.testing.assert_array_equal(found.values, model.values)
    np.testing.assert_array_equal(found.codes, model.codes)
    np.testing.assert_array_equal(found.tiers.of, model.tiers.of)
    save(found, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_only_large_tables_get_sparse_gradients(monkeypatch):
    monkeypatch.setattr(trainable, "_MOST_DENSE_VALUES", 100)
    assert [sparse_gradients(values) for values in (99, 100, 101)] == [False, False, True]


@pytest.mark.parametrize("sparse", [False, True])
def test_adam_trains_tables_and_all_else_alike(sparse):
    table, bias = torch.nn.Parameter(torch.ones(4, 2)), torch.nn.Parameter(torch.ones(()))
    optimizers = adam([table], [bias], 0.1, sparse=sparse)
    rows = torch.nn.functional.embedding(torch.tensor([1, 3]), table, sparse=sparse)
    (rows.sum() + bias).backward()
    for optimizer in optimizers:
        optimizer.step()
    assert bias.item() == pytest.approx(0.9)
    np.testing.assert_allclose(table.detach()[:, 0], [1, 0.9, 1, 0.9], rtol=1e-6)


def test_learning_rates_fall_linearly_with_each_step():
    training = Scripted()
    training.schedulers = linear_decay(training.optimizers, 4)
    rates, (batch,) = [], MemoryRows(3).batches()
    for _ in range(5):
        rates.append(training.optimizers[0].param_groups[0]["lr"])
        training.step(batch)
    assert rates == pytest.approx([1, 0.75, 0.5, 0.25, 0])


def test_what_is_trained_goes_on_as_it_was():
    first, second = Scripted(), Scripted()
    (batch,) = MemoryRows(3).batches()
    for training in (first, second):
        training.optimizers = [torch.optim.Adam(training.module.parameters(), lr=0.1)]
        training.schedulers = linear_decay(training.optimizers, 4)
    first.step(batch)
    second.load_state_dict(first.state_dict())
    for training in (first, second):
        training.step(batch)
    assert second.kept() == first.kept()
    assert second.state_dict()["schedulers"] == first.state_dict()["schedulers"]
