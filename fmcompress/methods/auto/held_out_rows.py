"""Held-out rows as they are scored with the fields as they are at present: logits, and what these change by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.network import Network, vectors_of
from fmcompress.fm.scored_rows import NetworkRows, network_rows, numeric_inputs
from fmcompress.methods.auto.held_out_tiers import SeenCategories
from fmcompress.types import Float32Array, Float64Array, Int64Array


class HeldOutScores(Protocol):
    """Logits of held-out rows, and what they change by."""

    @property
    def pairwise(self) -> bool:
        """Whether ½ ‖S‖² is a term of the logit, so that shifts of two terms of a row are multiplied."""

    @property
    def logits(self) -> Float64Array:
        """Of the rows, float64 (rows,)."""

    def slopes(self, seen: SeenCategories, own: Int64Array) -> Float32Array:
        """Return what logits change by with the embeddings of some values of a field, float32 (n, dim).

        Args:
            seen: the field.
            own: these values, int64 (n,).
        """


class HeldOutModel(Protocol):
    """Scores held-out rows."""

    def score(self, fields: Sequence[SeenCategories]) -> HeldOutScores:
        """Return the rows with the fields as they are at present."""


def held_out_model(checkpoint: FMCheckpoint, values: Float32Array) -> HeldOutModel:
    """Return what scores held-out rows.

    Args:
        checkpoint: the factorization machine, perhaps with a network.
        values: of the numeric fields, float32 (rows, numeric fields).
    """
    if checkpoint.network is not None:
        return _WithNetwork(checkpoint, checkpoint.network, values)
    return _FactorizationMachine(checkpoint.bias, checkpoint.numeric.contributions(values))


@dataclass(frozen=True)
class _FMScores:
    """S, float32 (rows, dim), and logits, float64 (rows,)."""

    sums: Float32Array
    logits: Float64Array
    pairwise: bool = True

    def slopes(self, seen: SeenCategories, own: Int64Array) -> Float32Array:
        return seen.others(self.sums, own)


@dataclass(frozen=True)
class _FactorizationMachine:
    """w_0, and what numeric fields add to S, float32 (rows, dim), and to the logits, float32 (rows,)."""

    bias: float
    numeric: tuple[Float32Array, Float32Array]

    def score(self, fields: Sequence[SeenCategories]) -> _FMScores:
        sums, scalars = self.numeric[0].copy(), self.numeric[1]
        logits = self.bias + scalars.astype(np.float64)
        for seen in fields:
            if seen.pooled is not None:
                rows, vectors, linear = seen.terms()
                np.add.at(sums, rows, vectors)
                logits += np.bincount(rows, linear - 0.5 * np.einsum("rl,rl->r", vectors, vectors), len(logits))
                continue
            for use in seen.by_use():
                rows, place = seen.rows[use], seen.place[use]
                vectors = seen.embeddings[place]
                sums[rows] += vectors
                logits[rows] += seen.linear[place] - 0.5 * np.einsum("rl,rl->r", vectors, vectors)
        return _FMScores(sums, logits + 0.5 * np.einsum("rl,rl->r", sums, sums))


@dataclass(frozen=True)
class _NetworkScores:
    scored: NetworkRows

    @property
    def pairwise(self) -> bool:
        return self.scored.network.of_kind.pairwise

    @property
    def logits(self) -> Float64Array:
        return self.scored.logits.astype(np.float64)

    def slopes(self, seen: SeenCategories, own: Int64Array) -> Float32Array:
        found = self.scored.derivatives[seen.rows[own], seen.columns[own]]
        return found if seen.pooled is None else found * seen.pooled.embedding[own, None]


@dataclass(frozen=True)
class _WithNetwork:
    """A checkpoint, its network, and the values of its numeric fields, float32 (rows, numeric fields)."""

    checkpoint: FMCheckpoint
    network: Network
    values: Float32Array

    def score(self, fields: Sequence[SeenCategories]) -> _NetworkScores:
        schema, numeric, rows = self.checkpoint.schema, self.checkpoint.numeric, len(self.values)
        vectors = np.zeros((rows, vectors_of(schema), self.checkpoint.dim), dtype=np.float32)
        own, of_numeric, raw = numeric_inputs(schema, numeric, self.values)
        scalars = self.checkpoint.bias + of_numeric
        for seen in fields:
            of_rows, terms, linear = seen.terms()
            vectors[of_rows, seen.term_columns] = terms
            scalars = scalars + np.bincount(of_rows, linear, rows)
        vectors[:, len(schema.id_names) :] = own
        return _NetworkScores(network_rows(self.network, vectors, scalars.astype(np.float32), raw))
