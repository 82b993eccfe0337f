"""Fake quantization against the formulas of the paper, written out plainly."""

import numpy as np
import pytest
import torch

from fmcompress.baselines.integers import INT4, INT8
from fmcompress.baselines.lsq import as_stored, fake_quantized


@pytest.mark.parametrize("integers", [INT4, INT8])
def test_numbers_and_gradients_are_those_of_the_paper(integers):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 3, 2)) * integers.highest
    steps, scales, upstream = rng.uniform(0.3, 2, (3, 2)), rng.uniform(0.1, 1, (3, 1)), rng.normal(size=values.shape)
    v, s, g, u = (torch.tensor(array, dtype=torch.float64) for array in (values, steps, scales, upstream))
    v.requires_grad_()
    s.requires_grad_()
    found = fake_quantized(v, s, g, integers)
    (found * u).sum().backward()

    ratios = values / steps
    inside = (ratios > integers.lowest) & (ratios < integers.highest)
    assert 0.1 < inside.mean() < 0.9
    codes = np.clip(np.rint(ratios), integers.lowest, integers.highest)
    np.testing.assert_allclose(found.detach(), codes * steps)
    np.testing.assert_allclose(v.grad, upstream * inside, atol=1e-12)
    slopes = np.where(inside, np.rint(ratios) - ratios, codes)
    np.testing.assert_allclose(s.grad, scales * (upstream * slopes).sum(axis=0))


def test_steps_are_rounded_to_float16_and_their_gradient_passes():
    steps = torch.tensor([0.1, 0.3333333], requires_grad=True)
    found = as_stored(steps)
    found.sum().backward()
    np.testing.assert_array_equal(found.detach(), steps.detach().half().float())
    np.testing.assert_array_equal(steps.grad, [1, 1])
