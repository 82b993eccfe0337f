"""The pickle opcodes that a checkpoint needs; every other one is refused.

Left out on purpose: INST and OBJ (old ways to call), EXT* (a registry of the running program), text numbers
(slow for long ones), PERSID, and buffers out of band.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

MAX_OPERATIONS = 2_000_000
"""Operations in one pickle: the largest real models have some tens of thousands."""


class _Reader:
    """The bytes of a pickle and the place where reading goes on."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def take(self, length: int) -> bytes:
        taken = self._data[self._position : self._position + length]
        if len(taken) != length:
            raise ValueError("the pickle ends in the middle")
        self._position += length
        return taken

    def line(self) -> str:
        end = self._data.find(b"\n", self._position)
        if end < 0:
            raise ValueError("the pickle ends in the middle")
        text = self.take(end - self._position).decode()
        self._position += 1
        return text


_Argument = Callable[[_Reader], object]


def _nothing(_: _Reader) -> object:
    return None


def _number(layout: str) -> _Argument:
    unpack = struct.Struct(layout)
    return lambda reader: unpack.unpack(reader.take(unpack.size))[0]


def _bytes(layout: str) -> _Argument:
    length = struct.Struct(layout)
    return lambda reader: reader.take(length.unpack(reader.take(length.size))[0])


def _text(layout: str) -> _Argument:
    length = struct.Struct(layout)
    return lambda reader: reader.take(length.unpack(reader.take(length.size))[0]).decode()


def _long(reader: _Reader) -> object:
    return int.from_bytes(reader.take(reader.take(1)[0]), "little", signed=True)


def _dotted_name(reader: _Reader) -> object:
    return reader.line(), reader.line()


@dataclass(frozen=True)
class _Opcode:
    name: str
    argument: _Argument = _nothing


_OPCODES = {
    ord("\x80"): _Opcode("PROTO", _number("<B")),
    ord("\x95"): _Opcode("FRAME", _number("<Q")),
    ord("."): _Opcode("STOP"),
    # values
    ord("N"): _Opcode("NONE"),
    ord("\x88"): _Opcode("NEWTRUE"),
    ord("\x89"): _Opcode("NEWFALSE"),
    ord("K"): _Opcode("CONSTANT", _number("<B")),
    ord("M"): _Opcode("CONSTANT", _number("<H")),
    ord("J"): _Opcode("CONSTANT", _number("<i")),
    ord("\x8a"): _Opcode("CONSTANT", _long),
    ord("G"): _Opcode("CONSTANT", _number(">d")),
    ord("\x8c"): _Opcode("CONSTANT", _text("<B")),
    ord("X"): _Opcode("CONSTANT", _text("<I")),
    ord("C"): _Opcode("CONSTANT", _bytes("<B")),
    ord("B"): _Opcode("CONSTANT", _bytes("<I")),
    # containers
    ord("("): _Opcode("MARK"),
    ord(")"): _Opcode("EMPTY_TUPLE"),
    ord("t"): _Opcode("TUPLE"),
    ord("\x85"): _Opcode("TUPLE1"),
    ord("\x86"): _Opcode("TUPLE2"),
    ord("\x87"): _Opcode("TUPLE3"),
    ord("]"): _Opcode("EMPTY_LIST"),
    ord("a"): _Opcode("APPEND"),
    ord("e"): _Opcode("APPENDS"),
    ord("}"): _Opcode("EMPTY_DICT"),
    ord("s"): _Opcode("SETITEM"),
    ord("u"): _Opcode("SETITEMS"),
    ord("\x8f"): _Opcode("EMPTY_SET"),
    ord("\x90"): _Opcode("ADDITEMS"),
    # the memo
    ord("q"): _Opcode("PUT", _number("<B")),
    ord("r"): _Opcode("PUT", _number("<I")),
    ord("\x94"): _Opcode("MEMOIZE"),
    ord("h"): _Opcode("GET", _number("<B")),
    ord("j"): _Opcode("GET", _number("<I")),
    # objects
    ord("c"): _Opcode("GLOBAL", _dotted_name),
    ord("\x93"): _Opcode("STACK_GLOBAL"),
    ord("Q"): _Opcode("BINPERSID"),
    ord("R"): _Opcode("REDUCE"),
    ord("\x81"): _Opcode("NEWOBJ"),
    ord("\x92"): _Opcode("NEWOBJ_EX"),
    ord("b"): _Opcode("BUILD"),
}

NAMES = frozenset(opcode.name for opcode in _OPCODES.values())


def operations(data: bytes) -> Iterator[tuple[str, object]]:
    """Yield the name and the argument of each operation up to STOP.

    Raises:
        ValueError: the pickle is cut short, has too many operations, or one that is not in the table.
    """
    reader = _Reader(data)
    for _ in range(MAX_OPERATIONS):
        code = reader.take(1)[0]
        opcode = _OPCODES.get(code)
        if opcode is None:
            raise ValueError(f"the pickle has an operation that is not allowed, 0x{code:02x}")
        yield opcode.name, opcode.argument(reader)
        if opcode.name == "STOP":
            return
    raise ValueError(f"the pickle has more than {MAX_OPERATIONS:,} operations")
