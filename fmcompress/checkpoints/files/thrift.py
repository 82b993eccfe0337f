"""Reads values of Thrift's compact protocol, in which Parquet describes itself."""

from __future__ import annotations

from typing import Any

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _STRUCT = 1, 2, 3, 4, 5, 6, 7, 8, 9, 12
_FIXED_BYTES = {_BYTE: 1, _DOUBLE: 8}
_MANY = 15
_DEEPEST = 12


class CompactReader:
    """Reads bytes from the front; ``place`` is where it stands.

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
