"""CSV as text: its header, and where its rows end, whatever is quoted in them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fmcompress.types import Int64Array, UInt8Array

LONGEST_ROW_BYTES = 64 * 2**20

_DELIMITERS = ",\t;|"
_QUOTE, _LINE_FEED, _RETURN = b'"\n\r'
_QUOTED = re.compile(r'"[^"]*"')
# What numpy works on at a time stays in the cache.
_CACHED_BYTES = 2**18
_TYPE = re.compile(r":(token|float)(_seq)?$")
_BLANK_LINES = re.compile(rb"[\r\n]*")


class Stream(Protocol):
    """What bytes are read from."""

    def read(self, size: int) -> bytes:
        """Return up to so many bytes; none at the end."""


class RowTooLongError(ValueError):
    """A row is so long that it is none."""


class OpenQuoteError(ValueError):
    """A quote is never closed: what comes behind it, up to the end of the file, is no row."""


@dataclass(frozen=True)
class Header:
    """The first row of a CSV file.

    Attributes:
        names: of the columns.
        delimiter: what parts them: a comma, a tab, a semicolon or a bar, whichever there are most of.
        size_bytes: where the row ends, in the file.
        typed: whether their types stood behind their names, as in RecBole's files: ``item_id:token``.
    """

    names: tuple[str, ...]
    delimiter: str
    size_bytes: int
    typed: bool = False


def header_of(stream: Stream) -> Header | None:
    """Return the header of a file of which nothing was read; None where there is no row.

    Raises:
        RowTooLongError: it has no end.
        UnicodeDecodeError: it is not UTF-8.
        csv.Error: it is no row.
    """
    text = stream.read(2**16)
    while True:
        begin = 3 if text.startswith(b"\xef\xbb\xbf") else 0
        begin += len(_BLANK_LINES.match(text, begin)[0])  # type: ignore[index]
        row = text[begin:]
        delimiter = _delimiter_of(row)
        size = _first_row(row, delimiter)
        if size:
            break
        more = stream.read(len(text))
        if not more:
            size = len(row)
            break
        text += more
        if len(text) > LONGEST_ROW_BYTES:
            raise RowTooLongError
    line = row[:size].decode()
    if not line:
        return None
    (names,) = csv.reader(io.StringIO(line, newline=""), delimiter=delimiter, strict=True)
    typed = all(_TYPE.search(name) for name in names)
    found = tuple((_TYPE.sub("", name) if typed else name).strip() for name in names)
    return Header(found, delimiter, begin + size, typed)


def _delimiter_of(text: bytes) -> str:
    line = _QUOTED.sub("", text[: text.find(b"\n")].decode("latin-1"))
    return max(_DELIMITERS, key=line.count)  # of several the first


def _first_row(text: bytes, delimiter: str) -> int:
    ends = _row_ends(text, delimiter)
    return int(ends[0]) if len(ends) else 0


def blocks_of(stream: Stream, size_bytes: int, delimiter: str) -> Iterator[bytes]:
    """Yield the text of a stream that begins with a row, in blocks of whole rows, each of which ends with a line break.

    Args:
        stream: what is read.
        size_bytes: how long they are, about.
        delimiter: what parts the columns.

    Raises:
        RowTooLongError: a row has no end.
        OpenQuoteError: the last row has none.
    """
    rest = b""
    while more := stream.read(max(size_bytes, len(rest))):
        text = rest + more
        end = whole_rows(text, delimiter)
        if end:
            yield text[:end]
        rest = text[end:]
        if len(rest) > LONGEST_ROW_BYTES:
            raise RowTooLongError
    if rest:
        text = rest + b"\n"
        end = whole_rows(text, delimiter)
        if end:
            yield text[:end]
        if end < len(text):
            raise OpenQuoteError


def whole_rows(text: bytes, delimiter: str) -> int:
    """Return how many bytes at the begin of a text are whole rows."""
    if _is_plain(text):
        return text.rfind(b"\n") + 1
    ends = _row_ends(text, delimiter)
    return int(ends[-1]) if len(ends) else 0


def count_rows(text: bytes, delimiter: str) -> int:
    """Return how many whole rows a text has; empty lines are none."""
    raw = np.frombuffer(text, dtype=np.uint8)
    if b"\r" not in text and b'"' not in text:
        starts = range(0, len(raw), _CACHED_BYTES)
        return sum(_count_filled(raw[max(0, start - 1) : start + _CACHED_BYTES]) for start in starts)
    ends = _row_ends(text + b"\n" if text.endswith(b"\r") else text, delimiter)
    if not len(ends):
        return 0
    first = raw[np.concatenate(([0], ends[:-1]))]
    return int(((first != _LINE_FEED) & (first != _RETURN)).sum())


def _count_filled(raw: UInt8Array) -> int:
    """Return how many bytes but the first are line feeds that come behind something else."""
    feeds = raw == _LINE_FEED
    return int(np.count_nonzero(feeds[1:] > feeds[:-1]))


def _is_plain(text: bytes) -> bool:
    """Return whether all line breaks end rows, and nothing else does."""
    return b'"' not in text and (b"\r" not in text or text[:-1].count(b"\r") == text.count(b"\r\n"))


def _row_ends(text: bytes, delimiter: str) -> Int64Array:
    """Return where the whole rows of a text end, behind their line breaks, int64 (rows,).

    A carriage return alone is a line break too, but where the text ends with it: a line feed may follow.
    """
    raw = np.frombuffer(text, dtype=np.uint8)
    feeds = raw == _LINE_FEED
    breaks = np.flatnonzero(feeds | ((raw == _RETURN) & ~np.append(feeds[1:], True)))
    if b'"' in text:
        quotes = np.flatnonzero(raw == _QUOTE)
        if _parts_of_pairs(raw, quotes, delimiter):
            breaks = breaks[np.searchsorted(quotes, breaks) % 2 == 0]
        else:
            breaks = _unquoted(text, breaks, delimiter)
    return breaks + 1


def _parts_of_pairs(raw: UInt8Array, quotes: Int64Array, delimiter: str) -> bool:
    """Return whether every other quote opens a field or follows another, and the rest close one or come before one."""
    apart = np.zeros(256, dtype=bool)
    apart[[_QUOTE, _LINE_FEED, _RETURN, ord(delimiter)]] = True
    around = np.concatenate(([_LINE_FEED], raw, [_LINE_FEED]))
    return bool(apart[around[quotes[0::2]]].all() and apart[around[quotes[1::2] + 2]].all())


def _unquoted(text: bytes, breaks: Int64Array, delimiter: str) -> Int64Array:
    """Return the line breaks that are not in quotes, found field by field: a quote within a field is just that."""
    field = re.compile(rb'(?s)(?:\A|(?<=[\r\n%s]))"[^"]*(?:""[^"]*)*(?:"|\Z)' % re.escape(delimiter.encode()))
    inside = np.zeros(len(breaks), dtype=bool)
    for found in field.finditer(text):
        if b"\n" in found[0] or b"\r" in found[0]:
            first, last = np.searchsorted(breaks, found.span())
            inside[first:last] = True
    return breaks[~inside]
