"""Arrays on their way to a device."""

import numpy as np
import torch

from fmcompress.devices import moving
from fmcompress.devices.moving import moved, moved_by_blocks, sums_of_groups


class Table:
    """What has the face of an array, and is read by slices."""

    shape = (10, 3)

    def __getitem__(self, rows):
        return np.arange(30, dtype=np.float32).reshape(10, 3)[rows]


def test_arrays_arrive_as_they_are():
    for array in (np.arange(6).reshape(2, 3), np.ones(3, np.float32)[::2], np.zeros((0, 2), np.int32)):
        np.testing.assert_array_equal(moved(array, "cpu").numpy(), array)


def test_what_must_not_be_written_is_copied():
    array = np.ones(3, np.float32)
    array.setflags(write=False)
    moved(array, "cpu")[0] = 2
    assert array[0] == 1


def test_a_table_is_moved_by_blocks(monkeypatch):
    monkeypatch.setattr(moving, "_BLOCK_BYTES", 4 * 3 * 4)
    np.testing.assert_array_equal(moved_by_blocks(Table(), "cpu").numpy(), Table()[:])
    assert moved_by_blocks(Table(), "meta").shape == (10, 3)


def test_values_are_summed_by_group_and_empty_groups_are_0():
    rng = np.random.default_rng(0)
    values, groups = rng.normal(size=(50, 4)), rng.integers(0, 6, 50)
    groups[groups == 3] = 2
    found = sums_of_groups(torch.from_numpy(values), torch.from_numpy(groups), 6)
    np.testing.assert_allclose(found, [values[groups == group].sum(axis=0) for group in range(6)], atol=1e-12)
