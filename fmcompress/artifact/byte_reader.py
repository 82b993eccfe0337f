"""Bytes one after the other, as the header of a compact artifact has them: numbers, texts, and what comes next."""

import re
import struct
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_MOST_VARINT_BYTES = 9
_LITERAL, _HEX, _WORD, _VERSION = range(4)
_KINDS = 4
_HEX_TEXT = re.compile(r"(?:[0-9a-f]{2}){4,}")
_NUMBERS = re.compile(r"(?:0|[1-9][0-9]{0,8})(?:\.(?:0|[1-9][0-9]{0,8}))+")
_WORDS = (
    *("auto", "lightfm", "xlightfm", "source", "untuned", "artifact", "fmcompress", "numpy", "faiss", "torch"),
    *("fuxictr", "torchfm", "recbole", "deepctr-torch", "scipy", "xlearn", "libfm"),
)
"""Texts that take one byte; their order is part of the format."""


def varint(number: int) -> bytes:
    """Return a whole number from 0 on in groups of seven bits, the least significant ones first."""
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def name_bytes(name: str) -> bytes:
    """Return a text as its size and UTF-8."""
    data = name.encode()
    return varint(len(data)) + data


def text_bytes(text: str) -> bytes:
    """Return a text in few bytes: a word that is often used, numbers with points between, hex digits, or UTF-8."""
    if text in _WORDS:
        return varint(_KINDS * _WORDS.index(text) + _WORD)
    if _NUMBERS.fullmatch(text):
        numbers = text.split(".")
        return varint(_KINDS * len(numbers) + _VERSION) + b"".join(varint(int(number)) for number in numbers)
    if _HEX_TEXT.fullmatch(text):
        return varint(_KINDS * (len(text) // 2) + _HEX) + bytes.fromhex(text)
    data = text.encode()
    return varint(_KINDS * len(data) + _LITERAL) + data


class ByteReader:
    """Goes through bytes.

    Its methods raise ValueError where there are not as many bytes, or where they make no sense.
    """

    def __init__(self, data: memoryview) -> None:
        """Begin with the first byte."""
        self.data, self.at = data, 0

    @property
    def left(self) -> int:
        """Bytes that are left."""
        return len(self.data) - self.at

    def take(self, size: int) -> memoryview:
        """Return so many bytes."""
        if size > self.left:
            raise ValueError("cut short")
        self.at += size
        return self.data[self.at - size : self.at]

    def since(self, start: int) -> bytes:
        """Return the bytes from a position to where it is now."""
        return bytes(self.data[start : self.at])

    def byte(self) -> int:
        """Return a byte."""
        return self.take(1)[0]

    def numbers(self, form: str) -> tuple[float, ...]:
        """Return numbers of a ``struct`` format, little-endian."""
        return struct.unpack(f"<{form}", self.take(struct.calcsize(f"<{form}")))

    def varint(self) -> int:
        """Return a whole number; it has no more bytes than it needs."""
        number = 0
        for place in range(_MOST_VARINT_BYTES):
            byte = self.byte()
            number |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                if place and not byte:
                    break
                return number
        raise ValueError("a number is longer than it needs to be")

    def count(self, least: int = 1) -> int:
        """Return how many things follow, of which each takes so many bytes at least: no more than there is room for."""
        number = self.varint()
        if number * least > self.left:
            raise ValueError("cut short")
        return number

    def several(self, one: Callable[[], T]) -> tuple[T, ...]:
        """Return things after their number."""
        return tuple(one() for _ in range(self.count()))

    def name(self) -> str:
        """Return a text of its size and UTF-8."""
        return str(self.take(self.varint()), "utf-8")

    def text(self) -> str:
        """Return a text, see ``text_bytes``."""
        size, kind = divmod(self.varint(), _KINDS)
        if kind == _WORD:
            return _WORDS[size] if size < len(_WORDS) else ""
        if kind == _VERSION:
            if size > self.left:
                raise ValueError("cut short")
            return ".".join(str(self.varint()) for _ in range(size))
        data = self.take(size)
        return data.hex() if kind == _HEX else str(data, "utf-8")

    def end(self) -> None:
        """Check that there are no more bytes."""
        if self.left:
            raise ValueError("longer than what it holds")
