"""xLightFM's search space (section 3.4.1): for each codebook of each field, how many codewords it may have.

A codebook with as many codewords as its field has categories is those categories' own sub-vectors. A field of which
all codebooks are so large is stored raw.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from fmcompress.artifact import Frame, Origin
from fmcompress.artifact.header import artifact_bytes
from fmcompress.errors import BudgetError
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.quantizer import Quantizer, code_bits, embedding_spec, subspace_bounds
from fmcompress.fm.schema import Schema
from fmcompress.methods.lightfm.method import check_subspaces, linear_quantizer
from fmcompress.methods.xlightfm.options import SpaceOptions
from fmcompress.quantization.knapsack import allocate
from fmcompress.quantization.rounding import value_bytes_of_fields
from fmcompress.sizes import format_size
from fmcompress.types import BoolArray, Float32Array, Float64Array, Int64Array


@dataclass(frozen=True)
class CodebookCandidate:
    """A candidate of one codebook.

    Attributes:
        number: of the candidate.
        payload_bytes: what its codewords and codes take.
        error: −log α, how little the search likes it.
    """

    number: int
    payload_bytes: int
    error: float


@dataclass(frozen=True)
class SearchSpace:
    """The architectures that the search selects from, and the bytes of their artifacts; see ``lay_out``.

    An architecture is told by the number of the candidate of each codebook, int64 (searched fields, subspaces).

    Attributes:
        frame: what is fixed of the artifact.
        origin: what the artifact will say of itself; with the budget.
        subspaces: D.
        linear_codewords: of the linear weights' codebook of each field, see ``LightFM``.
        columns: the searched fields; all others have no more categories than the smallest candidate, and are raw.
        sizes: codewords of each candidate in each searched field, int64 (fields, candidates).
        value_bytes: bytes of a number in each field.
    """

    frame: Frame
    origin: Origin
    subspaces: int
    linear_codewords: int
    columns: list[int]
    sizes: Int64Array
    value_bytes: list[int]

    @property
    def schema(self) -> Schema:
        """Fields of the model."""
        return self.frame.schema

    @property
    def smallest(self) -> Int64Array:
        """The architecture with the smallest candidate everywhere, int64 (searched fields, subspaces)."""
        return np.zeros((len(self.columns), self.subspaces), dtype=np.int64)

    @property
    def largest_bytes(self) -> int:
        """Size of the artifact with the largest candidate everywhere."""
        return self.file_bytes(np.full_like(self.smallest, self.sizes.shape[1] - 1))

    def codewords(self, selected: Int64Array) -> list[list[int]]:
        """Return the codewords of each codebook of an architecture, int64 (searched fields, subspaces)."""
        return [sizes[numbers].tolist() for sizes, numbers in zip(self.sizes, selected, strict=True)]

    def quantizers(self, selected: Int64Array) -> list[Quantizer]:
        """Return the quantizer of each field of the model in an architecture, int64 (searched fields, subspaces)."""
        found = dict(zip(self.columns, map(tuple, self.codewords(selected)), strict=True))
        return [
            Quantizer(
                () if min(found.get(column, (cardinality,))) >= cardinality else found[column],
                linear_quantizer(cardinality, self.linear_codewords),
                self.value_bytes[column],
            )
            for column, cardinality in enumerate(self.schema.cardinalities.tolist())
        ]

    def by_candidate(self) -> list[list[Quantizer]]:
        """Return the quantizers of all fields with each candidate in all searched fields, to start the search from.

        Here a codebook of as many codewords as categories is a codebook: what it is stored as does not matter.
        """
        raw = self.quantizers(self.smallest)
        return [
            [
                replace(quantizer, codewords=(sizes[column],) * self.subspaces) if column in sizes else quantizer
                for column, quantizer in enumerate(raw)
            ]
            for sizes in (dict(zip(self.columns, row, strict=True)) for row in self.sizes.T.tolist())
        ]

    def described(self, selected: Int64Array) -> str:
        """Return the quantizers of an architecture, int64 (searched fields, subspaces), for people."""
        quantizers = self.quantizers(selected)
        return ", ".join(f"{self.schema.names[c]} {embedding_spec(quantizers[c])}" for c in self.columns)

    def file_bytes(self, selected: Int64Array) -> int:
        """Return the exact size of the artifact of an architecture, int64 (searched fields, subspaces)."""
        return artifact_bytes(self.frame, self.origin, self.quantizers(selected))

    def fits(self, selected: Int64Array) -> bool:
        """Return whether the artifact of an architecture, int64 (searched fields, subspaces), is within the budget."""
        return self.file_bytes(selected) <= self.origin.budget_bytes

    def most_probable(self, log_weights: Float32Array | Float64Array) -> Int64Array:
        """Return the architecture with the largest product of weights α within the budget, int64 (fields, subspaces).

        Where the largest α of each codebook fit together, it is these; else an integer program finds it.

        Args:
            log_weights: log α, or prices times −1, (searched fields, subspaces or 1, candidates); 1 where all codebooks
                of a field have the same size.
        """
        favourites: Int64Array = np.broadcast_to(log_weights.argmax(axis=2), self.smallest.shape)
        if self.fits(favourites):
            return favourites
        candidates = self._candidates(log_weights)
        allowed = self.allowed_bytes
        while (found := allocate(candidates, allowed)) is not None:
            numbers = np.array([candidate.number for candidate in found], dtype=np.int64)
            selected: Int64Array = np.broadcast_to(numbers.reshape(log_weights.shape[:2]), self.smallest.shape)
            if self.fits(selected):
                return selected
            # Codes of whole fields are rounded up to bytes, and names of sizes in the header differ in length.
            allowed -= self.file_bytes(selected) - self.origin.budget_bytes
        return self.smallest

    def _candidates(self, log_weights: Float32Array | Float64Array) -> list[list[CodebookCandidate]]:
        """Return the candidates of each codebook, or of all codebooks of a field where these share one size."""
        shared = log_weights.shape[1] < self.subspaces
        payloads = self.payloads.sum(axis=1, keepdims=True) if shared else self.payloads
        flat = payloads.reshape(-1, payloads.shape[2]).tolist(), (-log_weights).reshape(-1, payloads.shape[2]).tolist()
        return [
            [CodebookCandidate(*one) for one in zip(range(len(sizes)), sizes, errors, strict=True)]
            for sizes, errors in zip(*flat, strict=True)
        ]

    @cached_property
    def payloads(self) -> Int64Array:
        """Bytes of each candidate of each codebook, int64 (fields, subspaces, candidates).

        There are no codes for as many codewords as categories, as in raw fields.
        """
        widths = [end - start for start, end in subspace_bounds(self.frame.dim, self.subspaces)]
        found = np.empty((len(self.columns), self.subspaces, self.sizes.shape[1]), dtype=np.int64)
        for field, column in enumerate(self.columns):
            cardinality = int(self.schema.cardinalities[column])
            for number, size in enumerate(self.sizes[field].tolist()):
                codes = cardinality * code_bits(size) // 8 if size < cardinality else 0
                found[field, :, number] = [self.value_bytes[column] * size * width + codes for width in widths]
        return found

    @cached_property
    def distinct(self) -> BoolArray:
        """Whether each candidate has more codewords than the one before, bool (fields, 1, candidates)."""
        larger = np.diff(self.sizes, axis=1, prepend=0) > 0
        return larger[:, None]

    @property
    def allowed_bytes(self) -> int:
        """What all searched codebooks together may take."""
        return self.origin.budget_bytes - self.fixed_bytes

    @cached_property
    def fixed_bytes(self) -> int:
        """Bytes beside the searched codebooks."""
        return self.file_bytes(self.smallest) - int(self.payloads[:, :, 0].sum())


def lay_out(
    checkpoint: FMCheckpoint, options: SpaceOptions, origin: Origin, *, vocabulary_bytes: int = 0
) -> SearchSpace:
    """Return the architectures that a search selects from.

    Args:
        checkpoint: the factorization machine.
        options: what to select from.
        origin: what the artifact will say of itself; with the budget.
        vocabulary_bytes: size of the vocabulary that it will carry.

    Raises:
        UsageError: there are more subspaces than coordinates.
        BudgetError: even the smallest architecture does not fit the budget.
    """
    check_subspaces(options.subspaces, checkpoint.dim)
    frame = Frame.of(checkpoint, vocabulary_bytes=vocabulary_bytes)
    cardinalities = checkpoint.schema.cardinalities.tolist()
    columns = [c for c, n in enumerate(cardinalities) if n > options.candidates[0]]
    largest = np.array([cardinalities[c] for c in columns], dtype=np.int64)
    sizes = np.minimum(np.array(options.candidates)[None, :], largest[:, None])
    space = SearchSpace(
        frame, origin, options.subspaces, options.linear_codewords, columns, sizes, value_bytes_of_fields(checkpoint)
    )
    smallest = space.file_bytes(space.smallest)
    if smallest > origin.budget_bytes:
        raise BudgetError(
            f"budget of {format_size(origin.budget_bytes)} is too small: "
            f"with the smallest candidates the artifact has {smallest:,} bytes",
            smallest_bytes=smallest,
            hint=f"--budget {smallest} is the least that works here; smaller --candidates take less",
        )
    return space
