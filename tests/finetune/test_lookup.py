"""Looking rows up, and summing them: against plain loops and dense matrices."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fmcompress.finetune.lookup import Lookup, sum_by_row, sum_of_rows

seeds = st.integers(0, 10_000)
MAPS = [np.array([[4, 0], [5, 1], [6, 2]]), np.array([[9, 7]])]
OTHERS = [np.array([[1, 1], [2, 2], [3, 3]]), np.array([[8, 8]])]
IDS = torch.tensor([[0, 0], [2, -1], [-1, -1]])


def test_ids_are_mapped_field_by_field_and_missing_ones_to_the_last_row():
    lookup = Lookup(MAPS, null=99)
    assert lookup(IDS).tolist() == [[[4, 0], [9, 7]], [[6, 2], [99, 99]], [[99, 99], [99, 99]]]
    assert lookup.positions(IDS).tolist() == [[0, 3], [2, 4], [4, 4]]


def test_maps_may_have_one_row_for_each_id():
    lookup = Lookup([maps[:, 0] for maps in MAPS], null=99)
    assert lookup(IDS).tolist() == [[4, 9], [6, 99], [99, 99]]


def test_maps_are_replaced_and_split_again():
    lookup = Lookup(MAPS, null=99)
    before = lookup.split()
    lookup.replace(OTHERS)
    for found, expected in zip([*before, *lookup.split()], [*MAPS, *OTHERS], strict=True):
        np.testing.assert_array_equal(found, expected)
    assert lookup(IDS[1:2]).tolist() == [[[3, 3], [99, 99]]]


@pytest.mark.parametrize("persistent", [False, True])
def test_maps_that_change_are_part_of_the_state(persistent):
    assert list(Lookup(MAPS, null=99, persistent=persistent).state_dict()) == ["numbers"] * persistent


@settings(deadline=None, max_examples=20)
@given(seed=seeds, n=st.integers(1, 20), m=st.integers(1, 5), size=st.integers(1, 9), columns=st.integers(1, 4))
def test_sums_by_row_are_a_matrix_product(seed, n, m, size, columns):
    rng = np.random.default_rng(seed)
    rows = torch.from_numpy(rng.integers(0, size, (n, m)))
    weights, values = (torch.tensor(rng.normal(size=shape), dtype=torch.float32) for shape in ((n, m), (n, columns)))
    matrix = np.zeros((size, n))
    np.add.at(matrix, (rows.numpy(), np.arange(n)[:, None]), weights.numpy())
    found = sum_by_row(rows, weights, values, size)
    assert (found.dtype, found.shape) == (torch.float32, (size, columns))
    np.testing.assert_allclose(found, matrix @ values.numpy(), rtol=1e-4, atol=1e-5)


@settings(deadline=None, max_examples=20)
@given(seed=seeds, bags=st.integers(1, 20), per_bag=st.integers(1, 5), size=st.integers(1, 9))
def test_sums_of_rows_and_their_gradients(seed, bags, per_bag, size):
    rng = np.random.default_rng(seed)
    rows = torch.from_numpy(rng.integers(0, size, (bags, per_bag)))
    numbers = torch.tensor(rng.normal(size=(size, 3)), dtype=torch.float32)
    weights = torch.tensor(rng.normal(size=(bags, 3)), dtype=torch.float32)
    table, plain = numbers.clone().requires_grad_(), numbers.clone().requires_grad_()
    (sum_of_rows(table, rows) * weights).sum().backward()
    (plain[rows].sum(dim=1) * weights).sum().backward()
    np.testing.assert_allclose(sum_of_rows(numbers, rows), numbers[rows].sum(dim=1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(table.grad, plain.grad, rtol=1e-4, atol=1e-5)
