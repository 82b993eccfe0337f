"""Models with dense layers in tuning: their logits, and what a step changes."""

import numpy as np
import pytest
import torch

from fmcompress.artifact import unpack_model
from fmcompress.artifact.packed import pack_model
from fmcompress.finetune.inputs import InputsOf
from fmcompress.finetune.quantized_module import QuantizedModule
from tests import networks
from tests.models import origin
from tests.serve.test_networks import decoded, model


@pytest.mark.parametrize("kind", networks.KINDS)
def test_logits_in_tuning_are_those_of_the_formula(kind):
    packed = pack_model(model(kind, (2, 1, 2)), origin())
    ckpt, working = decoded(packed), unpack_model(packed)
    rows = networks.batch(ckpt, 30)
    module = QuantizedModule(working, sparse=False)
    found = module(InputsOf(working.tiers, ckpt.numeric, "cpu")(rows))
    np.testing.assert_allclose(found.detach().numpy(), networks.logits(ckpt, rows), atol=1e-4)


def test_a_step_changes_dense_layers_too():
    working = unpack_model(pack_model(model("nfm", (2, 2, 2)), origin()))
    ckpt = decoded(pack_model(working, origin()))
    module = QuantizedModule(working, sparse=False)
    rows = networks.batch(ckpt, 30)
    module(InputsOf(working.tiers, ckpt.numeric, "cpu")(rows)).sum().backward()
    with torch.no_grad():
        for parameter in module.dense():
            parameter.sub_(0.1 * parameter.grad)
    stored = module.store(working).network
    for layer, before in zip(stored.layers, working.network.layers, strict=True):
        assert not np.array_equal(layer.weight, before.weight)
        assert layer.activation == before.activation
