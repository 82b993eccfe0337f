"""Tensors of several stored blocks: put together, and refused where the blocks make no tensor."""

import numpy as np
import pytest

from fmcompress.checkpoints.files.chunked_tensor import Chunk, ChunkedTensor
from fmcompress.checkpoints.pickle.arrays import NumpyArray
from fmcompress.checkpoints.stored_numbers import NUMBER_TYPES
from fmcompress.errors import CheckpointError

TABLE = np.arange(60, dtype=np.float32).reshape(12, 5)
WAYS = {
    "whole": [(0, 0, 12, 5)],
    "rows": [(4, 0, 8, 5), (0, 0, 4, 5)],
    "columns": [(0, 0, 12, 2), (0, 2, 12, 3)],
    "both": [(0, 0, 7, 2), (7, 0, 5, 2), (0, 2, 7, 3), (7, 2, 5, 3)],
    "uneven": [(0, 0, 12, 1), (0, 1, 3, 4), (3, 1, 9, 4)],
    "with empty ones": [(0, 0, 0, 5), (0, 0, 12, 5), (12, 0, 0, 5)],
}


def chunk(row, column, rows, columns):
    return Chunk((row, column), (rows, columns), NumpyArray(TABLE[row : row + rows, column : column + columns]))


def made(places, shape=(12, 5)):
    return ChunkedTensor.of("v", shape, NUMBER_TYPES["float32"], [chunk(*place) for place in places])


@pytest.mark.parametrize("places", WAYS.values(), ids=WAYS)
def test_rows_come_from_all_blocks_that_have_some(places):
    tensor = made(places)
    np.testing.assert_array_equal(tensor.read(), TABLE, strict=True)
    for start in range(13):
        for stop in range(start, 13):
            np.testing.assert_array_equal(tensor.read_rows(start, stop), TABLE[start:stop], strict=True)
    with pytest.raises(IndexError):
        tensor.read_rows(0, 13)


def test_tensors_of_no_and_of_one_dimension():
    single = ChunkedTensor.of("b", (), NUMBER_TYPES["float32"], [Chunk((), (), NumpyArray(np.array(2, np.float32)))])
    assert single.read() == 2
    halves = [Chunk((6,), (6,), NumpyArray(TABLE[6:, 0])), Chunk((0,), (6,), NumpyArray(TABLE[:6, 0]))]
    tensor = ChunkedTensor.of("w", (12,), NUMBER_TYPES["float32"], halves)
    np.testing.assert_array_equal(tensor.read_rows(3, 9), TABLE[3:9, 0], strict=True)


@pytest.mark.parametrize(
    "places",
    [
        [],
        [(0, 0, 11, 5)],
        [(0, 0, 12, 5), (0, 0, 12, 5)],
        [(0, 0, 8, 5), (6, 0, 4, 5)],
        [(0, 0, 12, 2), (0, 1, 12, 3)],
        [(0, 0, 12, 5), (4, 2, 0, 5)],
    ],
)
def test_blocks_that_make_no_tensor_are_refused(places):
    with pytest.raises(CheckpointError, match=r"the parts of v have \d+ numbers, which do not make one tensor"):
        made(places)


def test_blocks_of_other_dimensions_are_refused():
    with pytest.raises(CheckpointError, match="do not make one tensor"):
        made([(0, 0, 12, 5)], shape=(60,))
    twice = [Chunk((), (), NumpyArray(np.array(1.0)))] * 2
    with pytest.raises(CheckpointError, match="do not make one tensor"):
        ChunkedTensor.of("b", (), NUMBER_TYPES["float32"], twice)
