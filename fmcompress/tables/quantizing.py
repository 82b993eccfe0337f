"""From tables of vectors to an artifact: price, plan, fit codebooks, pack, and measure what came of it.

What an error costs is its squared length, as often as the vector is looked up:

    Σ_t Σ_i c_ti ‖v_ti − q_ti‖²

with c_ti the counts of table t. This is the expected loss of a factorization machine with H = 2 I, so that everything
else is the planner's: the menu, tiers by count, the exact allocation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from fmcompress.arguments import checked_arguments
from fmcompress.artifact import Origin, PackedTables, pack_tables
from fmcompress.artifact.metadata import TablesFrame
from fmcompress.errors import BudgetError, UsageError, missing_packages_named
from fmcompress.fm.disk_table import whole
from fmcompress.fm.quantizer import FLOAT
from fmcompress.fm.schema import Schema, VectorField
from fmcompress.methods.auto.bit_allocation import PricedCandidates, allocate_bits, price_by_distortion, ways_to_split
from fmcompress.progress import SILENT, Progress
from fmcompress.quantization import kmeans
from fmcompress.quantization.codebooks import fit_tiers
from fmcompress.quantization.field_weights import FieldWeights, split
from fmcompress.quantization.outliers import standing_apart
from fmcompress.quantization.plan import Plan
from fmcompress.serve.compressed_tables import CompressedTables
from fmcompress.sizes import parse_size
from fmcompress.tables.axes import affordable, coordinates, principal_axes
from fmcompress.tables.distortion import measured
from fmcompress.tables.embedding_tables import MOST_LISTED, EmbeddingTables, zero_rows
from fmcompress.types import BoolArray, Float16Array, Int64Array, UInt8Array
from fmcompress.version import __version__

METHOD = "auto"

_LARGEST_SEED = 2**31 - 1
_NEGLIGIBLE = 1e-7
"""A share of the squares of a table's vectors that is none: fp16 loses about half of it."""

_NEARLY_ALL = 0.99

_NEVER = 1e-9
"""Share of the lookups that vectors count with that are zeros whatever is stored of them."""


@dataclass(frozen=True)
class TablesJob:
    """One quantization of tables that is asked for.

    Attributes:
        tables: the tables.
        budget_bytes: the size that the artifact must not exceed.
        seed: of k-means.
        progress: told of each step.
        with_axes: whether tables may be stored along their principal axes.

    Raises:
        UsageError: the seed is out of range.
    """

    tables: EmbeddingTables
    budget_bytes: int
    seed: int = 0
    progress: Progress = SILENT
    with_axes: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.seed <= _LARGEST_SEED:
            raise UsageError(f"seed is {self.seed}, expected 0 to {_LARGEST_SEED}")

    @cached_property
    def origin(self) -> Origin:
        """What the artifact will say of itself; its cosines are not known yet, but have their place."""
        source = self.tables.source
        return Origin(
            budget_bytes=self.budget_bytes,
            method=METHOD,
            seed=self.seed,
            source=() if source is None else (source.tool, source.name, source.sha256),
            libraries={"fmcompress": __version__, "faiss": kmeans.version(), "numpy": np.__version__},
            cosines=(0.0,) * len(self.tables.schema),
        )

    @cached_property
    def axes(self) -> dict[str, Float16Array]:
        """The axes of the tables for which they pay, float16 (l, l), by name."""
        found: dict[str, Float16Array] = {}
        for name, weights in zip(self._names, self._plain_weights if self.with_axes else (), strict=self.with_axes):
            share = FLOAT * weights.embeddings.size / self.tables.fp32_bytes
            vectors = whole(weights.embeddings)
            if affordable(vectors, share * self.budget_bytes):
                axes = principal_axes(vectors, weights.frequencies)
                found |= {} if axes is None else {name: axes}
        return found

    @cached_property
    def without_axes(self) -> TablesJob:
        """The same job, with all tables stored as they stand."""
        return replace(self, with_axes=False)

    @cached_property
    def schema(self) -> Schema:
        """The tables, with what is known of their axes."""
        fields = self.tables.schema.all_fields
        return Schema.in_order(
            replace(one, axes=True) if isinstance(one, VectorField) and one.name in self.axes else one for one in fields
        )

    @cached_property
    def _plain_weights(self) -> list[FieldWeights]:
        return all_weights(self.tables)

    @cached_property
    def weights(self) -> list[FieldWeights]:
        """The vectors of each table as they are stored, and what errors in them cost."""
        return [
            along(weights, self.axes[name]) if name in self.axes else weights
            for name, weights in zip(self._names, self._plain_weights, strict=True)
        ]

    @cached_property
    def priced(self) -> PricedCandidates:
        """The candidates of each table, whatever the budget."""
        splits = [_splits(own, self.tables.lookups(name)) for own, name in zip(self.weights, self._names, strict=True)]
        frame = TablesFrame(self.schema)
        return price_by_distortion(frame, self.weights, splits, seed=self.seed, progress=self.progress)

    @property
    def _names(self) -> Sequence[str]:
        return self.tables.schema.names


