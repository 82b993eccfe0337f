"""Lines of text, ``label index:value …``: found in chunks, which are read in any order, and taken apart.

Not scikit-learn's reader: it is four times slower, wants indices in order, and does not say which line is wrong.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.csv

from fmcompress.data.file_kinds import codec_of, open_text
from fmcompress.data.stored_files import StoredFile
from fmcompress.errors import DataError
from fmcompress.types import Float64Array, Int64Array, UInt8Array

_BLANK, _COLON, _BREAK = b" "[0], b":"[0], b"\n"[0]
_APART = bytes(_BREAK if byte <= _BLANK or byte == _COLON else byte for byte in range(256))
_COMMENT = re.compile(rb"#[^\n]*")
_QUERY = re.compile(rb"(?m)^([^\S\n]*\S+[^\S\n]+)qid:\S+")
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_LABEL = re.compile(_NUMBER)
_PAIR = re.compile(rf"\d{{1,15}}:{_NUMBER}")
_LARGEST_INDEX = 2**53
_SHOWN_CHARACTERS = 40
_CHUNK_BYTES = 4 * 2**20
_LONGEST_LINE_BYTES = 64 * 2**20
# Spaces and comments alone between two line breaks.
_NO_ROW = re.compile(rb"\n[\x00-\x09\x0b-\x20]*(?:#[^\n]*)?(?=\n)")


@dataclass(frozen=True)
class Chunk:
    """Whole lines that are read one after the other.

    Attributes:
        offset: its first byte.
        size_bytes: its bytes; None where all of a file is read, which is compressed.
        codec: what the file is compressed by, if it is.
        first_line: number of its first line, counted from 1 in the file.
        rows: lines that are rows: neither empty nor a comment alone.
        start: its first row, counted from 0 in the file.
    """

    offset: int
    size_bytes: int | None
    codec: str | None
    first_line: int
    rows: int
    start: int

    def blocks(self, file: StoredFile) -> Iterator[tuple[int, bytes]]:
        """Yield its lines, some 4 MiB at a time, each after the number of the first.

        Args:
            file: where they are.

        Raises:
            DataError: the file cannot be read.
        """
        with _reading(file):
            if self.size_bytes is None:
                yield from _blocks_of(file, self.codec)
            else:
                with file.open() as opened:
                    opened.seek(self.offset)
                    text = opened.read(self.size_bytes)
                yield self.first_line, text


def chunks_of(file: StoredFile) -> list[Chunk]:
    """Return the chunks of a file, some 4 MiB each; one that is compressed is a single chunk, read from begin to end.

    Args:
        file: the file.

    Raises:
        DataError: the file cannot be read, or has a line so long that it is no text.
    """
    chunks: list[Chunk] = []
    with _reading(file):
        codec = codec_of(file)
        offset, start = 0, 0
        for first_line, block in _blocks_of(file, codec):
            rows = _count(block)[1]
            if rows and codec is None:
                chunks.append(Chunk(offset, len(block), None, first_line, rows, start))
            offset, start = offset + len(block), start + rows
    return [Chunk(0, None, codec, 1, start, 0)] if start and codec is not None else chunks


def _blocks_of(file: StoredFile, codec: str | None) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file, decompressed, some 4 MiB at a time, each after the number of the first."""
    first_line, rest = 1, b""
    with open_text(file, codec) as opened:
        while more := opened.read(_CHUNK_BYTES):
            end = more.rfind(b"\n") + 1
            if end:
                block = rest + more[:end]
                yield first_line, block
                first_line, rest = first_line + _count(block)[0], b""
            rest += more[end:]
            if len(rest) > _LONGEST_LINE_BYTES:
                raise DataError(f"{file}: a line is longer than {_LONGEST_LINE_BYTES:,} bytes")
    if rest:
        yield first_line, rest


@contextmanager
def _reading(file: StoredFile) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _count(block: bytes) -> tuple[int, int]:
    """Return how many lines a block has, and how many of them are rows."""
    end = b"" if block.endswith(b"\n") else b"\n"
    lines = block.count(b"\n") + len(end)
    return lines, lines - len(_NO_ROW.findall(b"\n" + block + end))


@dataclass(frozen=True)
class Lines:
    """Lines of text, taken apart.

    Attributes:
        file: name of the file.
        numbers: of the lines in the file, counted from 1, int64 (rows,).
        labels: float64 (rows,).
        rows: row that each pair belongs to, int64 (pairs,).
        indices: of the pairs, int64 (pairs,).
        values: of the pairs, float64 (pairs,).
    """

    file: str
    numbers: Int64Array
    labels: Float64Array
    rows: Int64Array
    indices: Int64Array
    values: Float64Array

    def __len__(self) -> int:
        return len(self.labels)

    def where(self, row: int) -> str:
        """Return where a row is, for messages."""
        return f"{self.file}: line {self.numbers[row]}"


