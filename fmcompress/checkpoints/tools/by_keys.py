"""Models of a user's own, in any file of tensors or arrays: the user says under which keys the weights are.

v   embeddings, (rows, dim) or (dim, rows)
w   linear weights, (rows,), (rows, 1) or (1, rows); left out: zeros
b   bias, one number; left out: 0

A row is a category or, of a numeric field, its only one; rows stand in the order of the fields. A key with ``{field}``
in it names a table of each field. All other weights make another model, unless ``ignore`` says that they are no part.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from fmcompress.checkpoints.checkpoint_file import CheckpointFile
from fmcompress.checkpoints.dialect import Given, from_flat, rows_of
from fmcompress.checkpoints.files.tensor import FileTensor, read_float32
from fmcompress.checkpoints.large_tables import left_in_file, stays_on_disk
from fmcompress.checkpoints.reading_errors import listed, quoted
from fmcompress.errors import CheckpointError, UsageError
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.disk_table import Table
from fmcompress.fm.schema import NumericField, Schema
from fmcompress.types import AnyArray, Float32Array

_PARTS = ("v", "w", "b", "ignore")
_OF_TABLES = ("field", "key", "count")
"""What Parquet tables have besides: see ``parquet_table``."""

_FIELD = "{field}"
_HINT = "write --map v=KEY,w=KEY,b=KEY; {field} in a key stands for the name of each field"


def parse_keys(text: str) -> dict[str, str]:
    """Return the keys that ``v=KEY,w=KEY,b=KEY,ignore=KEY`` names; ``ignore`` may stand several times.

    Raises:
        UsageError: a part is none of these, stands twice, or is empty; or there is no ``v``.
    """
    keys: dict[str, str] = {}
    for part in text.split(","):
        name, _, key = part.strip().partition("=")
        if name not in (*_PARTS, *_OF_TABLES) or not key:
            raise UsageError(
                f"{part.strip()!r} is not one of {', '.join(f'{each}=KEY' for each in _PARTS)}", hint=_HINT
            )
        if name in keys and name != "ignore":
            raise UsageError(f"two keys are named {name!r}", hint=_HINT)
        keys[name] = f"{keys[name]},{key}" if name in keys else key
    return _checked_keys(keys)


def _checked_keys(keys: Mapping[str, str]) -> dict[str, str]:
    for name in keys:
        if name not in (*_PARTS, *_OF_TABLES):
            raise UsageError(f"{name!r} is no part of a model, expected {', '.join(_PARTS)}", hint=_HINT)
    if "v" not in keys:
        raise UsageError("it is not said where the embeddings are", hint=_HINT)
    return dict(keys)


def has_keys(file: CheckpointFile, given: Given) -> bool:
    """Return whether a file has all that ``given.keys`` names, in the weights that are looked at.

    Raises:
        UsageError: the keys make no sense.
    """
    weights = {**file.weights.numbers, **file.weights.tensors}
    tables = _all_tables(_checked_keys(given.keys or {}), _fields(given))
    return all(table.key in weights for part in tables.values() for table in part if table.key is not None)


def read(file: CheckpointFile, given: Given) -> FMCheckpoint:
    """Read the model whose weights are under ``given.keys``; the link is sigmoid where nothing else is given.

    Raises:
        UsageError: the keys make no sense.
        CheckpointError: a key is missing, shapes disagree or can be read in two ways, or there are other weights.
    """
    keys, schema = _checked_keys(given.keys or {}), _fields(given)
    of_tables = [name for name in _OF_TABLES if name in keys]
    if of_tables:
        raise CheckpointError(f"--map names {listed(of_tables)}, which is a column that Parquet tables alone have")
    tables = _all_tables(keys, schema)
    claimed = dict.fromkeys(table.key for part in tables.values() for table in part if table.key is not None)
    numbers = {key: _Number(value) for key, value in file.weights.numbers.items() if key in claimed}
    weights: Mapping[str, FileTensor] = {**numbers, **file.weights.tensors}
    _check_keys(weights, claimed, keys.get("ignore", ""))
    return from_flat(
        schema,
        float(_vector(tables["b"], weights)[0]) if "b" in keys else 0.0,
        _vector(tables["w"], weights) if "w" in keys else np.zeros(schema.flat_rows, np.float32),
        _embeddings(tables["v"], weights),
    )


def _fields(given: Given) -> Schema:
    if given.fields is None:
        raise CheckpointError(
            "it is not said which fields it has", hint="pass --fields name:size,name:size,… with --map"
        )
    return given.fields


@dataclass(frozen=True)
class _Number:
    """A plain number in a file, as a tensor."""

    value: float
    shape: tuple[int, ...] = ()
    is_float: bool = True

    def read(self) -> AnyArray:
        """Return it as an array, float64 ()."""
        return np.array(self.value)

    def read_rows(self, start: int, stop: int) -> AnyArray:
        """Raise IndexError: a number has no rows."""
        raise IndexError(f"rows {start} to {stop} of a number")

    def hold(self) -> None:
        """Do nothing: it is in memory."""


@dataclass(frozen=True)
class _Table:
    """Where some rows of weights are, and whether they are the one of a number; of no embedding there is no key."""

    rows: int
    key: str | None
    numeric: bool = False


def _all_tables(keys: Mapping[str, str], schema: Schema) -> dict[str, list[_Table]]:
    tables = {part: _tables(part, keys[part], schema) for part in ("v", "w") if part in keys}
    return {**tables, **({"b": [_Table(1, keys["b"])]} if "b" in keys else {})}


def _tables(part: str, key: str, schema: Schema) -> list[_Table]:
    """Return the tables of embeddings or linear weights, in the order of their rows."""
    if _FIELD not in key:
        return [_Table(schema.flat_rows, key)]
    tables = []
    for field in schema.all_fields:
        numeric = isinstance(field, NumericField)
        absent = part == "v" and isinstance(field, NumericField) and field.linear_only
        if rows := rows_of(field):
            tables.append(_Table(rows, None if absent else key.replace(_FIELD, field.name), numeric))
    return tables


def _check_keys(weights: Mapping[str, FileTensor], claimed: Collection[str], ignored: str) -> None:
    """Check that all keys are there, and that no weight is left over."""
    for key in claimed:
        if key not in weights:
            raise CheckpointError(f"it has no tensor {listed([key])}, found {listed(weights)}")
    patterns = ignored.split(",")
    for key, tensor in weights.items():
        if key in claimed or any(key == pattern or fnmatchcase(key, pattern) for pattern in patterns):
            continue
        if tensor.is_float:  # whole numbers are first rows of fields and the like
            raise CheckpointError(
                f"it also holds {listed([key])}, which --map does not name",
                hint=f"if it is no part of the factorization machine, add ignore={quoted(key)} to --map",
            )


def _embeddings(tables: Sequence[_Table], weights: Mapping[str, FileTensor]) -> Table:
    """Return V, float32 (rows, dim)."""
    shapes = {table.key: (weights[table.key].shape, table.rows) for table in tables if table.key and not table.numeric}
    turned, dim = _orientation(shapes)
    rows = sum(table.rows for table in tables)
    if not turned and stays_on_disk(rows, dim):
        _check_numbers(tables, weights, dim)
        return left_in_file(weights, [table.rows if table.key is None else table.key for table in tables], dim)
    if len(tables) == 1 and not turned:  # no second copy of a large table
        return read_float32(weights, tables[0].key or "")
    _check_numbers(tables, weights, dim)
    found = np.zeros((rows, dim), np.float32)
    first = 0
    for table in tables:
        if table.key is not None:
            values = read_float32(weights, table.key)
            found[first : first + table.rows] = (
                values.reshape(1, dim) if table.numeric else values.T if turned else values
            )
        first += table.rows
    return found


def _check_numbers(tables: Sequence[_Table], weights: Mapping[str, FileTensor], dim: int) -> None:
    for table in tables:
        if table.key is not None and table.numeric and math.prod(weights[table.key].shape) != dim:
            raise CheckpointError(f"{listed([table.key])} has shape {weights[table.key].shape}, expected {dim} numbers")


def _orientation(shapes: Mapping[str, tuple[tuple[int, ...], int]]) -> tuple[bool, int]:
    """Return whether tables are (dim, rows), and dim.

    Args:
        shapes: shape and expected number of rows of each table, by key.

    Raises:
        CheckpointError: they are neither that nor (rows, dim), or could be both.
    """
    ways = []
    for axis in (0, 1):
        dims = {shape[1 - axis] if len(shape) == 2 and shape[axis] == rows else None for shape, rows in shapes.values()}
        dim = dims.pop()
        if dim is not None and not dims:
            ways.append((bool(axis), dim))
    wrong = [key for key, (shape, rows) in shapes.items() if rows not in shape]
    key = (wrong or list(shapes))[0]
    shape, rows = shapes[key]
    if len(ways) == 2:
        raise CheckpointError(
            f"{listed([key])} has shape {shape}, in which rows and dim cannot be told apart",
            hint="save the embeddings of each field as a tensor of its own, and write v=embeddings.{field}",
        )
    if not ways:
        raise CheckpointError(
            f"{listed([key])} has shape {shape}, expected ({rows}, dim) or (dim, {rows}) by --fields"
            + ("" if len(shapes) == 1 else ", and one dim for all fields")
        )
    return ways[0]


def _vector(tables: Sequence[_Table], weights: Mapping[str, FileTensor]) -> Float32Array:
    """Return linear weights or a bias, float32 (rows,)."""
    parts = []
    for table in tables:
        key = table.key or ""
        shape = weights[key].shape
        if [length for length in shape if length != 1] != [table.rows] * (table.rows != 1):
            expected = f"({table.rows},) or ({table.rows}, 1) by --fields"
            raise CheckpointError(f"{listed([key])} has shape {shape}, expected {expected}")
        parts.append(read_float32(weights, key).reshape(table.rows))
    return np.concatenate(parts)
