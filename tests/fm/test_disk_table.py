"""Tables on the disk have the face of arrays, and whatever is made of them is what is made of arrays."""

import numpy as np
import pytest

from fmcompress.fm.disk_table import blocks, largest_of_rows, on_disk, part_of, rows_of, turned, zeroed

RNG = np.random.default_rng(0)
ARRAY = RNG.normal(size=(40_000, 6)).astype(np.float32)
AXES = np.linalg.qr(RNG.normal(size=(6, 6)))[0].astype(np.float32)
SOME = np.flatnonzero(RNG.random(len(ARRAY)) < 0.3)
FEW = np.array([3, 20_001, 39_999])


class Stored:
    """Rows of an array that are read one range at a time."""

    def __init__(self, array):
        self.shape, self._array, self.read = array.shape, array, 0

    def read_rows(self, start, stop):
        assert 0 <= start <= stop <= len(self._array)
        self.read += stop - start
        return self._array[start:stop].copy()


def table():
    return on_disk([Stored(ARRAY[:7]), Stored(ARRAY[7:7]), Stored(ARRAY[7:25_000]), Stored(ARRAY[25_000:])])


def steps(made):
    """Return what is made of a table, the same way of arrays and of tables on the disk."""
    return [
        made,
        part_of(made, slice(5, 33_000)),
        turned(made, AXES),
        rows_of(made, SOME),
        rows_of(made, FEW),
        part_of(turned(rows_of(made, SOME), AXES), slice(2, 9000)),
        rows_of(part_of(turned(made, AXES), slice(100, 39_000)), SOME[SOME < 38_000]),
        zeroed(
            part_of(made, slice(1, 30_000)).copy() if isinstance(made, np.ndarray) else made.within(slice(1, 30_000)),
            [4, 25_003],
        ),
    ]


@pytest.mark.parametrize("number", range(8))
def test_it_gives_what_an_array_gives(number):
    array, stored = steps(ARRAY)[number], steps(table())[number]
    assert (stored.shape, stored.ndim, stored.dtype, len(stored)) == (array.shape, 2, np.float32, len(array))
    assert (stored.size, stored.nbytes) == (array.size, array.nbytes)
    n = len(array)
    several = np.random.default_rng(1).integers(0, n, 3000)
    wanted = (
        slice(None),
        slice(1, 2),
        slice(n // 2, n // 2),
        slice(0, None, 7),
        several,
        several[:2],
        several[:1],
        0,
        -1,
    )
    for rows in (*wanted, np.arange(n) % 3 == 0, np.empty(0, np.int64), several.reshape(30, 100)):
        np.testing.assert_array_equal(stored[rows], array[rows])
    np.testing.assert_array_equal(np.asarray(stored), array)
    np.testing.assert_array_equal(np.concatenate([block for _, block in blocks(stored, 999)]), array)
    np.testing.assert_array_equal(largest_of_rows(stored), np.abs(array).max(axis=1))
    assert stored.largest == np.abs(array).max()
    norms = np.linalg.norm(array.astype(np.float64), axis=1)
    assert stored.norms.row == norms.argmax()
    assert stored.norms.largest == pytest.approx(norms.max())
    assert stored.longest >= norms.max() * (1 - 1e-6)


def test_no_more_is_read_than_is_looked_at():
    source = Stored(ARRAY)
    stored = turned(on_disk([source]), AXES)
    assert source.read == 0
    stored[FEW]
    assert source.read == len(FEW)
    part_of(stored, slice(100, 200))[5:10]
    assert source.read == len(FEW) + 5


def test_rows_that_are_not_there():
    with pytest.raises(IndexError, match="40000"):
        table()[np.array([40_000])]
