"""The pickle operations that a checkpoint needs, of protocols 0 to 5; every other one is refused.

Kept in place of ``pickletools.genops``, which believes the sizes in a file: a dozen bytes make it take two gigabytes.

Left out on purpose: INST and OBJ (old ways to call), EXT* (a registry of the running program), PERSID, DUP, integers of
more than 255 bytes, and buffers out of band.
"""

import io
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

MAX_OPERATIONS = 1_000_000
"""Operations in one pickle: the largest real models have some tens of thousands."""

MAX_NAME = 512
"""Characters of the dotted name of a class or a function."""

_MAX_NUMBER = 100
"""Characters of a number in text: reading a long one takes time that is quadratic in its length."""

_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_ESCAPED = {b"\\": b"\\", b"'": b"'", b'"': b'"', b"n": b"\n", b"r": b"\r", b"t": b"\t"}


class _Reader:
    """The file of a pickle, at the place where reading goes on."""

    def __init__(self, file: BinaryIO) -> None:
        self._read = file.read
        self._readline = file.readline
        start = file.tell()
        self._size = file.seek(0, io.SEEK_END)
        file.seek(start)

    def take(self, length: int) -> bytes:
        # Checked before any memory is taken: a few bytes can claim to be followed by exabytes.
        taken = self._read(length) if length <= self._size else b""
        if len(taken) != length:
            raise ValueError("the pickle ends in the middle")
        return taken

    def line(self, at_most: int | None = None) -> bytes:
        text = self._readline(self._size if at_most is None else at_most)
        if not text.endswith(b"\n"):
            raise ValueError("a line of the pickle is cut off or too long")
        return text[:-1]


_Argument = Callable[[_Reader], object]


def _byte(reader: _Reader) -> int:
    return reader.take(1)[0]


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
    return int.from_bytes(reader.take(_byte(reader)), "little", signed=True)


def _dotted_name(reader: _Reader) -> object:
    return reader.line(MAX_NAME).decode(), reader.line(MAX_NAME).decode()


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


@dataclass(frozen=True, slots=True)
class _Opcode:
    name: str
    argument: _Argument | None = None


_STOP = b"."
_OPCODES = {
    b"\x80": _Opcode("PROTO", _byte),
    b"\x95": _Opcode("FRAME", _number("<Q")),
    b".": _Opcode("STOP"),
    # values
    b"N": _Opcode("NONE"),
    b"\x88": _Opcode("NEWTRUE"),
    b"\x89": _Opcode("NEWFALSE"),
    b"K": _Opcode("CONSTANT", _byte),
    b"M": _Opcode("CONSTANT", _number("<H")),
    b"J": _Opcode("CONSTANT", _number("<i")),
    b"\x8a": _Opcode("CONSTANT", _long),
    b"G": _Opcode("CONSTANT", _number(">d")),
    b"\x8c": _Opcode("CONSTANT", _text("<B")),
    b"X": _Opcode("CONSTANT", _text("<I")),
    b"\x8d": _Opcode("CONSTANT", _text("<Q")),
    b"C": _Opcode("CONSTANT", _bytes("<B")),
    b"B": _Opcode("CONSTANT", _bytes("<I")),
    b"\x8e": _Opcode("CONSTANT", _bytes("<Q")),
    b"\x96": _Opcode("CONSTANT", _bytes("<Q")),  # a bytearray, which nobody here needs to change
    # values of protocols 0 and 1, most of them in text
    b"I": _Opcode("CONSTANT", _whole_line),
    b"L": _Opcode("CONSTANT", _whole_line),
    b"F": _Opcode("CONSTANT", _float_line),
    b"S": _Opcode("CONSTANT", _string_line),
    b"V": _Opcode("CONSTANT", _unicode_line),
    b"U": _Opcode("CONSTANT", _text("<B", "latin1")),
    b"T": _Opcode("CONSTANT", _text("<I", "latin1")),
    # containers
    b"(": _Opcode("MARK"),
    b"0": _Opcode("POP"),
    b"1": _Opcode("POP_MARK"),
    b")": _Opcode("EMPTY_TUPLE"),
    b"t": _Opcode("TUPLE"),
    b"\x85": _Opcode("TUPLE1"),
    b"\x86": _Opcode("TUPLE2"),
    b"\x87": _Opcode("TUPLE3"),
    b"]": _Opcode("EMPTY_LIST"),
    b"l": _Opcode("LIST"),
    b"a": _Opcode("APPEND"),
    b"e": _Opcode("APPENDS"),
    b"}": _Opcode("EMPTY_DICT"),
    b"d": _Opcode("DICT"),
    b"s": _Opcode("SETITEM"),
    b"u": _Opcode("SETITEMS"),
    b"\x8f": _Opcode("EMPTY_SET"),
    b"\x90": _Opcode("ADDITEMS"),
    b"\x91": _Opcode("FROZENSET"),
    # the memo
    b"p": _Opcode("PUT", _index_line),
    b"q": _Opcode("PUT", _byte),
    b"r": _Opcode("PUT", _number("<I")),
    b"\x94": _Opcode("MEMOIZE"),
    b"g": _Opcode("GET", _index_line),
    b"h": _Opcode("GET", _byte),
    b"j": _Opcode("GET", _number("<I")),
    # objects
    b"c": _Opcode("GLOBAL", _dotted_name),
    b"\x93": _Opcode("STACK_GLOBAL"),
    b"Q": _Opcode("BINPERSID"),
    b"R": _Opcode("REDUCE"),
    b"\x81": _Opcode("NEWOBJ"),
    b"\x92": _Opcode("NEWOBJ_EX"),
    b"b": _Opcode("BUILD"),
}


def bytes_between(file: BinaryIO) -> Callable[[int], bytes]:
    """Return a function that takes so many bytes from where a pickle stands, between two of its operations.

    It raises ValueError where there are fewer.
    """
    return _Reader(file).take


def operations(file: BinaryIO, times: int = 1) -> Iterator[tuple[str, object]]:
    """Yield the name and the argument of each operation of a pickle up to STOP.

    Args:
        file: the pickle.
        times: how often ``MAX_OPERATIONS`` it may have.

    Raises:
        ValueError, KeyError: the pickle is cut short, has too many operations, or one that is not in the table.
    """
    reader = _Reader(file)
    for _ in range(times * MAX_OPERATIONS):
        code = reader.take(1)
        opcode = _OPCODES.get(code)
        if opcode is None:
            raise ValueError(f"the pickle has an operation that is not allowed, 0x{code.hex()}")
        yield opcode.name, None if opcode.argument is None else opcode.argument(reader)
        if code == _STOP:
            return
    raise ValueError(f"the pickle has more than {times * MAX_OPERATIONS:,} operations")
