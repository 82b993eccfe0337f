"""Numbers of few bits in training."""

import numpy as np
import torch

from fmcompress.artifact import unpack_model
from fmcompress.finetune.few_bits import FewBits
from fmcompress.finetune.quantized_module import QuantizedModule
from fmcompress.fm.quantizer import INT8, Quantizer
from tests.models import origin, pack_model, quantized


def test_numbers_are_rounded_as_an_artifact_stores_them_and_gradients_pass_through():
    quantizers = [Quantizer((2, 1), 1, INT8, 3), Quantizer((1, 1), 1, INT8)]
    few_bits = FewBits(quantizers, np.array([[2, 1], [1, 1]]))
    table = torch.tensor([[0.31, -0.1], [0.0, 0.26], [0.123, 7.0], [0.6, 0.04], [0.5, 0.5], [0.0, 0.0]])
    table.requires_grad_()
    found = few_bits(table)
    # Rows 0, 1 and 3 are of the first field: its step is 0.6 / 3.
    wanted = [[0.4, -0.0], [0.0, 0.2], [0.123, 7.0], [0.6, 0.0], [0.5, 0.5], [0.0, 0.0]]
    np.testing.assert_allclose(found.detach().numpy(), wanted, atol=1e-6)
    (found * torch.arange(12.0).reshape(6, 2)).sum().backward()
    assert table.grad.reshape(-1).tolist() == list(range(12))
    zeros = torch.zeros(6, 2)
    assert not few_bits(zeros).any()


def test_what_a_module_stores_of_few_bits_is_what_is_read_back():
    model = quantized(6, "40 b421:4 4", "9 raw:3 raw", "30 3x4:8 2")
    module = QuantizedModule(model, sparse=False)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.rand(parameter.shape, generator=torch.Generator().manual_seed(0)))
    stored = module.store(model)
    again = unpack_model(pack_model(stored, origin()))
    for field in (0, 1):
        for one, other in zip(stored.fields[field].tables, again.fields[field].tables, strict=True):
            np.testing.assert_array_equal(one, other)
