"""What a Parquet file will take in memory, counted before Arrow makes room for it.

Some bytes of a page can stand for billions of equal values. The totals at the end of the file cannot be trusted, so
each page's own header is read. Arrow is not asked, because it ends the process over some damaged files.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from fmcompress.checkpoints.files.thrift import CompactReader
from fmcompress.checkpoints.reading_errors import damaged
from fmcompress.errors import CheckpointError

_MAGIC = b"PAR1"
_END_BYTES = 8
_LARGEST_FOOTER_BYTES = 2**20
_LARGEST_HEADER_BYTES = 2**16
_MOST_PAGES = 2**14
_VALUE_BYTES = 8
_EXPANSION = 64
_ALWAYS_FINE_BYTES = 2**24

# Numbers of fields, by parquet.thrift.
_ROW_GROUPS, _CHUNKS, _CHUNK = 4, 1, 3
_CHUNK_VALUES, _DATA_PLACE, _DICTIONARY_PLACE = 5, 9, 11
_UNPACKED_BYTES, _PACKED_BYTES, _DATA_HEADERS, _PAGE_VALUES = 2, 3, (5, 8), 1


def check_expansion(path: Path) -> None:
    """Refuse a Parquet file whose values take far more memory than it has bytes.

    Raises:
        CheckpointError: they do, or it is damaged.
    """
    size = path.stat().st_size
    needed = 0
    with path.open("rb") as file, damaged("its Parquet file cannot be read"):
        for chunk in _chunks(file, size):
            needed += _bytes_of(file, chunk)
            if needed > _EXPANSION * size + _ALWAYS_FINE_BYTES:
                raise CheckpointError(
                    f"its Parquet file of {size:,} bytes would take {needed:,} bytes or more in memory",
                    hint="the file is damaged, or made to do harm",
                )


def _chunks(file: BinaryIO, size: int) -> list[Mapping[int, Any]]:
    """Return what the end of the file says of each column in each group of rows."""
    file.seek(max(0, size - _END_BYTES))
    end = file.read(_END_BYTES)
    footer_bytes = int.from_bytes(end[:4], "little")
    if end[4:] != _MAGIC or footer_bytes > min(size - _END_BYTES, _LARGEST_FOOTER_BYTES):
        raise ValueError("it ends as no small Parquet file does")
    file.seek(size - _END_BYTES - footer_bytes)
    footer = CompactReader(file.read(footer_bytes)).struct()
    return [chunk[_CHUNK] for group in footer[_ROW_GROUPS] for chunk in group[_CHUNKS]]


def _bytes_of(file: BinaryIO, chunk: Mapping[int, Any]) -> int:
    """Return the bytes that a column's values take, or more."""
    expected = chunk[_CHUNK_VALUES]
    place = chunk[_DATA_PLACE]
    if _DICTIONARY_PLACE in chunk and 0 < chunk[_DICTIONARY_PLACE] < place:
        place = chunk[_DICTIONARY_PLACE]
    values = unpacked_bytes = 0
    for _ in range(_MOST_PAGES):
        if values >= expected:
            break
        file.seek(place)
        reader = CompactReader(file.read(_LARGEST_HEADER_BYTES))
        header = reader.struct()
        if min(header[_UNPACKED_BYTES], header[_PACKED_BYTES]) < 0:
            raise ValueError("a page has a size that it cannot have")
        unpacked_bytes += header[_UNPACKED_BYTES]
        values += sum(header[kind][_PAGE_VALUES] for kind in _DATA_HEADERS if kind in header)
        place += reader.place + header[_PACKED_BYTES]
    if values != expected:
        raise ValueError(f"the pages of a column hold {values:,} values, expected {expected:,}")
    return max(unpacked_bytes, _VALUE_BYTES * values)
