"""The tokens of one field, and those of all fields as bytes: compact, checked, the same for the same vocabulary.

    8 bytes                size of what follows, unpacked, little-endian
    a raw LZMA2 stream     with a dictionary of 8 MiB

Unpacked, that is 4 bytes with the size of a JSON text, the text, and the columns of each field:

    [[name, oov, missing, tokens, width of a step, width of a length, size of the text], …]
    steps      from each token's id to the next one's, unsigned; tokens stand in the order of their ids
    lengths    of the tokens, in characters, unsigned
    text       the tokens one after the other, UTF-8

Steps and lengths of so many bytes each repeat themselves, and so cost next to nothing. The format is our own because a
file of unknown origin must not be able to claim more memory than it is worth. ``docs/format.md`` says more.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any, TypeVar

import numpy as np

from fmcompress.arguments import checked_arguments
from fmcompress.errors import DependencyError, UsageError
from fmcompress.fm.schema import MAX_CATEGORIES
from fmcompress.types import AnyArray, Int32Array, Int64Array

Bytes = bytes | memoryview
T = TypeVar("T")

_SIZE_BYTES, _HEAD_BYTES = 8, 4
_WIDTHS = (1, 2, 4)
_WRONG_SIZE = "a vocabulary has not the size that it claims"
_DICTIONARY_BYTES = 1 << 23
# Longer searches for matches make random tokens, which have none, five times slower to pack and 2 % smaller.
_DEPTH, _ENOUGH = 8, 32
_CHUNK_BYTES = 1 << 20
_MAX_HEAD_BYTES = 1 << 23
_SMALL_BYTES = 1 << 26
_MAX_EXPANSION = 1024
"""Tokens that are counted up are packed to a five hundredth; whoever claims more is not believed."""


@checked_arguments
@dataclass(frozen=True, eq=False)
class FieldVocabulary:
    """The tokens of one field.

    Attributes:
        tokens: the tokens; several may have one id.
        ids: their category ids, int32 (tokens,).
        oov: id of a token that is not among them; None where that is an error.
        missing: id of a null; None where it contributes nothing.
    """

    tokens: tuple[str, ...]
    ids: Int32Array
    oov: int | None = None
    missing: int | None = None

    @classmethod
    @checked_arguments
    def of(cls, ids: Mapping[str, int], *, oov: int | None = None, missing: int | None = None) -> FieldVocabulary:
        """Return the vocabulary that a mapping from token to id describes."""
        return cls(tuple(ids), np.fromiter(ids.values(), np.int32, len(ids)), oov, missing)

    @property
    def extreme_ids(self) -> list[int]:
        """Least and largest id of a token, and the ids of what is no token."""
        tokens = [int(self.ids.min()), int(self.ids.max())] if len(self.ids) else []
        return tokens + [number for number in (self.oov, self.missing) if number is not None]

    @cached_property
    def known(self) -> Mapping[str, int]:
        """The id of each token."""
        return dict(zip(self.tokens, self.ids.tolist(), strict=True))


def encode_fields(fields: Mapping[str, FieldVocabulary]) -> bytes:
    """Return vocabularies of fields as bytes; the order of fields and of tokens makes no difference.

    Raises:
        UsageError: a token is too long, or there are too many fields; or tokens are so much alike that what they are
            packed to would not be believed.
    """
    head: list[list[Any]] = []
    columns: list[bytes] = []
    for name, own in sorted(fields.items()):
        pairs = sorted(zip(own.ids.tolist(), own.tokens, strict=True))
        steps = _unsigned(np.diff([number for number, _ in pairs], prepend=0))
        lengths = _unsigned(np.array([len(token) for _, token in pairs], dtype=np.int64))
        text = "".join(token for _, token in pairs).encode("utf-8", errors="surrogatepass")
        head.append([name, own.oov, own.missing, len(pairs), steps.itemsize, lengths.itemsize, len(text)])
        columns += [steps.tobytes(), lengths.tobytes(), text]
    described = json.dumps(head, separators=(",", ":")).encode()
    unpacked = b"".join([len(described).to_bytes(_HEAD_BYTES, "little"), described, *columns])
    lzma = _lzma()
    stream: bytes = lzma.compress(unpacked, format=lzma.FORMAT_RAW, filters=_filters())
    packed = len(unpacked).to_bytes(_SIZE_BYTES, "little") + stream
    if len(described) > _MAX_HEAD_BYTES or len(unpacked) > _most(packed):
        raise UsageError("the vocabulary has too many fields, or tokens too much alike, to be stored")
    return packed


def decode_fields(data: Bytes) -> dict[str, FieldVocabulary]:
    """Return the vocabularies of bytes that ``encode_fields`` made.

    Raises:
        ValueError: they are damaged, or claim to hold more than they can.
    """
    return _unpacked(data, _Line.read)


def largest_ids(data: Bytes) -> dict[str, list[int]]:
    """Return for each field its largest id of a token, and those of what is no token, after checking all the rest.

    It takes little memory, whatever the bytes claim to hold.

    Raises:
        ValueError: they are damaged, or claim to hold more than they can.
    """
    return _unpacked(data, _Line.check)


def _unpacked(data: Bytes, take: Callable[[_Line, _Unpacker], T]) -> dict[str, T]:
    unpacker = _Unpacker(data)
    found = {line.name: take(line, unpacker) for line in _head(unpacker)}
    if unpacker.remaining or not unpacker.ended:
        raise ValueError(_WRONG_SIZE)
    return found


@dataclass(frozen=True)
class _Line:
    """A line of the head: what the columns of a field hold."""

    name: str
    oov: int | None
    missing: int | None
    tokens: int
    step_width: int
    length_width: int
    text_bytes: int

    @property
    def nbytes(self) -> int:
        return self.tokens * (self.step_width + self.length_width) + self.text_bytes

    def read(self, unpacker: _Unpacker) -> FieldVocabulary:
        steps, lengths = (
            np.frombuffer(unpacker.read(self.tokens * width), f"<u{width}")
            for width in (self.step_width, self.length_width)
        )
        text = unpacker.read(self.text_bytes).decode("utf-8", errors="surrogatepass")
        ids = np.cumsum(steps, dtype=np.int64)
        self._agree(int(ids[-1]) if self.tokens else 0, int(lengths.sum(dtype=np.int64)), len(text))
        ends = list(accumulate(lengths.tolist(), initial=0))
        tokens = tuple(text[start:end] for start, end in pairwise(ends))
        return FieldVocabulary(tokens, ids.astype(np.int32), self.oov, self.missing)

    def check(self, unpacker: _Unpacker) -> list[int]:
        """Return the largest id of a token and all other ids, without holding the columns."""
        largest, letters = (
            sum(
                int(np.frombuffer(chunk, f"<u{width}").sum(dtype=np.int64))
                for chunk in unpacker.chunks(self.tokens * width)
            )
            for width in (self.step_width, self.length_width)
        )
        decoder = codecs.getincrementaldecoder("utf-8")("surrogatepass")
        found = sum(len(decoder.decode(chunk)) for chunk in unpacker.chunks(self.text_bytes))
        decoder.decode(b"", final=True)
        self._agree(largest, letters, found)
        return [number for number in (largest if self.tokens else None, self.oov, self.missing) if number is not None]

    def _agree(self, largest: int, letters: int, found: int) -> None:
        if letters != found:
            raise ValueError("a vocabulary is damaged: its tokens have not the lengths that it says")
        if largest >= MAX_CATEGORIES:
            raise ValueError("a vocabulary is damaged: it has an id that is none")


class _Unpacker:
    """Unpacks bytes piece by piece, never more than they claim to hold."""

    def __init__(self, data: Bytes) -> None:
        self.remaining = int.from_bytes(data[:_SIZE_BYTES], "little")
        if len(data) < _SIZE_BYTES or self.remaining > _most(data):
            raise ValueError("a vocabulary claims to be larger than it can be")
        lzma = _lzma()
        self._errors = (lzma.LZMAError, EOFError)
        self._stream = lzma.LZMADecompressor(format=lzma.FORMAT_RAW, filters=_filters())
        self._input: Bytes = data[_SIZE_BYTES:]

    def chunks(self, size: int) -> Iterator[bytes]:
        """Yield the next bytes, a multiple of 4 of them at a time, except for the last ones."""
        while size:
            chunk = self._next(min(size, _CHUNK_BYTES))
            size -= len(chunk)
            yield chunk

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        return b"".join(self.chunks(size))

    @property
    def ended(self) -> bool:
        """Whether that was all."""
        return not self._some(1) and self._stream.eof and not self._stream.unused_data

    def _next(self, size: int) -> bytes:
        found = b""
        self.remaining -= size
        while len(found) < size:
            if self.remaining < 0 or not (piece := self._some(size - len(found))):
                raise ValueError(_WRONG_SIZE)
            found += piece
        return found

    def _some(self, most: int) -> bytes:
        given, self._input = self._input, b""
        try:
            found: bytes = b"" if self._stream.eof else self._stream.decompress(given, most)
        except self._errors as error:
            raise ValueError(f"a vocabulary cannot be unpacked: {error}") from error
        return found


def _head(unpacker: _Unpacker) -> list[_Line]:
    """Return the lines of the head."""
    size = int.from_bytes(unpacker.read(_HEAD_BYTES), "little")
    if size > _MAX_HEAD_BYTES:
        raise ValueError("a vocabulary claims to have more fields than it can")
    try:
        lines = [_line(*line) for line in json.loads(unpacker.read(size))]
    except (TypeError, RecursionError) as error:
        raise ValueError("a vocabulary is damaged: it does not say what it holds") from error
    if len({line.name for line in lines}) < len(lines) or sum(line.nbytes for line in lines) != unpacker.remaining:
        raise ValueError("a vocabulary is damaged: it does not hold what it says")
    return lines


def _line(name: Any, oov: Any, missing: Any, *sizes: Any) -> _Line:
    numbers = [*sizes, *(number for number in (oov, missing) if number is not None)]
    if not isinstance(name, str) or not all(type(number) is int and 0 <= number < 2**40 for number in numbers):
        raise TypeError
    line = _Line(name, oov, missing, *sizes)
    # Tokens differ, so that one of them at most is empty.
    if line.step_width not in _WIDTHS or line.length_width not in _WIDTHS or line.tokens > line.text_bytes + 1:
        raise TypeError
    return line


def _unsigned(numbers: Int64Array) -> AnyArray:
    """Return numbers, unsigned (numbers,), in as few bytes each as they need."""
    largest = int(numbers.max(initial=0))
    for width in _WIDTHS:
        if largest < 1 << 8 * width:
            return numbers.astype(f"<u{width}")
    raise UsageError(f"a token of {largest:,} characters is too long")


def _most(packed: Bytes) -> int:
    return max(_SMALL_BYTES, _MAX_EXPANSION * len(packed))


def _filters() -> list[dict[str, int]]:
    lzma = _lzma()
    settings = {"mode": lzma.MODE_NORMAL, "mf": lzma.MF_HC4, "nice_len": _ENOUGH, "depth": _DEPTH, "pb": 0}
    return [{"id": lzma.FILTER_LZMA2, "dict_size": _DICTIONARY_BYTES, **settings}]


def _lzma() -> Any:
    try:
        import lzma
    except ImportError as error:  # a Python that was built without it
        raise DependencyError("this Python has no lzma, which packs vocabularies") from error
    return lzma
