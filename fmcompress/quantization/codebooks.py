"""Codebooks and codes of all fields, for the quantizers that were chosen.

Codebooks are made from samples of the categories, subspace by subspace; then codes are assigned block by block, each
block being read once for all subspaces, its linear weights and what the errors cost. Of a table on the disk, codes are
packed as they are assigned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import cast

import numpy as np

from fmcompress.artifact.bitpack import pack
from fmcompress.artifact.numbers import tables_as_stored
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.disk_table import BLOCK_ROWS, PASS_ROWS, DiskTable, whole
from fmcompress.fm.quantized_fm import QuantizedField, QuantizedFM, decode
from fmcompress.fm.quantizer import Quantizer
from fmcompress.fm.tiers import Tiers
from fmcompress.progress import SILENT, Progress
from fmcompress.quantization.drawn_categories import drawn_categories
from fmcompress.quantization.field_weights import FieldWeights, Metric, Subspace, all_weights, whitened_subspaces
from fmcompress.quantization.kmeans import nearest, power_of, times, train_centroids
from fmcompress.quantization.parallel import side_by_side
from fmcompress.quantization.rated_kmeans import Rated, bit_prices, rated_codes
from fmcompress.quantization.sensitivity import Sensitivity
from fmcompress.types import Float32Array, Float64Array, Int64Array, UInt8Array, UInt16Array

_ITERATIONS = 20
_ITERATIONS_OF_MANY = 8
_MANY = 32_768
# More points than this per codeword hardly make a better codebook.
_POINTS_PER_CODEWORD = 128
_MIN_POINTS = 16_384
_MOST_KEPT = 2**23
"""Numbers of a sample that all subspaces share."""


def fit_codebooks(
    checkpoint: FMCheckpoint,
    sensitivity: Sensitivity,
    quantizers: Sequence[Quantizer],
    *,
    seed: int,
    tiers: Tiers | None = None,
    metric: Metric | Sequence[Metric] = "fm",
    rises: Sequence[float] | None = None,
    progress: Progress = SILENT,
) -> QuantizedFM:
    """Make codebooks and codes of a factorization machine.

    Args:
        checkpoint: the factorization machine.
        sensitivity: what errors in it cost.
        quantizers: of each tier.
        seed: of k-means.
        tiers: how fields are split; None leaves them whole.
        metric: what the embeddings' k-means minimises, in all tiers or in each of them.
        rises: rise of the loss per row by each tier, where that is known better than from the expected loss.
        progress: told of each field.
    """
    tiers = tiers or Tiers.none(checkpoint.schema)
    weights = all_weights(checkpoint, sensitivity, tiers)
    fields = fit_tiers(weights, quantizers, seed=seed, metric=metric, rises=rises, progress=progress)
    return QuantizedFM(
        checkpoint.schema,
        checkpoint.dim,
        checkpoint.link,
        checkpoint.bias,
        fields,
        tiers,
        checkpoint.numeric,
        checkpoint.network,
    )


def fit_tiers(
    weights: Sequence[FieldWeights],
    quantizers: Sequence[Quantizer],
    *,
    seed: int,
    metric: Metric | Sequence[Metric] = "fm",
    rises: Sequence[float] | None = None,
    progress: Progress = SILENT,
) -> tuple[QuantizedField, ...]:
    """Make codebooks and codes of tiers; arguments are those of ``fit_codebooks``.

    Args:
        weights: of each tier, and what errors in them cost.
        quantizers: of each tier.
        seed: of k-means.
        metric: what k-means minimises.
        rises: of each tier.
        progress: told of each field.
    """
    metrics = [metric] * len(weights) if isinstance(metric, str) else metric
    made = [tier.in_metric(own) for tier, own in zip(weights, metrics, strict=True)]
    works = [
        partial(_codebook, tier, subspace, size, seed=seed)
        for tier, quantizer in zip(made, quantizers, strict=True)
        for subspace, size in zip(subspaces_of(tier, quantizer), quantizer.codewords, strict=True)
    ]
    found = iter(list(side_by_side(works, title="making codebooks", progress=progress)))
    coders = [
        Coder(
            tier,
            quantizer,
            as_stored(tuple(islice(found, len(quantizer.codewords))), quantizer),
            linear_table(tier, quantizer, seed),
        )
        for tier, quantizer in zip(weights, quantizers, strict=True)
    ]
    fields = encoded(coders, progress=progress)
    if rises is not None:
        fields = tuple(replace(field, error=rise) for field, rise in zip(fields, rises, strict=True))
    return fields


def encoded(coders: Sequence[Coder], *, progress: Progress) -> tuple[QuantizedField, ...]:
    """Return tiers with the codes that their coders assign, block by block; progress is told of large ones."""
    blocks = [partial(coder.encode, start) for coder in coders for start in coder.starts]
    large = any(coder.field.is_large for coder in coders)
    coded = iter(list(side_by_side(blocks, title="assigning codes", progress=progress if large else SILENT)))
    return tuple(coder.quantized(list(islice(coded, len(coder.starts)))) for coder in coders)


def expected_rise(field: FieldWeights, quantized: QuantizedField) -> float:
    """Return the expected rise of the loss per row: ½ Σ_i p_i (δ_iᵀ H_f δ_i + h_f δ_w,i²)."""
    vectors, decoded = whole(field.embeddings), whole(quantized.embeddings())
    return sum(_rises(field, slice(0, field.cardinality), vectors, decoded, quantized.linear()))


def _rises(
    field: FieldWeights, rows: slice, vectors: Float32Array, decoded: Float32Array, linear: Float32Array
) -> Iterator[float]:
    """Yield the terms of the expected rise by some rows of a field, from what they are and what is decoded."""
    for start in range(rows.start, rows.stop, PASS_ROWS):  # in float64 all of it would be large
        own = slice(start, min(start + PASS_ROWS, rows.stop))
        some = slice(own.start - rows.start, own.stop - rows.start)
        shift = (decoded[some] - vectors[some]).astype(np.float64)
        cost = np.einsum("nl,nl->n", shift @ field.hessian, shift) if len(shift) else 0.0
        linear_shift = (linear[some] - field.linear[own]).astype(np.float64)
        yield float(0.5 * field.frequencies[own] @ (cost + field.curvature * linear_shift**2))


@dataclass(frozen=True)
class Choice:
    """How categories choose among codewords whose codes take bits; see ``rated_kmeans``.

    Attributes:
        rated: the codewords, as k-means has them.
        shares: of the rows, or what takes their place, float64 (cardinality,).
        price: what a bit costs a category that has all rows, in squared distances.
    """

    rated: Rated
    shares: Float64Array
    price: float

    def codes(self, points: Float32Array, rows: slice) -> Int64Array:
        """Return the codewords of some categories, int64 (n,), of their points, float32 (n, size)."""
        power, prices = power_of(self.rated.centroids), bit_prices(self.shares[rows], self.price)
        if not power:
            return rated_codes(points, prices, self.rated)
        rated = replace(self.rated, centroids=times(self.rated.centroids, power))
        return rated_codes(times(points, power), np.ldexp(prices, 2 * power), rated)


@dataclass(frozen=True)
class Codebook:
    """The codebook of a subspace.

    Attributes:
        subspace: its coordinates, and how they are whitened.
        centroids: whitened, float32 (K, size of the subspace).
        table: codewords, float32 (K, size of the subspace).
        choice: among them where codes take bits; None takes the nearest.
    """

    subspace: Subspace
    centroids: Float32Array
    table: Float32Array
    choice: Choice | None = None

    def of(self, table: Float32Array) -> Codebook:
        """Return it with other codewords, float32 (K, size of the subspace)."""
        centroids, choice = self.subspace.centroids(table), self.choice
        if choice is not None:
            choice = replace(choice, rated=replace(choice.rated, centroids=centroids))
        return Codebook(self.subspace, centroids, table, choice)


@dataclass(frozen=True)
class _Block:
    """Codes of a block of categories, uint16 (n, subspaces) and (n,), where they are not packed; terms of the rise."""

    codes: UInt16Array
    linear_codes: UInt16Array
    rises: list[float]


def subspaces_of(field: FieldWeights, quantizer: Quantizer) -> list[Subspace]:
    """Return the subspaces that a quantizer cuts the embeddings of a tier into; none for raw ones."""
    return whitened_subspaces(field.hessian, len(quantizer.codewords)) if quantizer.codewords else []


def _codebook(field: FieldWeights, subspace: Subspace, size: int, *, seed: int) -> Codebook:
    """Return the codebook of a subspace by weighted k-means in the metric of the expected loss."""
    centroids = _centroids(partial(points_of, field, subspace, seed), field.frequencies, size, seed)
    return Codebook(subspace, centroids, subspace.codewords(centroids))


def as_stored(codebooks: tuple[Codebook, ...], quantizer: Quantizer) -> tuple[Codebook, ...]:
    """Return codebooks in numbers of few bits as they are read back, so that codes are chosen among such codewords."""
    if not quantizer.common_scale or not codebooks:
        return codebooks
    tables = tables_as_stored([codebook.table for codebook in codebooks], quantizer)
    return tuple(codebook.of(table) for codebook, table in zip(codebooks, tables, strict=True))


def points_of(field: FieldWeights, subspace: Subspace, seed: int, categories: Int64Array) -> Float32Array:
    """Return the whitened sub-vectors of some categories, all or drawn ones, float32 (n, size)."""
    if len(categories) < field.cardinality and len(categories) * field.dim <= _MOST_KEPT:
        return subspace.whiten(field.drawn(len(categories), seed=seed)[1])
    return subspace.whiten_rows(field.embeddings, categories)


def linear_table(field: FieldWeights, quantizer: Quantizer, seed: int) -> Float32Array:
    """Return the codebook of the linear weights, float32 (K,); they themselves where they are raw."""
    if quantizer.linear_raw:
        return field.linear
    if not quantizer.has_linear:
        return np.empty(0, dtype=np.float32)
    if quantizer.linear_codewords == 1 and field.is_large:
        return np.array([field.frequencies @ field.linear / field.frequencies.sum()], dtype=np.float32)
    return _centroids(lambda rows: field.linear[rows, None], field.frequencies, quantizer.linear_codewords, seed)[:, 0]


class Coder:
    """Assigns codes to the categories of a tier, block by block."""

    def __init__(
        self,
        field: FieldWeights,
        quantizer: Quantizer,
        codebooks: tuple[Codebook, ...],
        linear_table: Float32Array,
        linear_choice: Choice | None = None,
    ) -> None:
        """Take what is known of a tier.

        Args:
            field: its weights.
            quantizer: how they are stored.
            codebooks: of its embeddings.
            linear_table: codebook of its linear weights, or they themselves, float32 (K,).
            linear_choice: among the former where codes take bits; None takes the nearest.
        """
        self.field, self.quantizer, self.codebooks, self.linear_table = field, quantizer, codebooks, linear_table
        self._linear_choice = linear_choice
        self.starts = range(0, field.cardinality, PASS_ROWS)
        self._stream: UInt8Array | None = None
        if isinstance(field.embeddings, DiskTable):
            self._stream = np.empty(quantizer.code_bytes(field.cardinality), dtype=np.uint8)

    def encode(self, start: int) -> _Block:
        """Return the codes of a block, and what their errors cost by ½ Σ_i p_i (δ_iᵀ H_f δ_i + h_f δ_w,i²)."""
        rows = slice(start, min(start + PASS_ROWS, self.field.cardinality))
        vectors = self.field.embeddings[rows] if self.codebooks else None
        codes = np.empty((rows.stop - start, len(self.codebooks)), dtype=np.uint16)
        for number, codebook in enumerate(self.codebooks):
            codes[:, number] = 0 if vectors is None else self._codes(codebook, vectors, rows)
        linear_codes = np.empty(0, dtype=np.uint16)
        if self.quantizer.has_linear and not self.quantizer.linear_raw:
            points, table = self.field.linear[rows, None], self.linear_table[:, None]
            linear_codes = self._chosen(points, table, self._linear_choice, rows).astype(np.uint16)
        rises = list(self._rises(rows, vectors, codes, linear_codes))
        if self._stream is None:
            return _Block(codes, linear_codes, rises)
        stream = pack(np.column_stack([codes, linear_codes.reshape(len(codes), -1)]), self.quantizer.widths)
        first = start * sum(self.quantizer.widths) // 8  # a multiple of 8 rows ends where a byte does
        self._stream[first : first + len(stream)] = stream
        return _Block(np.empty((0, codes.shape[1]), np.uint16), np.empty(0, np.uint16), rises)

    def _codes(self, codebook: Codebook, vectors: Float32Array, rows: slice) -> Int64Array | int:
        if len(codebook.table) == 1:
            return 0
        return self._chosen(codebook.subspace.whiten(vectors), codebook.centroids, codebook.choice, rows)

    def _chosen(self, points: Float32Array, centroids: Float32Array, choice: Choice | None, rows: slice) -> Int64Array:
        return self._nearest(points, centroids) if choice is None else choice.codes(points, rows)

    def _nearest(self, points: Float32Array, centroids: Float32Array) -> Int64Array:
        """Return the nearest of centroids, float32 (K, d), to each point, float32 (n, d): int64 (n,)."""
        if not self.field.is_large or points.shape[1] > 1:
            return nearest(points, centroids)[1]
        order = np.argsort(centroids[:, 0], kind="stable")  # on a line it lies between two others
        rising = centroids[order, 0].astype(np.float64)
        return order[np.searchsorted((rising[1:] + rising[:-1]) / 2, points[:, 0])]

    def _rises(
        self, rows: slice, vectors: Float32Array | None, codes: UInt16Array, linear_codes: UInt16Array
    ) -> Iterator[float]:
        none = np.empty((0, 0), dtype=np.float32)  # raw embeddings have no errors here
        decoded = none if vectors is None else decode([codebook.table for codebook in self.codebooks], codes)
        linear = self.field.linear[rows]
        if self.quantizer.has_linear and not self.quantizer.linear_raw:
            linear = self.linear_table[linear_codes]
        elif not self.quantizer.has_linear:
            linear = np.zeros_like(linear)
        return _rises(self.field, rows, none if vectors is None else vectors, decoded, linear)

    def quantized(self, blocks: Sequence[_Block]) -> QuantizedField:
        """Return the tier of its blocks' codes."""
        # Raw embeddings may be a table on the disk, which is written block by block.
        tables = tuple(codebook.table for codebook in self.codebooks) or (cast("Float32Array", self.field.embeddings),)
        return QuantizedField(
            self.quantizer,
            tables,
            np.concatenate([block.codes for block in blocks]),
            self.linear_table,
            np.concatenate([block.linear_codes for block in blocks]),
            sum(rise for block in blocks for rise in block.rises),
            self._stream,
        )


def _centroids(
    points_of: Callable[[Int64Array], Float32Array], frequencies: Float64Array, size: int, seed: int
) -> Float32Array:
    """Return ``size`` centroids of points, float32 (size, d).

    Args:
        points_of: returns points by their numbers.
        frequencies: weights of all points, float64 (n,).
        size: how many centroids there are.
        seed: of the sample that they are made from, and of k-means.
    """
    cardinality = len(frequencies)
    enough = max(_MIN_POINTS, _POINTS_PER_CODEWORD * size)
    if cardinality <= enough or size == cardinality or (size == 1 and cardinality <= BLOCK_ROWS):
        drawn = np.arange(cardinality)
    else:
        drawn = drawn_categories(cardinality, enough, seed=seed)
    points = points_of(drawn)
    if size == cardinality:
        return points
    if size == 1:
        return np.average(points, axis=0, weights=frequencies[drawn]).astype(np.float32)[None]
    iterations = _ITERATIONS if len(points) <= _MANY else _ITERATIONS_OF_MANY
    return train_centroids(points, frequencies[drawn].astype(np.float32), size, seed=seed, iterations=iterations)