def parse_lines(text: bytes, file: str, first_line: int) -> Lines:
    """Take lines apart; comments, ``qid:`` and lines that are empty are left out.

    All numbers are converted at once, and the breaks between them tell where each belongs.

    Args:
        text: whole lines.
        file: name of the file.
        first_line: number of the first line.

    Raises:
        DataError: a line is not ``label index:value …``.
    """
    plain = b"\n" + _without_extras(text)
    raw = np.frombuffer(plain, dtype=np.uint8)
    solid = (raw > _BLANK) & (raw != _COLON)
    starts = np.flatnonzero(solid[1:] > solid[:-1]) + 1
    firsts = np.searchsorted(starts, np.flatnonzero(raw == _BREAK))  # of the numbers of each line
    counts = np.diff(firsts, append=len(starts))
    filled = counts > 0
    firsts, counts = firsts[filled], counts[filled]
    numbers = _converted(plain)
    if len(numbers) != len(starts) or (counts % 2 == 0).any() or not _colons_fit(raw, starts, firsts):
        raise _error(text, file, first_line)
    pairs = np.delete(numbers, firsts).reshape(-1, 2)
    if not (np.abs(pairs[:, 0]) < _LARGEST_INDEX).all() or (pairs[:, 0] % 1).any():
        raise _error(text, file, first_line)
    return Lines(
        file,
        np.flatnonzero(filled) + first_line,
        numbers[firsts],
        np.repeat(np.arange(len(counts)), counts // 2),
        pairs[:, 0].astype(np.int64),
        pairs[:, 1],
    )


def _colons_fit(raw: UInt8Array, starts: Int64Array, firsts: Int64Array) -> bool:
    """Return whether a colon stands before each value, and nowhere else.

    Args:
        raw: the text, uint8 (bytes,).
        starts: where its numbers start, int64 (numbers,).
        firsts: which of them are labels, int64 (rows,).
    """
    colons = np.delete(raw[starts - 1] == _COLON, firsts)
    values = colons[1::2]
    return bool(values.all() and not colons[0::2].any() and np.count_nonzero(raw == _COLON) == len(values))


def _without_extras(text: bytes) -> bytes:
    """Return a text without comments and ``qid:``, line by line as it was."""
    if b"#" in text:
        text = _COMMENT.sub(b"", text)
    return _QUERY.sub(rb"\1", text) if b"qid:" in text else text


def _converted(plain: bytes) -> Float64Array:
    """Return all numbers of a text, as many as can be read; none where one cannot."""
    # One thread: where the process ends at once, over an error in the data, Arrow's threads would abort it.
    kinds = pa.csv.ConvertOptions(column_types={"number": pa.float64()}, null_values=[])
    try:
        table = pa.csv.read_csv(
            pa.BufferReader(plain.translate(_APART)),
            read_options=pa.csv.ReadOptions(column_names=["number"], use_threads=False),
            parse_options=pa.csv.ParseOptions(quote_char=False),
            convert_options=kinds,
        )
    except pa.ArrowInvalid:
        return np.empty(0)
    numbers: Float64Array = table.column(0).to_numpy()
    return numbers


def _error(text: bytes, file: str, first_line: int) -> DataError:
    """Return the error for the first line that cannot be used."""
    for number, line in enumerate(text.split(b"\n"), start=first_line):
        tokens = line.partition(b"#")[0].decode(errors="backslashreplace").split()
        for place, token in enumerate(tokens):
            expected = _LABEL if place == 0 else _PAIR
            if not expected.fullmatch(token) and not (place == 1 and token.startswith("qid:")):
                shown = token if len(token) <= _SHOWN_CHARACTERS else f"{token[:_SHOWN_CHARACTERS]}…"
                wanted = "a label" if place == 0 else "index:value"
                header = number == 1 and place == 0 and not any(character.isdigit() for character in token[:1])
                return DataError(
                    f"{file}: line {number}: found {shown!r}, expected {wanted}",
                    hint="libsvm text has no header: delete the line"
                    if header
                    else "data are Parquet, CSV with a header, or text with lines such as 1 17:1 42:1",
                )
    return DataError(f"{file}: the lines from {first_line} on are not label index:value …")
