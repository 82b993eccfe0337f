"""Vocabulary files: the ids of tokens as JSON, those of 64-bit keys as Parquet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fmcompress.arguments import checked_arguments
from fmcompress.errors import DataError, UsageError
from fmcompress.fm.field_keys import FieldKeys
from fmcompress.fm.field_vocabulary import FieldVocabulary
from fmcompress.fm.schema import MAX_CATEGORIES
from fmcompress.fm.vocabulary import UNKNOWN, Vocabulary
from fmcompress.types import Int64Array, UInt64Array

if TYPE_CHECKING:
    import pyarrow as pa

_PARQUET = b"PAR1"
_FIELD, _KEY, _ID = "field", "key", "id"
_BATCH_ROWS = 1 << 20


@checked_arguments
def read_vocabulary(path: str | Path) -> Vocabulary:
    """Read a vocabulary file.

    It is JSON, ``{field: {token: id, …}, …}``, in which the token ``__OOV__`` has the id of unknown ones; or, for
    fields of 64-bit keys, Parquet with the columns ``field``, ``key`` and ``id``: without ``id`` the keys of a field
    count up from 0. A key that is null has the id of a missing value, ``__OOV__`` among keys that are text that of
    unknown ones.

    Args:
        path: the file.

    Raises:
        DataError: there is no such file, or it holds no vocabulary.
    """
    try:
        with Path(path).open("rb") as file:
            parquet = file.read(len(_PARQUET)) == _PARQUET
        found = None if parquet else json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is no JSON ({str(error)[:80]})") from error
    if parquet:
        return Vocabulary(_read_keys(Path(path)))
    if not isinstance(found, dict) or not all(isinstance(ids, dict) for ids in found.values()):
        raise DataError(f"{path}: is no vocabulary", hint='it looks like {"user": {"alice": 0, "bob": 1}}')
    for name, ids in found.items():
        for token, number in ids.items():
            if type(number) is not int or not 0 <= number < MAX_CATEGORIES:
                raise DataError(f"{path}: field {name!r}: token {token[:80]!r} has id {number!r}, expected a number")
    return Vocabulary({name: FieldVocabulary.of(ids, oov=ids.get(UNKNOWN)) for name, ids in found.items()})


@dataclass
class _Found:
    """What a file holds of a field so far."""

    keys: list[UInt64Array] = field(default_factory=list)
    ids: list[Int64Array] = field(default_factory=list)
    rows: int = 0
    oov: int | None = None
    missing: int | None = None

    def add(self, keys: pa.Array, ids: Int64Array | None, file: str, rows: Int64Array) -> None:
        """Add rows of a file, int64 (rows,): keys and their ids, int64 (rows,), which count up where none are given."""
        from fmcompress.data.columns import has_tokens
        from fmcompress.data.key_columns import keys_of

        numbers = np.arange(self.rows, self.rows + len(rows)) if ids is None else ids
        self.rows += len(rows)
        if has_tokens(keys.type):
            unknown = np.array([key == UNKNOWN for key in keys.to_pylist()], dtype=np.bool_)
            if unknown.any():
                self.oov = _only(self.oov, numbers[unknown], file, UNKNOWN)
                kept = ~unknown
                keys, numbers, rows = keys.filter(kept), numbers[kept], rows[kept]
        found, missing = keys_of(keys, file, rows, _KEY)
        if missing.any():
            self.missing = _only(self.missing, numbers[missing], file, "null")
        self.keys.append(found[~missing])
        self.ids.append(numbers[~missing])

    def own(self) -> FieldKeys:
        """Return the keys of the field."""
        keys, ids = np.concatenate(self.keys), np.concatenate(self.ids)
        self.keys, self.ids = [], []
        return FieldKeys.of(keys, ids, oov=self.oov, missing=self.missing)


def _only(before: int | None, ids: Int64Array, file: str, what: str) -> int:
    """Return the one id of a key that each field may have once."""
    if before is not None or len(ids) > 1:
        raise DataError(f"{file}: a field has the key {what} twice, expected different ones")
    return int(ids[0])


def _read_keys(path: Path) -> dict[str, FieldKeys]:
    """Return the keys of each field that a Parquet file holds."""
    found: dict[str, _Found] = {}
    start = 0
    for batch in _batches(path):
        fields = batch.column(0).cast("string").dictionary_encode()
        ids = _ids(batch, str(path), start) if batch.num_columns > len((_FIELD, _KEY)) else None
        if fields.null_count:
            raise DataError(f"{path}: row {start + int(np.argmax(fields.is_null()))} names no field")
        of = fields.indices.to_numpy()
        for number, name in enumerate(fields.dictionary.to_pylist()):
            rows = np.flatnonzero(of == number)
            own = found.setdefault(name, _Found())
            own.add(batch.column(1).take(rows), None if ids is None else ids[rows], str(path), start + rows)
        start += batch.num_rows
    try:
        return {name: own.own() for name, own in found.items()}
    except UsageError as error:
        raise DataError(f"{path}: {error}") from error


def _ids(batch: pa.RecordBatch, file: str, start: int) -> Int64Array:
    from fmcompress.data.numbers import integers

    ids = integers(batch.column(2), file, start, _ID).astype(np.int64)
    wrong = (ids < 0) | (ids >= MAX_CATEGORIES)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(f"{file}: row {start + row} has id {ids[row]}, expected 0 to {MAX_CATEGORIES - 1}")
    return ids


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    """Yield the columns field, key and, where there is one, id of a Parquet file, some rows at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from fmcompress.data.columns import has_tokens
    from fmcompress.data.numbers import holds_numbers

    try:
        with pq.ParquetFile(path) as file:
            kinds = {one.name: one.type for one in file.schema_arrow}
            fits = _FIELD in kinds and _KEY in kinds and has_tokens(kinds[_FIELD])
            if not fits or not all(holds_numbers(kinds[name]) or has_tokens(kinds[name]) for name in (_KEY,)):
                raise DataError(
                    f"{path}: is no vocabulary: it has the columns {', '.join(kinds)[:80]}",
                    hint="a vocabulary of keys has a column field of names, a column key of 64-bit integers and, where "
                    "they do not count up, a column id",
                )
            names = [name for name in (_FIELD, _KEY, _ID) if name in kinds]
            for batch in file.iter_batches(_BATCH_ROWS, columns=names):
                yield batch.select(names)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read: {str(error).splitlines()[0][:120]}") from error
