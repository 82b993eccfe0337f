"""The pickle operations that a checkpoint needs, of protocols 0 to 5; every other one is refused.

Left out on purpose: INST and OBJ (old ways to call), EXT* (a registry of the running program), PERSID, DUP, integers of
more than 255 bytes, and buffers out of band.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

MAX_OPERATIONS = 1_000_000
"""Operations in one pickle: the largest real models have some tens of thousands."""

_MAX_NAME = 1024
_MAX_NUMBER = 100
"""Characters of a number in text: reading a long one takes time that is quadratic in its length."""

_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_ESCAPED = {b"\\": b"\\", b"'": b"'", b'"': b'"', b"n": b"\n", b"r": b"\r", b"t": b"\t"}


class _Reader:
    """The bytes of a pickle that have not been read yet."""

    def __init__(self, file: BinaryIO) -> None:
        start = file.tell()
        self._left = file.seek(0, io.SEEK_END) - start
        file.seek(start)
        self._file = file

    def take(self, length: int) -> bytes:
        # Checked before any memory is taken: a few bytes can claim to be followed by exabytes.
        taken = self._file.read(length) if length <= self._left else b""
        if len(taken) != length:
            raise ValueError("the pickle ends in the middle")
        self._left -= length
        return taken

    def line(self, at_most: int | None = None) -> bytes:
        text = self._file.readline(self._left if at_most is None else min(at_most, self._left))
        self._left -= len(text)
        if not text.endswith(b"\n"):
            raise ValueError("a line of the pickle is cut off or too long")
        return text[:-1]


_Argument = Callable[[_Reader], object]


def _nothing(_: _Reader) -> object:
    return None


def _number(layout: str) -> _Argument:
    unpack = struct.Struct(layout)
    return lambda reader: unpack.unpack(reader.take(unpack.size))[0]


def _bytes(layout: str) -> _Argument:
    length = struct.Struct(layout)
    return lambda reader: reader.take(length.unpack(reader.take(length.size))[0])


def _text(layout: str, encoding: str = "utf-8") -> _Argument:
    of_length = _bytes(layout)
    # Half surrogate pairs are written so by Python; whoever uses a text as a name checks it.
    return lambda reader: of_length(reader).decode(encoding, errors="surrogatepass")  # type: ignore[attr-defined]


def _long(reader: _Reader) -> object:
    return int.from_bytes(reader.take(reader.take(1)[0]), "little", signed=True)


def _dotted_name(reader: _Reader) -> object:
    return reader.line(_MAX_NAME).decode(), reader.line(_MAX_NAME).decode()


def _whole_line(reader: _Reader) -> object:
    text = reader.line(_MAX_NUMBER)
    return {b"00": False, b"01": True}[text] if text in (b"00", b"01") else int(text.rstrip(b"L"))


def _float_line(reader: _Reader) -> object:
    return float(reader.line(_MAX_NUMBER))


def _index_line(reader: _Reader) -> object:
    text = reader.line(_MAX_NUMBER)
    if not text.isdigit():
        raise ValueError("the pickle numbers its parts by something that is no number")
    return int(text)


def _unicode_line(reader: _Reader) -> object:
    return reader.line().decode("raw-unicode-escape")


def _string_line(reader: _Reader) -> object:
    """Return a string of Python 2, of bytes that stand for themselves as in ``latin1``."""
    text = reader.line()
    if len(text) < 2 or text[:1] not in (b"'", b'"') or text[-1:] != text[:1]:
        raise ValueError("a string of the pickle has no quotes")
    return _ESCAPE.sub(_unescaped, text[1:-1]).decode("latin1")


def _unescaped(found: re.Match[bytes]) -> bytes:
    return bytes([int(found[1], 16)]) if found[1] else _ESCAPED[found[2]]


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
    ord("\x8d"): _Opcode("CONSTANT", _text("<Q")),
    ord("C"): _Opcode("CONSTANT", _bytes("<B")),
    ord("B"): _Opcode("CONSTANT", _bytes("<I")),
    ord("\x8e"): _Opcode("CONSTANT", _bytes("<Q")),
    ord("\x96"): _Opcode("CONSTANT", _bytes("<Q")),  # a bytearray, which nobody here needs to change
    # values of protocols 0 and 1, most of them in text
    ord("I"): _Opcode("CONSTANT", _whole_line),
    ord("L"): _Opcode("CONSTANT", _whole_line),
    ord("F"): _Opcode("CONSTANT", _float_line),
    ord("S"): _Opcode("CONSTANT", _string_line),
    ord("V"): _Opcode("CONSTANT", _unicode_line),
    ord("U"): _Opcode("CONSTANT", _text("<B", "latin1")),
    ord("T"): _Opcode("CONSTANT", _text("<I", "latin1")),
    # containers
    ord("("): _Opcode("MARK"),
    ord("0"): _Opcode("POP"),
    ord("1"): _Opcode("POP_MARK"),
    ord(")"): _Opcode("EMPTY_TUPLE"),
    ord("t"): _Opcode("TUPLE"),
    ord("\x85"): _Opcode("TUPLE1"),
    ord("\x86"): _Opcode("TUPLE2"),
    ord("\x87"): _Opcode("TUPLE3"),
    ord("]"): _Opcode("EMPTY_LIST"),
    ord("l"): _Opcode("LIST"),
    ord("a"): _Opcode("APPEND"),
    ord("e"): _Opcode("APPENDS"),
    ord("}"): _Opcode("EMPTY_DICT"),
    ord("d"): _Opcode("DICT"),
    ord("s"): _Opcode("SETITEM"),
    ord("u"): _Opcode("SETITEMS"),
    ord("\x8f"): _Opcode("EMPTY_SET"),
    ord("\x90"): _Opcode("ADDITEMS"),
    ord("\x91"): _Opcode("FROZENSET"),
    # the memo
    ord("p"): _Opcode("PUT", _index_line),
    ord("q"): _Opcode("PUT", _number("<B")),
    ord("r"): _Opcode("PUT", _number("<I")),
    ord("\x94"): _Opcode("MEMOIZE"),
    ord("g"): _Opcode("GET", _index_line),
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


def operations(file: BinaryIO) -> Iterator[tuple[str, object]]:
    """Yield the name and the argument of each operation of a pickle up to STOP.

    Raises:
        ValueError, KeyError: the pickle is cut short, has too many operations, or one that is not in the table.
    """
    reader = _Reader(file)
    for _ in range(MAX_OPERATIONS):
        code = reader.take(1)[0]
        opcode = _OPCODES.get(code)
        if opcode is None:
            raise ValueError(f"the pickle has an operation that is not allowed, 0x{code:02x}")
        yield opcode.name, opcode.argument(reader)
        if opcode.name == "STOP":
            return
    raise ValueError(f"the pickle has more than {MAX_OPERATIONS:,} operations")
