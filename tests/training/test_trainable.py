"""Compressed models in the state of a run: there and back, in tiers and int8 too."""

import io

import numpy as np
import pytest
import torch

from fmcompress.artifact import save, unpack_model
from fmcompress.training.trainable import PackedTrainable
from tests.models import EVERY_SHAPE, packed


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
