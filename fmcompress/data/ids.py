"""Category ids from columns: of integers, which are ids, and of strings, which the vocabulary knows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fmcompress.data.batch import MISSING
from fmcompress.data.columns import has_tokens
from fmcompress.data.options import Oov
from fmcompress.errors import DataError
from fmcompress.fm.schema import Schema
from fmcompress.fm.vocabulary import FieldVocabulary, Vocabulary

_UNKNOWN = MISSING - 1
_LARGEST_ID = 2**63 - 1
_SHOWN_CHARACTERS = 60

Ids = npt.NDArray[np.int64]


class IdReader:
    """Turns the columns of categorical fields into ids.

    Attributes:
        skipped: ids out of range and unknown tokens that were counted and skipped so far, with ``oov="zero"``.
    """

    def __init__(self, schema: Schema, vocabulary: Vocabulary, oov: Oov) -> None:
        """Read nothing yet.

        Args:
            schema: the fields.
            vocabulary: tokens of those that may have columns of strings.
            oov: what becomes of an id out of range, and of a token that the vocabulary has no id for.
        """
        self.skipped = 0
        self._schema = schema
        self._oov = oov
        self._tokens = {
            name: TokenIds(own) for name in schema.id_names if (own := vocabulary.of(name, schema)) is not None
        }

    def read(self, columns: Sequence[pa.Array], file: str, first_row: int) -> npt.NDArray[np.int32]:
        """Return ids, ``MISSING`` for null and for PAD, int32 (rows, ids).

        Args:
            columns: one for each of ``Schema.id_names``.
            file: where they come from, for messages.
            first_row: row of the file that they begin with.

        Raises:
            DataError: an id is out of range or a token unknown, unless ``oov="zero"``.
        """
        schema = self._schema
        found = np.empty((len(columns[0]), len(columns)), dtype=np.int32)
        sizes = schema.id_cardinalities.tolist()
        for number, (name, size, column) in enumerate(zip(schema.id_names, sizes, columns, strict=True)):
            tokens = has_tokens(column.type)
            ids = self._of_tokens(name, column, file) if tokens else integers(column)
            wrong = (ids < MISSING) | (ids >= size)
            if wrong.any():
                if self._oov == "error":
                    raise (unknown_token if tokens else id_error)(file, first_row, name, column, wrong, size - 1)
                self.skipped += int(wrong.sum())
                ids = np.where(wrong, MISSING, ids)
            found[:, number] = ids
        if (schema.pads >= 0).any():
            found[found == schema.pads] = MISSING
        return found

    def _of_tokens(self, name: str, column: pa.Array, file: str) -> Ids:
        try:
            return self._tokens[name].of(column)
        except UnicodeDecodeError as error:
            raise DataError(f"{file}: field {name!r} has text that is not UTF-8") from error


class TokenIds:
    """Turns columns of strings into the ids of a vocabulary."""

    def __init__(self, vocabulary: FieldVocabulary) -> None:
        """Keep the vocabulary."""
        self._missing = MISSING if vocabulary.missing is None else vocabulary.missing
        self._unknown = _UNKNOWN if vocabulary.oov is None else vocabulary.oov
        self._vocabulary = vocabulary
        self._last: tuple[pa.Array, tuple[int, ...], Ids] | None = None

    def of(self, column: pa.Array) -> Ids:
        """Return the ids of tokens, -2 for an unknown one that has no id, int64 (rows,)."""
        if not pa.types.is_dictionary(column.type):
            column = column.cast(pa.large_string()).dictionary_encode()
        ids = self._of_dictionary(column.dictionary)
        places = pc.fill_null(column.indices.cast(pa.int64()), len(ids) - 1)
        found: Ids = ids[places.to_numpy(zero_copy_only=False)]
        return found

    def _of_dictionary(self, tokens: pa.Array) -> Ids:
        """Return the ids of different tokens, and behind them that of a null.

        The batches of a row group share one dictionary: it is looked up once.
        """
        place = (len(tokens), tokens.offset, *(buffer.address for buffer in tokens.buffers() if buffer is not None))
        if self._last is None or self._last[1] != place:
            known, unknown = self._vocabulary.known, self._unknown
            ids = [self._missing if token is None else known.get(token, unknown) for token in tokens.to_pylist()]
            # The tokens are kept too, lest others take their place in memory.
            self._last = tokens, place, np.array([*ids, self._missing], dtype=np.int64)
        return self._last[2]


def integers(column: pa.Array) -> Ids:
    """Return ids, null as missing; ids of uint64 beyond int64 become its largest number."""
    if column.type == pa.uint64():
        column = pc.min_element_wise(column, pa.scalar(_LARGEST_ID, pa.uint64()), skip_nulls=False)
    values: Ids = pc.fill_null(column.cast(pa.int64()), MISSING).to_numpy(zero_copy_only=False)
    return values


def id_error(
    file: str, first_row: int, field: str, column: pa.Array, wrong: npt.NDArray[np.bool_], largest: int
) -> DataError:
    """Return the error for the first wrong id of a column, whose rows begin at ``first_row`` of the file."""
    row = int(np.argmax(wrong))
    return DataError(
        f"{file}: row {first_row + row}, field {field!r}: id {column[row]} is out of range, expected 0 to {largest}, "
        f"or -1 or null for a missing value",
        hint="--oov zero counts such ids and skips them",
    )


def unknown_token(
    file: str, first_row: int, field: str, column: pa.Array, wrong: npt.NDArray[np.bool_], largest: int
) -> DataError:
    """Return the error for the first unknown token of a column, whose rows begin at ``first_row`` of the file."""
    row = int(np.argmax(wrong))
    token = str(column[row].as_py())
    shown = token if len(token) <= _SHOWN_CHARACTERS else f"{token[:_SHOWN_CHARACTERS]}…"
    return DataError(
        f"{file}: row {first_row + row}, field {field!r}: token {shown!r} is none of the vocabulary",
        hint="--oov zero counts such tokens and skips them",
    )
