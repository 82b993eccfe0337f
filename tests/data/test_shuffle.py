"""Shuffling: each row once, the same order for the same seed, mixed across row groups, in bounded memory."""

import numpy as np
import pytest

from fmcompress.data.rows import open_rows
from fmcompress.data.shuffle import shuffled
from fmcompress.fm.schema import Schema
from tests.data.rows import write

ROWS = 6000
SCHEMA = Schema.of([("row", ROWS), ("group", 60)])


@pytest.fixture
def rows(tmp_path):
    row = np.arange(ROWS, dtype=np.int32)
    path = write(tmp_path / "x.parquet", row_group_size=100, label=row % 2, row=row, group=row // 100)
    return open_rows(path, SCHEMA)


def order(rows, seed=0, **options):
    batches = list(shuffled(rows, 64, seed=seed, **options))
    assert [len(batch) for batch in batches[:-1]] == [64] * (len(batches) - 1)
    return np.concatenate([batch.ids[:, 0] for batch in batches])


@pytest.mark.parametrize("buffer_bytes", [1, 12 * 1000, 2**26])
def test_each_row_once(rows, buffer_bytes):
    found = order(rows, buffer_bytes=buffer_bytes)
    assert sorted(found) == list(range(ROWS))
    np.testing.assert_array_equal(found, order(rows, buffer_bytes=buffer_bytes))
    assert (found != order(rows, seed=1, buffer_bytes=buffer_bytes)).mean() > 0.9


def test_labels_stay_with_their_rows(rows):
    for batch in shuffled(rows, 64, seed=3):
        np.testing.assert_array_equal(batch.labels, batch.ids[:, 0] % 2)
        np.testing.assert_array_equal(batch.ids[:, 1], batch.ids[:, 0] // 100)


def test_small_buffer_mixes_row_groups(rows):
    found = order(rows, buffer_bytes=12 * 1000)  # 1,000 rows of 12 bytes: ten row groups
    groups = [len(set(found[start : start + 64] // 100)) for start in range(0, ROWS, 64)]
    assert np.mean(groups) > 8
    assert abs(np.corrcoef(np.arange(ROWS), found)[0, 1]) < 0.4  # row groups come in random order


def test_memory_is_bounded(rows):
    """No batch leaves before the buffer is full, and the buffer never holds much more than its size."""
    read = 0
    given = 0
    largest = 0
    batches = rows.batches

    def counted(**options):
        nonlocal read, largest
        for batch in batches(**options):
            read += len(batch)
            largest = max(largest, read - given)
            yield batch

    rows.batches = counted
    for batch in shuffled(rows, 64, seed=0, buffer_bytes=12 * 1000):
        given += len(batch)
    assert given == read == ROWS
    assert largest <= 1000 + 100  # the buffer, and the row group that filled it
