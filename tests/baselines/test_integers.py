"""Integers with steps: how far numbers move, which steps are chosen; fake quantization against the paper's formulas."""

import numpy as np
import pytest
import torch

from fmcompress.baselines.integers import INT4, INT8, LEAST_STEP, as_float16, best_steps, fake_float16, fake_quantized
from fmcompress.baselines.stored import IntegerRows
from fmcompress.fm.schema import Schema

SCHEMA = Schema.of([("a", 50), ("b", 7), ("c", 1)])
RNG = np.random.default_rng(0)
VALUES = (RNG.normal(size=(58, 3)) * [0.01, 1, 30]).astype(np.float32)
COUNTS = RNG.integers(0, 100, 58)


def rounded(values, steps, integers):
    """Return the table as it is stored."""
    per_row = np.repeat(steps.astype(np.float32), SCHEMA.cardinalities, axis=0)
    return IntegerRows(SCHEMA, integers.codes(values, per_row).astype(np.int8), steps, integers)


@pytest.mark.parametrize("integers", [INT4, INT8])
def test_numbers_come_back_within_half_a_step(integers):
    largest = np.stack([np.abs(part).max(axis=0) for part in SCHEMA.split(VALUES)])
    steps = as_float16(largest / integers.highest * 1.001)  # nothing is clipped
    stored = rounded(VALUES, steps, integers)
    shift = np.abs(stored.decode() - VALUES)
    assert (shift <= 0.501 * np.repeat(steps.astype(np.float32), SCHEMA.cardinalities, axis=0)).all()
    assert stored.codes.min() >= integers.lowest
    assert stored.codes.max() <= integers.highest


@pytest.mark.parametrize(("integers", "values_a_byte"), [(INT4, 2), (INT8, 1)])
def test_integers_are_packed_and_can_be_unpacked(integers, values_a_byte):
    stored = rounded(VALUES, best_steps(VALUES, SCHEMA, COUNTS, integers), integers)
    packed = stored.arrays()["codes"].reshape(-1)
    assert packed.nbytes == VALUES.size // values_a_byte
    if values_a_byte == 2:
        packed = np.stack([packed & 15, packed >> 4], axis=1).reshape(-1)
    signed = packed.astype(np.int64)
    signed[signed > integers.highest] -= 2**integers.bits
    np.testing.assert_array_equal(signed.reshape(VALUES.shape), stored.codes)


def test_steps_have_less_error_than_those_that_clip_nothing_where_frequent_categories_are_small():
    counts = np.where(np.abs(VALUES[:, 1]) < 1, 100, 0)

    def error(steps):
        shift = rounded(VALUES, steps, INT4).decode() - VALUES
        return (counts[:, None] * shift**2)[:50].sum(axis=0)

    largest = as_float16(np.stack([np.abs(part).max(axis=0) / INT4.highest for part in SCHEMA.split(VALUES)]))
    found = best_steps(VALUES, SCHEMA, counts, INT4)
    assert (error(found) <= error(largest)).all()
    assert error(found)[1] < 0.8 * error(largest)[1]
    assert found[0, 1] < 0.8 * largest[0, 1]


def test_fields_that_were_never_seen_are_not_clipped():
    found = best_steps(VALUES, SCHEMA, np.zeros(58, dtype=np.int64), INT8)
    decoded = rounded(VALUES, found, INT8).decode()
    np.testing.assert_allclose(decoded, VALUES, atol=0.3)


def test_columns_of_zeros_have_steps_that_can_be_divided_by():
    found = best_steps(np.zeros((58, 3), dtype=np.float32), SCHEMA, COUNTS, INT4)
    assert found.dtype == np.float16
    assert (found.astype(np.float64) >= LEAST_STEP).all()


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
    found = fake_float16(steps)
    found.sum().backward()
    np.testing.assert_array_equal(found.detach(), steps.detach().half().float())
    np.testing.assert_array_equal(steps.grad, [1, 1])
