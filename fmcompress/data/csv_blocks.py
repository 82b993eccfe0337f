"""A block of CSV, parsed by Arrow: numbers as numbers where they are some, tokens as a dictionary, else text."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from fmcompress.data.csv_text import Header
from fmcompress.data.table_files import Piece
from fmcompress.text import shortened

_NULL_WORDS = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA"),
    *("NULL", "NaN", "None", "n/a", "nan", "null", "\\N"),
)
"""What pandas takes for a missing value, and what Hive writes for one."""

_NUMBERS = (pa.int32(), pa.int64(), pa.float64(), pa.string())
"""What a column of numbers is read as: the first that fits all that was found so far."""

_KEYS = (pa.int64(), pa.uint64(), pa.string())
"""The same of a column of 64-bit keys, which floats would round."""

_TOKENS = pa.dictionary(pa.int32(), pa.string())
# What parts several values in a cell, and what may stand around them.
_BETWEEN_NUMBERS = r"[\s|^,;]+", "[]() \t|"
_BETWEEN_TOKENS = r"[|^]", "|"
_BETWEEN_TYPED_TOKENS = r" +", " "
_WRONG_COLUMN = re.compile(r"column #(\d+)")
_WRONG_ROW = re.compile(r"(?s)Row #(\d+): Expected (\d+) columns, got (\d+): (.*)")
_SHOWN_CHARACTERS = 60


class RowError(ValueError):
    """A row cannot be read.

    Attributes:
        row: which, counted from 0 in the block.
    """

    def __init__(self, row: int, message: str) -> None:
        super().__init__(message)
        self.row = row


class ColumnError(ValueError):
    """A column cannot be read."""


@dataclass
class BlockParser:
    """Parses the blocks of a file, in any order and in several threads at a time.

    Attributes:
        header: the columns of the file.
        tokens: columns of tokens, and those that their vocabularies know.
        several: columns that may have several values in a cell.
        keys: columns of 64-bit keys.
    """

    header: Header
    tokens: Mapping[str, Container[str]]
    several: Container[str] = ()
    keys: Container[str] = ()
    _failed: dict[str, int] = field(default_factory=dict)

    def parse(self, block: bytes, columns: Sequence[str], kept: Sequence[str]) -> Piece:
        """Return columns for fields and labels, and columns that are carried along as text, with null for nothing.

        Args:
            block: whole rows, not all of them empty.
            columns: names of the first: tokens are a dictionary of strings, others integers, float64 (but for keys) or,
                where they are no numbers, strings.
            kept: names of the second.

        Raises:
            RowError: a row has more or fewer cells than the header.
            ColumnError: a column is not UTF-8.
        """
        while True:
            failed = {name: self._failed.get(name, 0) for name in columns}
            types = {name: self._type(name, failed[name]) for name in columns} | dict.fromkeys(kept, pa.string())
            try:
                words = _NULL_WORDS if any(failed.values()) else ("",)  # the longer they are, the more time they take
                table = self._table(block, types or {self.header.names[0]: pa.string()}, words)
            except pa.ArrowInvalid as error:
                _check_cells(str(error))
                self._note_failure(error, types, failed)
                continue
            fields = [self._without_null_words(table[name], name) for name in columns]
            rows = len(next(iter(table.values())))
            return Piece(0, rows, fields, [_without_empty(table[name]) for name in kept])

    def _type(self, name: str, failed: int) -> pa.DataType:
        if name in self.several:
            return pa.string()
        if name in self.tokens:
            return _TOKENS
        return (_KEYS if name in self.keys else _NUMBERS)[failed]

    def _table(self, block: bytes, types: Mapping[str, pa.DataType], null_words: Sequence[str]) -> dict[str, pa.Array]:
        quoted = b'"' in block
        # One thread: where the process ends at once, over an error in the data, Arrow's threads would abort it.
        found = pa.csv.read_csv(
            pa.BufferReader(block),
            read_options=pa.csv.ReadOptions(
                column_names=list(self.header.names), use_threads=False, block_size=len(block) + 1
            ),
            parse_options=pa.csv.ParseOptions(
                delimiter=self.header.delimiter,
                quote_char='"' if quoted else False,
                newlines_in_values=quoted,
            ),
            convert_options=pa.csv.ConvertOptions(
                column_types=types, include_columns=list(types), null_values=null_words, strings_can_be_null=False
            ),
        )
        return {name: found.column(name).combine_chunks() for name in types}

    def _note_failure(self, error: pa.ArrowInvalid, types: Mapping[str, pa.DataType], failed: dict[str, int]) -> None:
        """Let the column that could not be converted be read as the next type from now on."""
        column = _WRONG_COLUMN.search(str(error))
        names = [self.header.names[int(column[1])]] if column else list(types)
        numbers = [name for name in names if types.get(name) in (*_NUMBERS[:-1], *_KEYS[:-1])]
        if not numbers:
            raise ColumnError(f"field {names[0]!r} has text that is not UTF-8") from error
        for name in numbers:
            self._failed[name] = max(self._failed.get(name, 0), failed[name] + 1)

    def _without_null_words(self, column: pa.Array, name: str) -> pa.Array:
        """Return a column of text with null for what stands for it, but for what its vocabulary knows, or lists."""
        if name in self.several:
            tokens = _BETWEEN_TYPED_TOKENS if self.header.typed else _BETWEEN_TOKENS
            separators, around = tokens if name in self.tokens else _BETWEEN_NUMBERS
            column = pc.utf8_trim(column, around)
            nulls = pc.is_in(column, pa.array(self._null_words(name), pa.string()))
            column = pc.if_else(nulls, pa.scalar(None, pa.string()), column)
            return pc.split_pattern_regex(column, separators)
        if name in self.tokens:
            column = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
            tokens = column.dictionary
            nulls = pc.is_in(tokens, pa.array(self._null_words(name), tokens.type))
            if not pc.any(nulls).as_py():
                return column
            tokens = pc.if_else(nulls, pa.scalar(None, tokens.type), tokens)
            return pa.DictionaryArray.from_arrays(column.indices, tokens)
        if column.type == pa.string():
            nulls = pc.is_in(pc.utf8_trim_whitespace(column), pa.array(self._null_words(name)))
            return pc.if_else(nulls, pa.scalar(None, pa.string()), column)
        return column

    def _null_words(self, name: str) -> list[str]:
        return [word for word in _NULL_WORDS if word not in self.tokens.get(name, ())]


def _check_cells(error: str) -> None:
    """Raise RowError where an error of Arrow is about how many cells a row has."""
    found = _WRONG_ROW.search(error)
    if found is not None:
        row, expected, cells, text = found.groups()
        shown = shortened(repr(text), _SHOWN_CHARACTERS)
        raise RowError(int(row) - 1, f"has {cells} cells, expected the header's {expected}: {shown}")


def _without_empty(column: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
