"""xLightFM's search space (section 3.4.1): for each codebook of each field, how many codewords it may have.

A codebook with as many codewords as its field has categories is those categories' own sub-vectors. A field of which
all codebooks are so large is stored raw.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from fmcompress.artifact.counting import artifact_bytes
from fmcompress.artifact.frame import Frame
from fmcompress.artifact.origin import Origin
from fmcompress.errors import BudgetError, UsageError
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.quantizer import HALF, Quantizer, code_bits, embedding_spec, subspace_bounds
from fmcompress.fm.schema import Schema
from fmcompress.methods.lightfm.method import check_codewords, check_subspaces, linear_quantizer
from fmcompress.quantization.knapsack import allocate
from fmcompress.sizes import format_size

Choices = npt.NDArray[np.int64]
"""Number of the candidate that each codebook has chosen, int64 (searched fields, subspaces)."""


@dataclass(frozen=True)
class SpaceOptions:
    """What the search chooses from.

    Attributes:
        subspaces: D, into which each embedding is cut.
        candidates: numbers of codewords K, rising.
        linear_codewords: of the linear weights' codebook of each field, see ``LightFM``.
    """

    subspaces: int = 4
    candidates: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048)
    linear_codewords: int = 256

    def __post_init__(self) -> None:
        if self.subspaces < 1:
            raise UsageError(f"subspaces is {self.subspaces}, expected 1 or more")
        if not self.candidates or sorted(set(self.candidates)) != list(self.candidates):
            raise UsageError(f"candidates are {self.candidates}, expected numbers of codewords, rising")
        for candidate in self.candidates:
            check_codewords("candidate", candidate, least=2)
        if self.linear_codewords:
            check_codewords("linear_codewords", self.linear_codewords, least=1)


@dataclass(frozen=True)
class CodebookOption:
    """A candidate of one codebook.

    Attributes:
        number: of the candidate.
        payload_bytes: what its codewords and codes take.
        error: −log α, how little the search likes it.
    """

    number: int
    payload_bytes: int
    error: float


class SearchSpace:
    """The architectures that the search chooses from, and the bytes of their artifacts.

    Attributes:
        schema: fields of the model.
        subspaces: D.
        columns: the searched fields; all others have no more categories than the smallest candidate, and are raw.
        sizes: codewords of each candidate in each searched field, int64 (fields, candidates).
    """

    def __init__(
        self, checkpoint: FMCheckpoint, options: SpaceOptions, origin: Origin, *, vocabulary_bytes: int = 0
    ) -> None:
        """Lay the space out.

        Args:
            checkpoint: the factorization machine.
            options: what to choose from.
            origin: what the artifact will say of itself; with the budget.
            vocabulary_bytes: size of the vocabulary that it will carry.

        Raises:
            UsageError: there are more subspaces than coordinates.
            BudgetError: even the smallest architecture does not fit the budget.
        """
        check_subspaces(options.subspaces, checkpoint.dim)
        self.schema: Schema = checkpoint.schema
        self.subspaces = options.subspaces
        self._frame, self._origin = Frame.of(checkpoint, vocabulary_bytes=vocabulary_bytes), origin
        self._linear_codewords = options.linear_codewords
        cardinalities = self.schema.cardinalities.tolist()
        self.columns = [c for c, n in enumerate(cardinalities) if n > options.candidates[0]]
        self.sizes = np.minimum(
            np.array(options.candidates)[None, :], np.array([cardinalities[c] for c in self.columns])[:, None]
        ).reshape(len(self.columns), -1)
        self._check_budget()

    @property
    def smallest(self) -> Choices:
        """The architecture with the smallest candidate everywhere."""
        return np.zeros((len(self.columns), self.subspaces), dtype=np.int64)

    @property
    def largest_bytes(self) -> int:
        """Size of the artifact with the largest candidate everywhere."""
        return self.file_bytes(np.full_like(self.smallest, self.sizes.shape[1] - 1))

    def codewords(self, choices: Choices) -> list[list[int]]:
        """Return the codewords of each codebook of the searched fields."""
        return [sizes[numbers].tolist() for sizes, numbers in zip(self.sizes, choices, strict=True)]

    def quantizers(self, choices: Choices) -> list[Quantizer]:
        """Return the quantizer of each field of the model."""
        chosen = dict(zip(self.columns, map(tuple, self.codewords(choices)), strict=True))
        return [
            Quantizer(
                () if min(chosen.get(column, (cardinality,))) >= cardinality else chosen[column],
                linear_quantizer(cardinality, self._linear_codewords),
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

    def described(self, choices: Choices) -> str:
        """Return the searched fields with their quantizers, for people."""
        quantizers = self.quantizers(choices)
        return ", ".join(f"{self.schema.names[c]} {embedding_spec(quantizers[c])}" for c in self.columns)

    def file_bytes(self, choices: Choices) -> int:
        """Return the exact size of the artifact of an architecture."""
        return artifact_bytes(self._frame, self._origin, self.quantizers(choices))

    def fits(self, choices: Choices) -> bool:
        """Return whether the artifact of an architecture is within the budget."""
        return self.file_bytes(choices) <= self._origin.budget_bytes

    def _check_budget(self) -> None:
        smallest = self.file_bytes(self.smallest)
        if smallest > self._origin.budget_bytes:
            raise BudgetError(
                f"budget of {format_size(self._origin.budget_bytes)} is too small: "
                f"with the smallest candidates the artifact has {smallest:,} bytes",
                smallest_bytes=smallest,
                hint=f"--budget {smallest} is the least that works here; smaller --candidates take less",
            )

    def most_probable(self, log_weights: npt.NDArray[np.float32]) -> Choices:
        """Return the architecture with the largest product of weights α within the budget.

        Where the largest α of each codebook fit together, it is these; else an integer program finds it.

        Args:
            log_weights: log α, float32 (searched fields, subspaces or 1, candidates); 1 where all codebooks of a field
                have the same size.
        """
        favourites: Choices = np.broadcast_to(log_weights.argmax(axis=2), self.smallest.shape)
        if self.fits(favourites):
            return favourites
        shared = log_weights.shape[1] < self.subspaces
        payloads = self._payloads.sum(axis=1, keepdims=True) if shared else self._payloads
        menus = [
            [CodebookOption(*option) for option in zip(range(len(sizes)), sizes, errors, strict=True)]
            for sizes, errors in zip(
                payloads.reshape(-1, payloads.shape[2]).tolist(),
                (-log_weights).reshape(-1, payloads.shape[2]).tolist(),
                strict=True,
            )
        ]
        allowed = self._origin.budget_bytes - self._fixed_bytes
        while (chosen := allocate(menus, allowed)) is not None:
            numbers = np.array([option.number for option in chosen], dtype=np.int64).reshape(log_weights.shape[:2])
            choices: Choices = np.broadcast_to(numbers, self.smallest.shape)
            if self.fits(choices):
                return choices
            # Codes of whole fields are rounded up to bytes, and names of sizes in the header differ in length.
            allowed -= self.file_bytes(choices) - self._origin.budget_bytes
        return self.smallest

    @cached_property
    def _payloads(self) -> npt.NDArray[np.int64]:
        """Bytes of each candidate of each codebook; no codes for as many codewords as categories, as in raw fields."""
        widths = [end - start for start, end in subspace_bounds(self._frame.dim, self.subspaces)]
        found = np.empty((len(self.columns), self.subspaces, self.sizes.shape[1]), dtype=np.int64)
        for field, column in enumerate(self.columns):
            cardinality = int(self.schema.cardinalities[column])
            for number, size in enumerate(self.sizes[field].tolist()):
                codes = cardinality * code_bits(size) // 8 if size < cardinality else 0
                found[field, :, number] = [HALF * size * width + codes for width in widths]
        return found

    @cached_property
    def _fixed_bytes(self) -> int:
        """Bytes beside the searched codebooks."""
        return self.file_bytes(self.smallest) - int(self._payloads[:, :, 0].sum())
