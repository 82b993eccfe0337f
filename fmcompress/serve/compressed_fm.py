"""The compressed factorization machine as users have it: it predicts, and saves itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from fmcompress.arguments import checked_arguments
from fmcompress.artifact.io import read_any_artifact, read_artifact, save
from fmcompress.artifact.packed import PackedFM
from fmcompress.serve.compressed_tables import CompressedTables
from fmcompress.serve.native_unpacking import unpack
from fmcompress.serve.vector_table import WithTables
from fmcompress.types import Float32Array

if TYPE_CHECKING:
    from fmcompress.serve.scorer import Scorer


@dataclass(frozen=True, eq=False)
class CompressedFM(WithTables, PackedFM):
    """A factorization machine within a byte budget.

    Attributes:
        header: fields, tiers, quantizers and origin.
        bias: w_0.
        values: codebooks, raw embeddings and linear weights in fp16, scales of those in int8, tier by tier, float16
            (values,).
        codes: tiers, what is stored in int8 and fp32, and bit streams of codes, tier by tier, uint8 (bytes,).
        numeric: weights of the numeric fields; None where there are none.
        vocabulary_data: the vocabulary, as ``Vocabulary.encode`` makes it, uint8 (bytes,); None where there is none.
        network_data: the dense layers, as ``encode_network`` makes them, uint8 (bytes,); None where there are none.
    """

    @classmethod
    @checked_arguments
    def of(cls, packed: PackedFM) -> CompressedFM:
        """Return a packed model that predicts; the arrays are shared."""
        return cls(**{name: getattr(packed, name) for name in cls.__dataclass_fields__})

    def predict(
        self,
        ids: npt.ArrayLike,
        values: npt.ArrayLike | None = None,
        *,
        bags: Mapping[str, Any] | None = None,
        threads: int = 1,
    ) -> Float32Array:
        """Return the predictions of rows, float32 (rows,): probabilities, or numbers where the link is a regression's.

        Args:
            ids: category ids counted from 0 in each field, -1 where one is missing; integers, in the order of
                ``schema.id_names`` (rows, ids).
            values: of the numeric fields, NaN where one is missing; numbers (rows, numeric fields). None where there
                are no such fields.
            bags: values of fields with several in a row, by name: a list with a list of ids for each row, or an array
                of ids (rows, most values), -1 where there is none; a ``Bag``, or a tuple of its arrays: starts, ids
                and perhaps weights; an Arrow array of lists. Of a field that is here, ids are -1; of others of this
                kind, they are a value each.
            threads: among how many threads of the native core the rows are split; few rows take fewer, and numpy, which
                scores where the core is not built, takes one. Python's other threads run, and may score, meanwhile.

        Raises:
            DataError: a shape is another, an id is out of range, a value or a weight is infinite, a row has an id
                beside a bag.
            UsageError: there are fewer threads than one.
        """
        if bags is not None or type(threads) is not int:  # a row takes little longer than to look at more
            _check_options(bags, threads)
        return self._scorer.predict(ids, values, bags=bags, threads=threads)

    @checked_arguments
    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write the artifact; see ``fmcompress.artifact.save``."""
        save(self, path, force=force)

    @cached_property
    def _scorer(self) -> Scorer:
        from fmcompress.serve.scorer import open_scorer

        return open_scorer(self)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy is made of: its scorer is opened anew."""
        return {name: value for name, value in vars(self).items() if name != "_scorer"}


@checked_arguments
def _check_options(bags: Mapping[str, Any] | None, threads: int) -> None:
    """Raise UsageError where an option of a prediction is of another type."""


@checked_arguments
def load(path: str | Path, *, map: bool = False) -> CompressedFM | CompressedTables:
    """Read an artifact into memory, after checking every byte of it: a factorization machine, or tables of vectors.

    Nothing that happens to the file afterwards reaches the model. A mapped model uses the file where it lies: processes
    share its pages, and those that no row needs are not kept. The file may be renamed, deleted, or replaced by another
    one that is renamed to it, as ``save`` does; but it must not be written to or cut, which would change predictions,
    or end the process with a bus error.

    Args:
        path: file that ``save`` wrote.
        map: whether the file is mapped, and used where it lies.

    Raises:
        ArtifactError: the file is missing, no artifact, damaged, cut short, or of a newer schema version.
    """
    found = read_any_artifact(path, map=map, unpack=unpack)
    return CompressedFM.of(found) if isinstance(found, PackedFM) else CompressedTables.of(found)


def load_fm(path: str | Path) -> CompressedFM:
    """Read an artifact that holds a factorization machine into memory; see ``load``.

    Raises:
        ArtifactError: the file is missing, no artifact, damaged, cut short, of a newer schema version, or holds tables.
    """
    return CompressedFM.of(read_artifact(path, unpack=unpack))
