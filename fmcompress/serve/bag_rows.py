"""What the values of fields with several in a row have to be before they are scored, in any form they are given in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

import numpy as np

from fmcompress.errors import DataError
from fmcompress.fm.bags import Bag
from fmcompress.fm.schema import MISSING, Schema
from fmcompress.serve.row_checks import out_of_range, signed
from fmcompress.types import AnyArray, BoolArray, Float32Array, Int64Array

_WITHOUT_A_COPY = (np.dtype(np.int32), np.dtype(np.int64))
_MATRIX = 2


def bag_rows(bags: Mapping[str, Any] | None, schema: Schema, rows: int) -> dict[str, Bag]:
    """Return bags as arrays: ids int32 or int64, in place where they are that, with what they are not checked.

    Args:
        bags: by name of the field a ``Bag``; a tuple of starts, ids and, if need be, weights, as a ``Bag`` has them;
            an array of ids (rows, most values), -1 where there is none; an Arrow array of lists; or a list with a list
            of ids for each row.
        schema: the fields.
        rows: how many there are.

    Raises:
        DataError: they are none of these, of another field, of other rows, or the starts make no sense.
    """
    found = {}
    for name, given in (bags or {}).items():
        if name not in schema.poolings:
            raise DataError(f"field {name!r} has bags, but {_expected(schema)}")
        bag = _as_bag(name, given)
        _check_starts(name, bag, rows)
        found[name] = bag
    return found


def check_bag(name: str, bag: Bag, column: Int64Array, schema: Schema, first_row: int = 0) -> None:
    """Name the first value of a field that is wrong.

    Args:
        name: of the field.
        bag: its values in some rows.
        column: ids of the same rows, int64 (rows,).
        schema: the fields.
        first_row: number of the first row.

    Raises:
        DataError: an id is out of range, a weight is not finite, or a row has an id beside its bag.
    """
    place = schema.id_names.index(name)
    beside = (column != MISSING) & (column != schema.pads[place])
    if beside.any():
        row = int(np.argmax(beside))
        raise DataError(
            f"row {first_row + row}, field {name!r}: id {column[row]} is given beside a bag, expected {MISSING}"
        )
    ids = signed(bag.ids)
    wrong = (ids < MISSING) | (ids >= schema.id_cardinalities[place])
    infinite = np.zeros(len(ids), np.bool_) if bag.weights is None else ~np.isfinite(bag.weights)
    either = wrong | infinite
    if not either.any():
        return
    at = int(np.argmax(either))
    row = first_row + int(np.searchsorted(bag.starts, at, side="right")) - 1
    if wrong[at]:
        raise out_of_range(row, schema, place, int(ids[at]))
    weights: Any = bag.weights
    raise DataError(f"row {row}, field {name!r}: weight is {weights[at]}, expected a finite number in fp32")


def present(bag: Bag, pad: int) -> Bag:
    """Return a checked bag without the values that are missing; itself where none is."""
    absent: BoolArray = (bag.ids == MISSING) | (bag.ids == pad)
    return bag.without(absent) if absent.any() else bag


def _expected(schema: Schema) -> str:
    names = list(schema.poolings)
    if not names:
        return "no field of the model has several values in a row"
    return f"several values in a row have only {', '.join(map(repr, names))}"


def _as_bag(name: str, given: Any) -> Bag:
    starts: Any
    ids: Any
    weights: Any = None
    if isinstance(given, Bag):
        starts, ids, weights = given.starts, given.ids, given.weights
    elif isinstance(given, tuple) and len(given) in (2, 3):
        starts, ids, weights = (*given, None)[:3]
    elif hasattr(given, "value_lengths") or hasattr(given, "combine_chunks"):
        starts, ids = _of_arrow(given)
    else:
        starts, ids = _of_rows(name, given)
    starts, ids = np.asarray(starts), np.asarray(ids)
    if not len(ids) and ids.ndim == 1 and ids.dtype.kind == "f":  # what an empty list becomes
        ids = ids.astype(np.int64)
    for what, array in (("starts", starts), ("ids", ids)):
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise DataError(
                f"field {name!r}: {what} of bags are {array.dtype} of shape {array.shape}, expected a row of integers"
            )
    if ids.dtype not in _WITHOUT_A_COPY:
        ids = signed(ids)
    starts = np.ascontiguousarray(starts, dtype=np.int64)
    return Bag(starts, np.ascontiguousarray(ids), _weights(name, weights, len(ids)))


def _weights(name: str, given: Any, values: int) -> Float32Array | None:
    if given is None:
        return None
    weights = np.asarray(given)
    if weights.shape != (values,) or weights.dtype.kind not in "iuf":
        raise DataError(
            f"field {name!r}: weights of bags are {weights.dtype} of shape {weights.shape}, "
            f"expected a number for each of {values} ids"
        )
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(weights, dtype=np.float32)


def _of_arrow(lists: Any) -> tuple[AnyArray, AnyArray]:
    """Return starts and ids of an Arrow array of lists, without importing Arrow; a null list is empty."""
    if hasattr(lists, "combine_chunks"):
        lists = lists.combine_chunks()
    lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    values = lists.flatten()
    if values.null_count:
        values = values.fill_null(MISSING)
    return _starts(lengths), values.to_numpy(zero_copy_only=False)


def _of_rows(name: str, rows: Any) -> tuple[AnyArray, AnyArray]:
    if isinstance(rows, np.ndarray) and rows.ndim == _MATRIX:
        return np.arange(len(rows) + 1) * rows.shape[1], rows.reshape(-1)
    try:
        own = list(map(_listed, rows))
        values = list(chain.from_iterable(own))
        return _starts(list(map(len, own))), np.asarray(values) if values else np.empty(0, np.int64)
    except (TypeError, ValueError) as error:
        raise DataError(f"field {name!r}: its bags are no list of ids for each row") from error


def _listed(row: Iterable[int] | None) -> list[int]:
    return [] if row is None else list(row)


def _starts(lengths: Any) -> Int64Array:
    return np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))


def _check_starts(name: str, bag: Bag, rows: int) -> None:
    starts, values = bag.starts, len(bag.ids)
    if len(starts) != rows + 1:
        raise DataError(f"field {name!r}: there are bags of {len(starts) - 1} rows, expected {rows}")
    if starts[0] != 0:
        raise DataError(f"row 0, field {name!r}: its bag starts at {starts[0]}, expected 0")
    falls = starts[1:] < starts[:-1]
    if falls.any():
        row = int(np.argmax(falls))
        raise DataError(f"row {row}, field {name!r}: its bag starts at {starts[row]} and ends at {starts[row + 1]}")
    if starts[-1] != values:
        raise DataError(f"row {max(rows, 1) - 1}, field {name!r}: its bag ends at {starts[-1]}, expected {values}")
