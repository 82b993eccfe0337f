"""A factorization machine with the scales of its embeddings set right by held-out rows: some numbers, no byte more.

One L2 weight shrinks rare and frequent categories, large and small axes as if all of them were learned from as many
rows. So here z becomes

    z' = b + Σ_i (l_g w_i + o_g) + ½ (‖S'‖² − Σ_i ‖v'_i‖²),   v'_i = x ∘ (e_g v_i + m_g v̄),   S' = Σ_i v'_i

with g the group of category i: those of its table that were seen about as often, within a factor of two. e_g and l_g
scale embeddings and linear weights of a group, o_g is added to the latter, m_g draws the former to their mean v̄ over
the rows (an average category is a better guess for a rare one than zero, to which L2 draws it), and x scales axes.
They minimise

    Σ_rows loss(z') + ½ r (Σ_g (e_g − 1)² + Σ_d (x_d − 1)² + Σ_g (l_g − 1)² + Σ_g o_g² + Σ_g m_g²)

over validation rows, by the Newton steps of Gauss, and r is chosen among some by cross-validation: what is found on
either half of the rows is judged on the other. Where that does not gain more than chance does, nothing changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from fmcompress.data.batch import Batch, concatenate
from fmcompress.data.rows import Rows
from fmcompress.data.shuffle import WHOLE, shuffled
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.disk_table import DiskTable
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.progress import SILENT, Progress
from fmcompress.quantization.sensitivity import shares
from fmcompress.quantization.table_moments import weighted_moments
from fmcompress.types import BoolArray, Float32Array, Float64Array, Int64Array

_MOST_ROWS = 2**17
_MOST_VALUES = 2**24
_CHUNK_ROWS = 8192
_LEAST_ROWS, _ROWS_OF_A_NUMBER = 1000, 20
_RIDGES = (3.0, 30.0, 300.0)
_STEPS, _HALVINGS = 12, 8
_ENOUGH = 1e-6
"""Loss per row that a further step would gain."""
_LEAST_SCALE, _LARGEST_SCALE = 0.02, 8.0
_STANDARD_ERRORS = 2.0


def refined(
    checkpoint: FMCheckpoint, valid: Rows, counts: Int64Array | None, *, seed: int, progress: Progress = SILENT
) -> FMCheckpoint:
    """Return a factorization machine with other scales, where these predict held-out rows better; else itself.

    One with a network, with several values in a field, or on the disk is returned as it is, and so it is where there
    are too few rows for the numbers.

    Args:
        checkpoint: the factorization machine, along its principal axes.
        valid: labelled rows that it was not trained on.
        counts: rows in which each category is active, int64 (categories,); None takes all of a table as equal.
        seed: of the draw of the rows.
        progress: told what was gained.
    """
    table = checkpoint.embeddings
    if checkpoint.network is not None or checkpoint.schema.poolings or isinstance(table, DiskTable):
        return checkpoint
    batch = _drawn(valid, checkpoint, seed)
    if len(batch) < _LEAST_ROWS:
        return checkpoint
    model = _Refinement(checkpoint, table, batch, _groups_of(checkpoint, counts), _means_of(checkpoint, counts))
    if len(batch) < _ROWS_OF_A_NUMBER * len(model.neutral):
        return checkpoint
    with np.errstate(over="ignore", invalid="ignore"):  # steps to logits that are not finite are not taken
        found = _cross_validated(model)
        if found is None:
            return checkpoint
        ridge, gain = found
        better = model.applied(model.fitted(np.arange(len(batch)), ridge))
    progress.note(f"scales by frequency and axis, set on held-out rows: their loss falls by {gain:.5f}")
    return better


def _drawn(valid: Rows, checkpoint: FMCheckpoint, seed: int) -> Batch:
    """Return rows in random order, as many as are held in memory with their embeddings."""
    most = min(_MOST_ROWS, _MOST_VALUES // (checkpoint.dim * max(1, len(checkpoint.schema.id_names))))
    found: list[Batch] = []
    for batch in shuffled(valid, _CHUNK_ROWS, seed=seed, shares=WHOLE):
        found.append(batch)
        if len(found) * _CHUNK_ROWS >= most:
            break
    return concatenate(found)


def _groups_of(checkpoint: FMCheckpoint, counts: Int64Array | None) -> Int64Array:
    """Return the group of each category, counted from 0: table and logarithm of its rows, int64 (categories,)."""
    schema = checkpoint.schema
    seen = np.zeros(schema.categories, np.int64) if counts is None else counts
    tables = np.repeat(np.arange(len(schema)), schema.cardinalities)
    often = np.log2(1.0 + seen).astype(np.int64)
    return np.unique(tables * 64 + often, return_inverse=True)[1].reshape(-1)


def _means_of(checkpoint: FMCheckpoint, counts: Int64Array | None) -> Float32Array:
    """Return the mean embedding of each table over the rows, float32 (tables, dim)."""
    share, schema = shares(checkpoint.schema, counts), checkpoint.schema
    means = [weighted_moments(checkpoint.embeddings_of(own), share[schema.rows(own)])[0] for own in range(len(schema))]
    return np.array(means, dtype=np.float32).reshape(len(schema), checkpoint.dim)


def _cross_validated(model: _Refinement) -> tuple[float, float] | None:
    """Return the best weight of the penalty and what it gains in loss per row; None where that may be chance."""
    rows = np.arange(len(model.batch))
    halves = rows[::2], rows[1::2]
    before, starts = model.losses(model.neutral, rows), [model.neutral, model.neutral]
    best: tuple[float, float] | None = None
    for ridge in sorted(_RIDGES, reverse=True):
        gained = np.empty(len(rows))
        for number, own in enumerate(halves):
            starts[number] = model.fitted(own, ridge, starts[number])
            judged = halves[1 - number]
            gained[judged] = before[judged] - model.losses(starts[number], judged)
        gain, error = float(gained.mean()), float(gained.std() / np.sqrt(len(rows)))
        if gain > _STANDARD_ERRORS * error and (best is None or gain > best[1]):
            best = ridge, gain
    return best


class _Scales(NamedTuple):
    """The bias b, x, float64 (dim,), and e, l, o and m, float64 (groups,)."""

    bias: float
    axes: Float64Array
    scales: Float64Array
    linear: Float64Array
    added: Float64Array
    means: Float64Array


@dataclass(frozen=True)
class _Refinement:
    """The scales of a factorization machine as parameters: bias, x, then e, l, o and m of all groups.

    Attributes:
        checkpoint: the factorization machine.
        table: its embeddings, float32 (categories, dim).
        batch: held-out rows.
        groups: of the categories, int64 (categories,).
        means: v̄ of each table, float32 (tables, dim).
    """

    checkpoint: FMCheckpoint
    table: Float32Array
    batch: Batch
    groups: Int64Array
    means: Float32Array

    @cached_property
    def neutral(self) -> Float64Array:
        """The parameters that change nothing, float64 (parameters,)."""
        ones = np.ones(self.checkpoint.dim + 2 * self._number)
        return np.concatenate([[self.checkpoint.bias], ones, np.zeros(2 * self._number)])

    @cached_property
    def _number(self) -> int:
        """Of groups."""
        return int(self.groups.max()) + 1

    def _parts(self, at: Float64Array) -> _Scales:
        dim, number = self.checkpoint.dim, self._number
        return _Scales(float(at[0]), *np.split(at[1:], dim + number * np.arange(4)))

    def applied(self, at: Float64Array) -> FMCheckpoint:
        """Return the factorization machine with these parameters, float64 (parameters,)."""
        parts = self._parts(at)
        own, numeric, axes = self.checkpoint, self.checkpoint.numeric, parts.axes.astype(np.float32)
        shifts, drawn = parts.added[self.groups], parts.means[self.groups].astype(np.float32)
        for offset, field in zip(own.schema.offsets, own.schema.fields, strict=True):
            if field.pad is not None:
                shifts[offset + field.pad] = drawn[offset + field.pad] = 0  # the row of a PAD stays zero
        embeddings = self.table * parts.scales[self.groups, None].astype(np.float32)
        embeddings += drawn[:, None] * np.repeat(self.means, own.schema.cardinalities, axis=0)
        return replace(
            own,
            bias=parts.bias,
            embeddings=embeddings * axes,
            linear=(own.linear * parts.linear[self.groups] + shifts).astype(np.float32),
            numeric=NumericWeights(numeric.linear, numeric.embeddings * axes),
        )

    def losses(self, at: Float64Array, rows: Int64Array) -> Float64Array:
        """Return the loss of each of some rows, int64 (n,), with these parameters, float64 (n,)."""
        found = [
            self.checkpoint.link_function.losses(chunk.logits(self._parts(at)), chunk.labels)
            for chunk in self._chunks(rows)
        ]
        return np.concatenate(found)

    def fitted(self, rows: Int64Array, ridge: float, start: Float64Array | None = None) -> Float64Array:
        """Return the parameters that minimise loss and penalty on some rows, float64 (parameters,).

        Args:
            rows: int64 (n,).
            ridge: r, the weight of the penalty.
            start: parameters to begin with; None are those that change nothing.
        """
        at = self.neutral if start is None else start
        weights = np.full(len(at), ridge)
        weights[0] = 0.0
        cost = self._cost(at, rows, weights)
        for _ in range(_STEPS):
            slopes, hessian = self._derivatives(at, rows)
            slopes += weights * (at - self.neutral)
            if not (np.isfinite(slopes).all() and np.isfinite(hessian).all()):
                return at
            step = -np.linalg.lstsq(hessian + np.diag(weights), slopes, rcond=None)[0]
            for _ in range(_HALVINGS):
                there = self._bounded(at + step)
                cost_there = self._cost(there, rows, weights)
                if cost_there < cost:
                    break
                step = step / 2
            else:
                return at
            gained, at, cost = cost - cost_there, there, cost_there
            if gained < _ENOUGH * len(rows):
                return at
        return at

    def _bounded(self, at: Float64Array) -> Float64Array:
        """Return parameters whose scales of embeddings are positive and no larger than makes sense."""
        found, last = at.copy(), 1 + self.checkpoint.dim + self._number
        found[1:last] = np.clip(found[1:last], _LEAST_SCALE, _LARGEST_SCALE)
        return found

    def _cost(self, at: Float64Array, rows: Int64Array, weights: Float64Array) -> float:
        return float(self.losses(at, rows).sum() + 0.5 * weights @ np.square(at - self.neutral))

    def _derivatives(self, at: Float64Array, rows: Int64Array) -> tuple[Float64Array, Float64Array]:
        """Return first and second derivatives of the loss of some rows, float64 (P,) and (P, P)."""
        slopes, hessian = np.zeros(len(at)), np.zeros((len(at), len(at)))
        parts, link = self._parts(at), self.checkpoint.link_function
        for chunk in self._chunks(rows):
            logits = chunk.logits(parts)
            terms = chunk.terms(parts, self._number)
            slopes += terms.T @ link.slopes(logits, chunk.labels).astype(np.float32)
            root = terms * np.sqrt(link.curvatures(logits)).astype(np.float32)[:, None]
            hessian += root.T @ root
        return slopes, hessian

    def _chunks(self, rows: Int64Array) -> Iterator[_Chunk]:
        for first in range(0, len(rows), _CHUNK_ROWS):
            yield _Chunk.of(self, self.batch.take(rows[first : first + _CHUNK_ROWS]))


@dataclass(frozen=True)
class _Chunk:
    """Some rows, as the factorization machine holds them before scales.

    Attributes:
        groups: of the categories, int64 (rows, fields).
        there: which are not missing, bool (rows, fields).
        vectors: v_i, 0 where missing, float32 (rows, fields, dim).
        means: v̄ of each field's table, float32 (fields, dim).
        weights: w_i, 0 where missing, float32 (rows, fields).
        numeric: S_n of the numeric fields, float32 (rows, dim).
        squares: sum of the squares of their parts, float32 (rows, dim).
        constant: what they add to the logit linearly, float32 (rows,).
        labels: float64 (rows,).
    """

    groups: Int64Array
    there: BoolArray
    vectors: Float32Array
    means: Float32Array
    weights: Float32Array
    numeric: Float32Array
    squares: Float32Array
    constant: Float32Array
    labels: Float64Array

    @classmethod
    def of(cls, model: _Refinement, batch: Batch) -> _Chunk:
        """Look the rows up."""
        own, there, numeric = model.checkpoint, batch.ids >= 0, model.checkpoint.numeric
        rows = np.where(there, batch.ids + own.schema.id_offsets, 0)
        return cls(
            groups=model.groups[rows],
            there=there,
            vectors=model.table[rows] * there[..., None],
            means=model.means[own.schema.tables],
            weights=own.linear[rows] * there,
            numeric=batch.values @ numeric.embeddings,
            squares=np.square(batch.values) @ np.square(numeric.embeddings),
            constant=batch.values @ numeric.linear,
            labels=batch.labels.astype(np.float64),
        )

    def logits(self, parts: _Scales) -> Float64Array:
        """Return z', float64 (rows,), with these parameters."""
        sums, squares = self._pooled(self._embedded(parts))
        pairs = 0.5 * (np.square(sums) - squares) @ np.square(parts.axes)
        own = (parts.linear[self.groups] * self.weights + parts.added[self.groups] * self.there).sum(axis=1)
        return np.asarray(parts.bias + self.constant + own + pairs, dtype=np.float64)

    def _embedded(self, parts: _Scales) -> Float32Array:
        """Return e v + m v̄ of the rows' categories, before axes are scaled, float32 (rows, fields, dim)."""
        drawn = (parts.means[self.groups] * self.there).astype(np.float32)
        scaled = self.vectors * parts.scales[self.groups].astype(np.float32)[..., None]
        return np.asarray(scaled + drawn[..., None] * self.means, dtype=np.float32)

    def _pooled(self, embedded: Float32Array) -> tuple[Float32Array, Float32Array]:
        """Return the sums of these and of their squares, with those of numeric fields, float32 (rows, dim) each."""
        squares = np.einsum("rfl,rfl->rl", embedded, embedded)
        return self.numeric + embedded.sum(axis=1), self.squares + squares

    def terms(self, parts: _Scales, number: int) -> Float32Array:
        """Return the derivatives of z' by the parameters, float32 (rows, P), of so many groups."""
        embedded = self._embedded(parts)
        sums, squares = self._pooled(embedded)
        x, dim = parts.axes.astype(np.float32), self.numeric.shape[1]
        found = np.zeros((len(self.labels), 1 + dim + 4 * number), np.float32)
        found[:, 0] = 1
        found[:, 1 : 1 + dim] = x * (np.square(sums) - squares)
        rest = np.square(x) * (sums[:, None] - embedded)
        of_scales = np.einsum("rfl,rfl->rf", self.vectors, rest)
        of_means = np.einsum("fl,rfl->rf", self.means, rest) * self.there
        rows, first = np.arange(len(found)), 1 + dim
        for values in (of_scales, self.weights, self.there, of_means):
            for column in range(values.shape[1]):  # one by one: fields that share a table may have one group
                found[rows, first + self.groups[:, column]] += values[:, column]
            first += number
        return found
