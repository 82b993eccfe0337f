"""Kaggle's text files: what their columns are, read as tables of labels and keys."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from fmcompress.errors import DataError

LABEL = "label"

_BLOCK_BYTES = 8 * 2**20
_BLOCKS_OF_A_TABLE = 8  # what is done once per table, such as hashing a vocabulary, pays off on more rows

_WRONG_WIDTH = re.compile(r"CSV parse error: Row #(\d+): Expected (\d+) columns, got (\d+)")
_WRONG_VALUE = re.compile(r"In CSV column #(\d+): Row #(\d+): CSV conversion error to ([a-z_]+)[^:]*: (.*)")
_EXPECTED = {"int": "an integer", "fixed_size_binary": "8 hexadecimal digits, or nothing"}


@dataclass(frozen=True)
class RawFormat:
    """A text file of clicks.

    Attributes:
        name: of the data set.
        columns: all columns that are used, in the order of the file if it has no header.
        header: whether the first line names the columns; other columns than these are left out then.
        delimiter: what stands between values.
        label: the column of clicks, 0 and 1.
        bucketed: fields of integers that stand for amounts, and are put into buckets.
        hashed: fields of 8 hexadecimal digits; all others are integers.
        min_count: rows that a category of the paper is found in at least.
        paper_cardinalities: categories of each field in the paper.
    """

    name: str
    columns: tuple[str, ...]
    header: bool
    delimiter: str
    label: str
    bucketed: frozenset[str]
    hashed: frozenset[str]
    min_count: int
    paper_cardinalities: tuple[int, ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """The columns that are fields."""
        return tuple(name for name in self.columns if name != self.label)


_AMOUNTS = tuple(f"I{number}" for number in range(1, 14))
_CATEGORIES = tuple(f"C{number}" for number in range(1, 27))

CRITEO = RawFormat(
    name="criteo",
    columns=("label", *_AMOUNTS, *_CATEGORIES),
    header=False,
    delimiter="\t",
    label="label",
    bucketed=frozenset(_AMOUNTS),
    hashed=frozenset(_CATEGORIES),
    min_count=10,
    paper_cardinalities=(
        49, 101, 126, 45, 223, 118, 84, 76, 95, 9, 30, 40, 75, 1458, 555, 193949, 138801, 306, 19, 11970, 634, 4,
        42646, 5178, 192773, 3175, 27, 11422, 181075, 11, 4654, 2032, 5, 189657, 18, 16, 59697, 86, 45571,
    ),
)  # fmt: skip

AVAZU = RawFormat(
    name="avazu",
    columns=(
        "click", "hour", "C1", "banner_pos", "site_id", "site_domain", "site_category", "app_id", "app_domain",
        "app_category", "device_id", "device_ip", "device_model", "device_type", "device_conn_type",
        "C14", "C15", "C16", "C17", "C18", "C19", "C20", "C21",
    ),
    header=True,
    delimiter=",",
    label="click",
    bucketed=frozenset(),
    hashed=frozenset({
        "site_id", "site_domain", "site_category", "app_id", "app_domain", "app_category", "device_id", "device_ip",
        "device_model",
    }),
    min_count=4,
    paper_cardinalities=(
        241, 8, 8, 3697, 4614, 25, 5481, 329, 31, 381763, 1611748, 6793, 6, 5, 2509, 9, 10, 432, 5, 68, 169, 61,
    ),
)  # fmt: skip

FORMATS = {one.name: one for one in (CRITEO, AVAZU)}


def read_tables(path: Path, raw: RawFormat) -> Iterator[pa.Table]:
    """Yield the rows in their order: the label, int8, and an int64 key per field, null where nothing is given.

    The same key stands for the same value: an integer for itself or its bucket, 8 digits for their bytes.

    Args:
        path: the text, plain or compressed (.gz, .bz2, .zst).
        raw: what its columns are.

    Raises:
        DataError: no such file, a line of the wrong width, a value of the wrong type, a label other than 0 and 1.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    first_row = 2 if raw.header else 1
    names: Sequence[str] = raw.columns
    try:
        names = _column_names(path, raw)
        blocks = iter(_open(path, raw, names, threads=True))
        while block := list(islice(blocks, _BLOCKS_OF_A_TABLE)):
            table = pa.Table.from_batches(block)
            _check_labels(path, table[raw.label], first_row)
            first_row += table.num_rows
            yield _keys(table, raw)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: {_explained(path, raw, names, error)}") from error


