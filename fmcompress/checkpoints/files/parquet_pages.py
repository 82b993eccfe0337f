"""What a Parquet file will take in memory, counted before Arrow makes room for it.

Some bytes of a page can stand for billions of equal values. The totals at the end of the file cannot be trusted, so
each page's own header is read. Arrow is not asked, because it ends the process over some damaged files, and no library
for Thrift, in which Parquet describes itself, because this much of its compact protocol is shorter than a dependency.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from fmcompress.checkpoints.reading_errors import damaged
from fmcompress.errors import CheckpointError

_MAGIC = b"PAR1"
_END_BYTES = 8
_LARGEST_FOOTER_BYTES = 2**20
_LARGEST_FOOTER_OF_TABLE = 2**26
_LARGEST_HEADER_BYTES = 2**16
_MOST_PAGES = 2**14
"""Pages of a column in a group of rows."""

_VALUE_BYTES = 8
_EXPANSION = 64
_ALWAYS_FINE_BYTES = 2**24

# Kinds of values, by the specification of Thrift's compact protocol.
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _STRUCT = 1, 2, 3, 4, 5, 6, 7, 8, 9, 12
_FIXED_BYTES = {_BYTE: 1, _DOUBLE: 8}
_MANY = 15
_DEEPEST = 12

# Numbers of fields, by parquet.thrift.
_ROW_GROUPS, _CHUNKS, _CHUNK = 4, 1, 3
_CHUNK_VALUES, _DATA_PLACE, _DICTIONARY_PLACE = 5, 9, 11
_UNPACKED_BYTES, _PACKED_BYTES, _DATA_HEADERS, _PAGE_VALUES = 2, 3, (5, 8), 1


def check_expansion(path: Path, *, table: bool = False) -> None:
    """Refuse a Parquet file whose values take far more memory than it has bytes.

    Args:
        path: the file.
        table: whether it may have very many groups of rows, and so much to say of them.

    Raises:
        CheckpointError: they do, or it is damaged.
    """
    size = path.stat().st_size
    needed = 0
    with path.open("rb") as file, damaged("its Parquet file cannot be read"):
        for chunk in _chunks(file, size, _LARGEST_FOOTER_OF_TABLE if table else _LARGEST_FOOTER_BYTES):
            needed += _bytes_of(file, chunk)
            if needed > _EXPANSION * size + _ALWAYS_FINE_BYTES:
                raise CheckpointError(
                    f"its Parquet file of {size:,} bytes would take {needed:,} bytes or more in memory",
                    hint="the file is damaged, or made to do harm",
                )


def _chunks(file: BinaryIO, size: int, most: int) -> list[Mapping[int, Any]]:
    """Return what the end of the file says of each column in each group of rows."""
    file.seek(max(0, size - _END_BYTES))
    end = file.read(_END_BYTES)
    footer_bytes = int.from_bytes(end[:4], "little")
    if end[4:] != _MAGIC or footer_bytes > min(size - _END_BYTES, most):
        raise ValueError("it ends as no Parquet file of a model does")
    file.seek(size - _END_BYTES - footer_bytes)
    footer = _ThriftReader(file.read(footer_bytes)).struct()
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
        reader = _ThriftReader(file.read(_LARGEST_HEADER_BYTES))
        header = reader.struct()
        if min(header[_UNPACKED_BYTES], header[_PACKED_BYTES]) < 0:
            raise ValueError("a page has a size that it cannot have")
        unpacked_bytes += header[_UNPACKED_BYTES]
        values += sum(header[kind][_PAGE_VALUES] for kind in _DATA_HEADERS if kind in header)
        place += reader.place + header[_PACKED_BYTES]
    if values != expected:
        raise ValueError(f"the pages of a column hold {values:,} values, expected {expected:,}")
    return max(unpacked_bytes, _VALUE_BYTES * values)


class _ThriftReader:
    """Reads values of Thrift's compact protocol from the front; ``place`` is where it stands.

    Raises:
        ValueError: they are no such values, or EOFError: they end too early.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.place = 0

    def struct(self, depth: int = _DEEPEST) -> dict[int, Any]:
        """Return the values of a struct by the numbers of its fields; texts are bytes."""
        if not depth:
            raise ValueError("it is nested too deeply")
        found: dict[int, Any] = {}
        field = 0
        while head := self._take(1)[0]:
            field = field + (head >> 4) if head >> 4 else self._signed()
            if field in found:
                raise ValueError(f"it has field {field} twice")
            kind = head & 15
            found[field] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind, depth)
        return found

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (_I16, _I32, _I64):
            return self._signed()
        if kind == _STRUCT:
            return self.struct(depth - 1)
        if kind == _LIST:
            return self._list(depth)
        if kind == _BINARY:
            return self._take(self._unsigned())
        if kind not in _FIXED_BYTES:
            raise ValueError(f"it has a value of kind {kind}")
        return self._take(_FIXED_BYTES[kind])

    def _list(self, depth: int) -> list[Any]:
        head = self._take(1)[0]
        size = self._unsigned() if head >> 4 == _MANY else head >> 4
        kind = _BYTE if head & 15 in (_TRUE, _FALSE) else head & 15
        if size > len(self._data) - self.place:  # each takes one byte at least
            raise EOFError("a list ends in the middle")
        return [self._value(kind, depth) for _ in range(size)]

    def _signed(self) -> int:
        value = self._unsigned()
        return value >> 1 ^ -(value & 1)

    def _unsigned(self) -> int:
        value = 0
        for shift in range(0, 64, 7):
            byte = self._take(1)[0]
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ValueError("it has a number that is too long")

    def _take(self, size: int) -> bytes:
        taken = self._data[self.place : self.place + size]
        if len(taken) != size:
            raise EOFError("it ends in the middle")
        self.place += size
        return taken
