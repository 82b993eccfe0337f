"""Parquet files that would take far more memory than they have bytes."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fmcompress.checkpoints.files.parquet_pages import check_expansion
from fmcompress.errors import CheckpointError

MANY = 5_000_000


@pytest.mark.parametrize("options", [{}, {"use_dictionary": False}, {"data_page_version": "2.0"}])
@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
def test_ordinary_files_pass(tmp_path, options, compression):
    numbers = np.random.default_rng(0).standard_normal(30_000)
    words = [[f"token {number}" for number in range(5_000)], None, [None, ""]]
    table = pa.table({"numbers": [numbers, [], numbers[:7]], "words": words, "whole": [1, None, 3]})
    pq.write_table(table, tmp_path / "a", compression=compression, data_page_size=10_000, row_group_size=2, **options)
    check_expansion(tmp_path / "a")


@pytest.fixture(scope="module")
def bomb(tmp_path_factory):
    """Some hundred bytes that stand for five million zeros."""
    path = tmp_path_factory.mktemp("bomb") / "a"
    pq.write_table(pa.table({"zeros": [np.zeros(MANY)]}), path, data_page_size=2**30)
    assert path.stat().st_size < 1000
    return path


def test_file_that_expands_is_refused(bomb):
    with pytest.raises(CheckpointError, match=r"Parquet file of \d+ bytes would take 40,000,000 bytes or more"):
        check_expansion(bomb)


def test_file_that_lies_about_its_values_is_refused(bomb, tmp_path):
    # Both numbers take four bytes, as Thrift writes them: seven bits in each, the sign in the lowest.
    claim, lie = (bytes([n & 127 | 128, n >> 7 & 127 | 128, n >> 14 & 127 | 128, n >> 21]) for n in (2 * MANY, 20))
    whole = bomb.read_bytes()
    end = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    assert claim in whole[end:]
    (tmp_path / "a").write_bytes(whole[:end] + whole[end:].replace(claim, lie))
    assert pq.ParquetFile(tmp_path / "a").metadata.row_group(0).column(0).num_values == 10
    with pytest.raises(CheckpointError, match="the pages of a column hold 5,000,000 values, expected 10"):
        check_expansion(tmp_path / "a")


def test_damaged_files_end_in_an_error(tmp_path):
    path = tmp_path / "a"
    pq.write_table(pa.table({"numbers": [np.arange(100.0)]}), path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    messages = []
    for _ in range(500):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 3):
            damaged[place] = rng.integers(0, 256)
        path.write_bytes(damaged[: rng.choice([len(whole), rng.integers(0, len(whole))], p=[0.9, 0.1])])
        try:
            check_expansion(path)
        except CheckpointError as error:
            messages.append(str(error))
    assert len(messages) > 100
    assert all(message.isprintable() for message in messages)