def bucket(amounts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return ⌊ln(x)²⌋ for amounts x > 2 and x - 2 for all others, null for null, int64."""
    logs = pc.ln(pc.cast(pc.max_element_wise(amounts, 3, skip_nulls=False), pa.float64()))
    squares = pc.cast(pc.floor(pc.multiply(logs, logs)), pa.int64())
    return pc.if_else(pc.greater(amounts, 2), squares, pc.subtract(amounts, 2))


def _column_names(path: Path, raw: RawFormat) -> Sequence[str]:
    """Return the columns of the file: those of its header, if it has one, which must hold all that are used."""
    if not raw.header:
        return raw.columns
    found = pa.csv.open_csv(path, parse_options=_parsing(raw)).schema.names
    absent = [name for name in raw.columns if name not in found]
    if absent:
        raise DataError(f"{path}: column {absent[0]!r} is missing in its first line", hint=f"is this {raw.name}?")
    return list(found)


def _open(path: Path, raw: RawFormat, names: Sequence[str], *, threads: bool) -> Any:
    types = {name: pa.binary(8) if name in raw.hashed else pa.int64() for name in raw.fields}
    return pa.csv.open_csv(
        path,
        read_options=pa.csv.ReadOptions(
            column_names=names, skip_rows=int(raw.header), block_size=_BLOCK_BYTES, use_threads=threads
        ),
        parse_options=_parsing(raw),
        convert_options=pa.csv.ConvertOptions(
            column_types={raw.label: pa.int8(), **types},
            include_columns=list(raw.columns),
            null_values=[""],
            strings_can_be_null=True,
        ),
    )


def _parsing(raw: RawFormat) -> pa.csv.ParseOptions:
    # Kaggle's files quote nothing; what else writes CSV with a header may.
    return pa.csv.ParseOptions(delimiter=raw.delimiter, quote_char='"' if raw.header else False)


def _check_labels(path: Path, labels: pa.ChunkedArray, first_row: int) -> None:
    fine = pc.fill_null(pc.or_(pc.equal(labels, 0), pc.equal(labels, 1)), False)
    row = pc.index(fine, False).as_py()
    if row >= 0:
        shown = labels[row].as_py()
        found = "empty" if shown is None else shown
        raise DataError(f"{path}: line {first_row + row}: label is {found}, expected 0 or 1")


def _keys(table: pa.Table, raw: RawFormat) -> pa.Table:
    def key(name: str) -> pa.ChunkedArray:
        if name in raw.hashed:
            return pa.chunked_array([chunk.view(pa.int64()) for chunk in table[name].chunks], pa.int64())
        return bucket(table[name]) if name in raw.bucketed else table[name]

    return pa.table({LABEL: table[raw.label], **{name: key(name) for name in raw.fields}})


def _explained(path: Path, raw: RawFormat, names: Sequence[str], error: Exception) -> str:
    """Return what is wrong, and in which line: only a reader without threads knows, so the file is read again."""
    try:
        for _ in _open(path, raw, names, threads=False):
            pass
    except (pa.ArrowInvalid, OSError) as again:
        error = again
    message = str(error).strip().splitlines()[0]
    if found := _WRONG_WIDTH.match(message):
        return f"line {found[1]}: has {found[3]} columns, expected {found[2]}"
    if found := _WRONG_VALUE.match(message):
        expected = next((text for kind, text in _EXPECTED.items() if found[3].startswith(kind)), found[3])
        return f"line {found[2]}, {names[int(found[1])]}: {found[4]}, expected {expected}"
    return message
