"""A tensor of which several parts are stored, each a block of it, as processes that train it together save it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from fmcompress.checkpoints.reading_errors import quoted
from fmcompress.checkpoints.stored_numbers import NumberType, StoredTensor
from fmcompress.checkpoints.stored_rows import check_rows
from fmcompress.errors import CheckpointError
from fmcompress.types import AnyArray

_HINT = "a file is missing or damaged, or of another checkpoint: copy or save it again"


class ChunkSource(Protocol):
    """What a chunk is read from: a tensor of its own."""

    def read(self) -> AnyArray:
        """Return its values, of its shape and dtype."""

    def read_rows(self, start: int, stop: int) -> AnyArray:
        """Return some of its rows, (stop - start, …) of the same dtype."""

    def hold(self) -> None:
        """Let rows be read after its file is closed."""


@dataclass(frozen=True)
class Chunk:
    """A block of a tensor.

    Attributes:
        offsets: where it begins, along each axis.
        sizes: its shape.
        source: what it is read from.
    """

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    source: ChunkSource

    def places(self, first_row: int, start: int, stop: int) -> tuple[slice, ...]:
        """Return where its rows from ``start`` to ``stop`` of the tensor stand in rows from ``first_row`` on."""
        beside = zip(self.offsets[1:], self.sizes[1:], strict=True)
        return (slice(start - first_row, stop - first_row), *(slice(first, first + size) for first, size in beside))


@dataclass(frozen=True)
class ChunkedTensor(StoredTensor):
    """A tensor of chunks that have each of its numbers once; see ``tensor.FileTensor``.

    Attributes:
        shape: its shape.
        kind: type of its numbers, of all chunks.
        chunks: its chunks, by the first row of each.
    """

    shape: tuple[int, ...]
    kind: NumberType
    chunks: Sequence[Chunk]

    @classmethod
    def of(cls, name: str, shape: tuple[int, ...], kind: NumberType, chunks: Sequence[Chunk]) -> ChunkedTensor:
        """Return a tensor.

        Raises:
            CheckpointError: its chunks leave a part of it out, or have one twice, or more than there is.
        """
        ordered = sorted(chunks, key=lambda chunk: chunk.offsets)
        fitting = all(
            len(chunk.offsets) == len(chunk.sizes) == len(shape)
            and all(first + size <= whole for first, size, whole in zip(chunk.offsets, chunk.sizes, shape, strict=True))
            for chunk in ordered
        )
        numbers = sum(math.prod(chunk.sizes) for chunk in ordered)
        if not fitting or numbers != math.prod(shape) or _lie_over_each_other(ordered):
            raise CheckpointError(
                f"the parts of {quoted(name)} have {numbers:,} numbers, which do not make one tensor of shape {shape}",
                hint=_HINT,
            )
        return cls(shape, kind, ordered)

    @property
    def is_float(self) -> bool:
        """Whether its numbers are floats."""
        return self.kind.is_float

    def read(self) -> AnyArray:
        """Return its values, of its shape and the dtype that the file says."""
        if not self.shape:
            return self.chunks[0].source.read()
        return self.read_rows(0, self.shape[0])

    def read_rows(self, start: int, stop: int) -> AnyArray:
        """Return some of its rows, (stop - start, …) of the same dtype, out of all chunks that have a part of them."""
        check_rows(self.shape, start, stop)
        shape = (stop - start, *self.shape[1:])
        touched = (self._bounds[0] < stop) & (self._bounds[1] > start) & (math.prod(shape) > 0)
        values = None
        for number in np.flatnonzero(touched).tolist():
            chunk = self.chunks[number]
            first, last = max(start, chunk.offsets[0]), min(stop, chunk.offsets[0] + chunk.sizes[0])
            part = chunk.source.read_rows(first - chunk.offsets[0], last - chunk.offsets[0])
            if part.shape == shape:
                return part
            if values is None:
                values = np.empty(shape, part.dtype)
            values[chunk.places(start, first, last)] = part
        return self.kind.decode(np.empty(shape, self.kind.stored)) if values is None else values

    def hold(self) -> None:
        """Let rows be read after the files are closed."""
        for chunk in self.chunks:
            chunk.source.hold()

    @cached_property
    def _bounds(self) -> AnyArray:
        """The first row of each chunk, and the row behind the last, int64 (2, chunks)."""
        rows = [(chunk.offsets[0], chunk.offsets[0] + chunk.sizes[0]) for chunk in self.chunks]
        return np.array(rows, np.int64).reshape(-1, 2).T


def _lie_over_each_other(chunks: Sequence[Chunk]) -> bool:
    """Return whether two chunks have a number in common; they are ordered by their first rows."""
    filled = [chunk for chunk in chunks if math.prod(chunk.sizes)]
    if len(filled) < 2:
        return False
    firsts = np.array([chunk.offsets for chunk in filled], np.int64)
    ends = firsts + np.array([chunk.sizes for chunk in filled], np.int64)
    behind = np.searchsorted(firsts[:, 0], ends[:, 0])
    return any(
        bool(np.all((firsts[own + 1 : last] < ends[own]) & (ends[own + 1 : last] > firsts[own]), axis=1).any())
        for own, last in enumerate(behind.tolist())
    )