@missing_packages_named()
@checked_arguments
def quantize_tables(
    tables: EmbeddingTables, budget: str | int, *, seed: int = 0, progress: Progress = SILENT
) -> CompressedTables:
    """Compress tables of vectors of any model into at most ``budget`` bytes, header and all; no data are needed.

    Args:
        tables: the tables, see ``load_tables``.
        budget: bytes of the artifact at most, or a text such as ``10MB``.
        seed: of k-means; it gives the same bytes again on the same machine.
        progress: told of each step.

    Raises:
        UsageError: an option makes no sense.
        BudgetError: no artifact of these tables fits the budget.
    """
    return quantize(TablesJob(tables, parse_size(budget), seed, progress))


def make_plan(job: TablesJob) -> Plan:
    """Return how each table is to be stored, known to the byte: along axes or not, whatever loses less.

    Raises:
        BudgetError: no artifact of these tables fits the budget.
    """
    if not job.axes:
        return allocate_bits(job.priced, job.origin)
    plain = make_plan(job.without_axes)
    try:
        return min(allocate_bits(job.priced, job.origin), plain, key=lambda plan: plan.expected)
    except BudgetError:
        return plain


def quantize(job: TablesJob, plan: Plan | None = None) -> CompressedTables:
    """Return the compressed tables that a job asks for.

    Args:
        job: what is asked for.
        plan: of this job, where it has been made already.

    Raises:
        BudgetError: no artifact of these tables fits the budget.
    """
    plan = plan or make_plan(job)
    if plan.tiers.schema != job.schema:
        job = job.without_axes
    of_tables = zip(job.weights, plan.tiers.schema.split(plan.tiers.of), strict=True)
    tiers = [tier for weights, of in of_tables for tier in split(weights, of)]
    fields = fit_tiers(tiers, plan.quantizers or (), seed=job.seed, progress=job.progress)
    return CompressedTables.of(_measured(job, pack_tables(fields, plan.tiers, job.origin, list(job.axes.values()))))


def all_weights(tables: EmbeddingTables) -> list[FieldWeights]:
    """Return the vectors of each table, and what errors in them cost.

    Tables count as often as they are looked up, per lookup of an average table; those without counts as an average one.
    """
    names = tables.schema.names
    counts = [tables.lookups(name) for name in names]
    totals = [float((own + 1).sum()) for own in counts if own is not None]
    usual = float(np.mean(totals)) if totals else 1.0
    return [
        _weights(tables, name, own, 1.0 if own is None else float((own + 1).sum()) / usual)
        for name, own in zip(names, counts, strict=True)
    ]


def along(weights: FieldWeights, axes: Float16Array) -> FieldWeights:
    """Return the weights of a table by their coordinates along axes, float16 (l, l)."""
    exact = axes.astype(np.float64)
    often = weights.hessian[0, 0]
    return replace(weights, embeddings=coordinates(whole(weights.embeddings), axes), hessian=often * exact @ exact.T)


def _weights(tables: EmbeddingTables, name: str, counts: Int64Array | None, often: float) -> FieldWeights:
    vectors = tables.vectors[name]
    field = tables.schema.fields[tables.schema.names.index(name)]
    frequencies = np.ones(len(vectors)) if counts is None else counts + 1.0
    frequencies[list(field.zero_ids)] *= _NEVER
    frequencies /= frequencies.sum()
    energy = float(frequencies @ np.einsum("nl,nl->n", vectors, vectors, dtype=np.float64))
    return FieldWeights(
        embeddings=vectors,
        linear=np.zeros(len(vectors), dtype=np.float32),
        frequencies=frequencies,
        hessian=2 * often * np.eye(vectors.shape[1]),
        curvature=0.0,
        negligible=_NEGLIGIBLE * often * energy,
        has_linear=False,
    )


def _splits(weights: FieldWeights, counts: Int64Array | None) -> list[UInt8Array]:
    """Return the ways to split a table into tiers; many vectors of zeros always are a tier of their own."""
    zero = zero_rows(whole(weights.embeddings))
    many = zero & (not zero.all() and zero.sum() > MOST_LISTED)
    rest = weights.take(np.flatnonzero(~many)) if many.any() else weights
    own = None if counts is None else counts[~many]
    apart = standing_apart(rest.embeddings, rest.linear)
    ways = ways_to_split(own, rest.cardinality, apart & _has_nearly_all(rest, apart), apart)
    if not many.any():
        return ways
    found = []
    for way in ways:
        of = np.zeros(weights.cardinality, dtype=np.uint8)
        of[~many] = 1 + way
        found.append(of)
    return found


def _has_nearly_all(weights: FieldWeights, some: BoolArray) -> bool:
    """Return whether some vectors, bool (n,), have nearly all squares to themselves: beside them others are nothing."""
    squares = weights.frequencies * np.einsum("nl,nl->n", weights.embeddings, weights.embeddings, dtype=np.float64)
    return bool(squares[some].sum() > _NEARLY_ALL * squares.sum())


def _measured(job: TablesJob, packed: PackedTables) -> PackedTables:
    """Return packed tables with what was lost in their header."""
    found = measured(CompressedTables.of(packed), job.tables.vectors, [own.frequencies for own in job.weights])
    origin = replace(packed.header.origin, cosines=found.cosines)
    for name, error, cosine in zip(job.tables.schema.names, found.relative_errors, found.cosines, strict=True):
        job.progress.note(f"{name}: relative RMS error {error**0.5:.4f}, cosine {cosine:.4f}")
    return replace(packed, header=replace(packed.header, errors=found.tier_errors, origin=origin))
