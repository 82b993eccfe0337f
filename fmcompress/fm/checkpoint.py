"""A trained factorization machine, whatever tool it came from, and the file that it was read from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fmcompress.arguments import checked_arguments
from fmcompress.errors import CheckpointError, UsageError
from fmcompress.fm.disk_table import DiskTable, Table, part_of
from fmcompress.fm.links import Link, parse_link
from fmcompress.fm.network import Network
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.fm.schema import Schema
from fmcompress.fm.vocabulary import Vocabulary
from fmcompress.types import Float32Array, Int64Array

_BLOCK_ROWS = 2**15
_CHUNK_BYTES = 2**20

State = tuple[tuple[str, int, int], ...]
"""Name, size and time of the last change of each file."""


@dataclass(frozen=True, eq=False)
class Source:
    """The file or directory that a checkpoint was read from.

    Attributes:
        tool: the tool that wrote it, such as ``fmcompress`` or ``pytorch-fm``.
        name: its file name, without folders.
        also: names of what else it holds, such as ``optimizer`` and ``epoch``.
    """

    tool: str
    name: str
    _digest: str | Future[str] = field(repr=False)
    also: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, tool: str, path: Path, state: State, also: tuple[str, ...] = (), parts: tuple[Path, ...] = ()
    ) -> Source:
        """Return the source at ``path``, whose SHA-256 is taken beside what the caller does next.

        Args:
            tool: the tool that wrote it.
            path: where it is.
            state: what ``state_of`` returned before it was read.
            also: names of what else it holds.
            parts: other files that it consists of, such as the shards that an index names.
        """
        beside = ThreadPoolExecutor(1)
        digest = beside.submit(_unchanged_sha256, path.absolute(), state, tuple(part.absolute() for part in parts))
        beside.shutdown(wait=False)
        return cls(tool, path.name, digest, also)

    @property
    def sha256(self) -> str:
        """SHA-256 of its bytes, in hex; of a directory, or a file with shards, of the names and bytes of all its files.

        Raises:
            CheckpointError: it was changed while it was read.
        """
        return self._digest if isinstance(self._digest, str) else self._digest.result()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Source) and self.__reduce__() == other.__reduce__()

    def __hash__(self) -> int:
        return hash((self.tool, self.name))

    def __reduce__(self) -> tuple[type[Source], tuple[str, str, str, tuple[str, ...]]]:
        """Let it be pickled and copied."""
        return Source, (self.tool, self.name, self.sha256, self.also)


@checked_arguments
@dataclass(frozen=True)
class FMCheckpoint:
    """A trained factorization machine in canonical form.

        logit(x) = w_0 + Σ_i w_i x_i + ½ (‖Σ_i v_i x_i‖² − Σ_i ‖v_i x_i‖²)

    With a network on top of its embeddings it is a DeepFM or an NFM; see ``Network`` for the logit of these.

    Attributes:
        schema: its fields; row ``schema.offsets[f] + id`` of the arrays is category ``id`` of field ``f``.
        bias: w_0.
        linear: w, float32 (categories,).
        embeddings: V, float32 (categories, dim); where the file is large a table that stays on the disk.
        link: from logit to prediction, as ``links.parse_link`` reads it: ``sigmoid``, ``probit``, ``identity`` or
            ``clip:LOW:HIGH``.
        counts: rows of the training data in which each category was active, int64 (categories,); None
            where the file does not say.
        source: the file it came from; None for a model made in memory.
        numeric: weights of its numeric fields, in the order of ``schema.numeric``; None where it has none.
        vocabulary: tokens of its categories; None where the file has none.
        network: dense layers on top of it; None where there are none.

    Raises:
        CheckpointError: shapes disagree, a weight is NaN or infinite, a count is negative, the link is
            unknown, a row that is PAD is not zero, the vocabulary is not that of the fields.
    """

    schema: Schema
    bias: float
    linear: Float32Array
    embeddings: Table
    link: str = "sigmoid"
    counts: Int64Array | None = None
    source: Source | None = None
    numeric: NumericWeights = None  # type: ignore[assignment]
    vocabulary: Vocabulary | None = None
    network: Network | None = None

    def __post_init__(self) -> None:
        rows = self.schema.categories
        try:
            parse_link(self.link)
            if self.vocabulary is not None:
                self.vocabulary.check(self.schema)
        except UsageError as error:
            raise CheckpointError(str(error)) from error
        if self.embeddings.ndim != 2 or self.embeddings.shape[0] != rows or self.embeddings.shape[1] < 1:
            raise CheckpointError(
                f"embeddings have shape {self.embeddings.shape}, expected ({rows}, dim) for fields of {rows} categories"
            )
        if self.linear.shape != (rows,):
            raise CheckpointError(f"linear weights have shape {self.linear.shape}, expected ({rows},)")
        if not np.isfinite(self.bias):
            raise CheckpointError(f"bias is {self.bias}, expected a finite number")
        _check_finite("linear weights", self.linear)
        self._check_embeddings()
        if self.counts is not None and (self.counts.shape != (rows,) or self.counts.min() < 0):
            raise CheckpointError(f"counts are not {rows} numbers of 0 or more")
        if self.numeric is None:
            object.__setattr__(self, "numeric", NumericWeights.none(self.dim))
        self._check_numeric()
        if self.network is not None:
            self.network.check(self.schema, self.dim)
        for first_row, own in zip(self.schema.offsets.tolist(), self.schema.fields, strict=True):
            row = None if own.pad is None else first_row + own.pad
            if row is not None and (self.linear[row] or self.embeddings[row].any()):
                raise CheckpointError(f"PAD of field {own.name!r}, id {own.pad}, has weights that are not zero")

    def _check_embeddings(self) -> None:
        if not isinstance(self.embeddings, DiskTable):
            _check_finite("embeddings", self.embeddings)
            return
        for number in range(len(self.schema)):
            rows = self.schema.rows(number)
            own = self.embeddings.within(rows)
            if not np.isfinite(own.longest):  # which it keeps, so that it is read for that once
                raise _not_finite("embeddings", rows.start + own.norms.row)

    def embeddings_of(self, field: int) -> Table:
        """Return a view of the embeddings of a field by its number in ``schema.fields``, float32 (cardinality, dim)."""
        return part_of(self.embeddings, self.schema.rows(field))

    def _check_numeric(self) -> None:
        fields, weights = self.schema.numeric, self.numeric
        if weights.linear.shape != (len(fields),) or weights.embeddings.shape != (len(fields), self.dim):
            raise CheckpointError(
                f"weights of numeric fields have shapes {weights.linear.shape} and {weights.embeddings.shape}, "
                f"expected ({len(fields)},) and ({len(fields)}, {self.dim})"
            )
        _check_finite("linear weights of numeric fields", weights.linear)
        _check_finite("embeddings of numeric fields", weights.embeddings)
        for own, embedding in zip(fields, weights.embeddings, strict=True):
            if own.linear_only and embedding.any():
                raise CheckpointError(f"numeric field {own.name!r} is linear only, but has an embedding")

    @property
    def dim(self) -> int:
        """Embedding size l."""
        return int(self.embeddings.shape[1])

    @property
    def fp32_bytes(self) -> int:
        """Bytes of embeddings, linear weights and dense layers in fp32: what ratios are taken of."""
        return 4 * (self.schema.weights(self.dim) + (0 if self.network is None else self.network.size))

    @property
    def link_function(self) -> Link:
        """The link, ready to be used."""
        return parse_link(self.link)


def _check_finite(name: str, weights: Float32Array) -> None:
    for start in range(0, len(weights), _BLOCK_ROWS):
        block = weights[start : start + _BLOCK_ROWS]
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(np.sum(block)):  # then all its terms are, which is faster to tell so
                continue
        finite = np.isfinite(block)
        if not finite.all():
            raise _not_finite(name, start + int(np.argwhere(~finite)[0][0]))


def _not_finite(name: str, row: int) -> CheckpointError:
    return CheckpointError(f"{name} hold NaN or infinite values, the first in row {row}")


def state_of(path: Path, parts: Sequence[Path] = ()) -> State:
    """Return what tells whether a file or a directory, or another file that it consists of, has been changed."""
    stats = [(file, file.stat()) for file in _files(path, parts)]
    return tuple((_name(file, path), stat.st_size, stat.st_mtime_ns) for file, stat in stats)


def _unchanged_sha256(path: Path, state: State, parts: Sequence[Path]) -> str:
    try:
        digest = _sha256(path, parts)
        if state_of(path, parts) == state:
            return digest
    except OSError:
        pass
    raise CheckpointError(f"{path.name}: it was changed while it was read", hint="read it again")


def _sha256(path: Path, parts: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    chunk = memoryview(bytearray(_CHUNK_BYTES))
    for file in _files(path, parts):
        if parts or path.is_dir():
            digest.update(_name(file, path).encode(errors="surrogateescape") + b"\0")
        with file.open("rb", buffering=0) as opened:
            while size := opened.readinto(chunk):
                digest.update(chunk[:size])
    return digest.hexdigest()


def _files(path: Path, parts: Sequence[Path]) -> list[Path]:
    return sorted(part for part in path.rglob("*") if part.is_file()) if path.is_dir() else [path, *parts]


def _name(file: Path, path: Path) -> str:
    """Return the name of a file of a model: within its directory, or beside the file that names it."""
    return file.relative_to(path if path.is_dir() else path.parent).as_posix()
