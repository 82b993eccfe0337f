"""A trained factorization machine, whatever tool it came from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fmcompress.errors import CheckpointError, UsageError
from fmcompress.fm.links import Link, parse_link
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.fm.schema import Schema
from fmcompress.fm.source import Source
from fmcompress.fm.vocabulary import Vocabulary

_BLOCK_ROWS = 2**15


@dataclass(frozen=True)
class FMCheckpoint:
    """A trained factorization machine in canonical form.

        logit(x) = w_0 + Σ_i w_i x_i + ½ (‖Σ_i v_i x_i‖² − Σ_i ‖v_i x_i‖²)

    Attributes:
        schema: its fields; row ``schema.offsets[f] + id`` of the arrays is category ``id`` of field ``f``.
        bias: w_0.
        linear: w, float32 (categories,).
        embeddings: V, float32 (categories, dim).
        link: from logit to prediction, as ``links.parse_link`` reads it: ``sigmoid``, ``probit``, ``identity`` or
            ``clip:LOW:HIGH``.
        counts: rows of the training data in which each category was active, int64 (categories,); None
            where the file does not say.
        source: the file it came from; None for a model made in memory.
        numeric: weights of its numeric fields, in the order of ``schema.numeric``; None where it has none.
        vocabulary: tokens of its categories; None where the file has none.

    Raises:
        CheckpointError: shapes disagree, a weight is NaN or infinite, a count is negative, the link is
            unknown, a row that is PAD is not zero, the vocabulary is not that of the fields.
    """

    schema: Schema
    bias: float
    linear: npt.NDArray[np.float32]
    embeddings: npt.NDArray[np.float32]
    link: str = "sigmoid"
    counts: npt.NDArray[np.int64] | None = None
    source: Source | None = None
    numeric: NumericWeights = None  # type: ignore[assignment]
    vocabulary: Vocabulary | None = None

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
        for name, weights in (("linear weights", self.linear), ("embeddings", self.embeddings)):
            _check_finite(name, weights)
        if self.counts is not None and (self.counts.shape != (rows,) or self.counts.min() < 0):
            raise CheckpointError(f"counts are not {rows} numbers of 0 or more")
        if self.numeric is None:
            object.__setattr__(self, "numeric", NumericWeights.none(self.dim))
        self._check_numeric()
        for number, field in enumerate(self.schema.fields):
            if field.pad is not None:
                row = int(self.schema.offsets[number]) + field.pad
                if self.linear[row] or self.embeddings[row].any():
                    raise CheckpointError(f"PAD of field {field.name!r}, id {field.pad}, has weights that are not zero")

    def _check_numeric(self) -> None:
        fields, weights = self.schema.numeric, self.numeric
        if weights.linear.shape != (len(fields),) or weights.embeddings.shape != (len(fields), self.dim):
            raise CheckpointError(
                f"weights of numeric fields have shapes {weights.linear.shape} and {weights.embeddings.shape}, "
                f"expected ({len(fields)},) and ({len(fields)}, {self.dim})"
            )
        _check_finite("linear weights of numeric fields", weights.linear)
        _check_finite("embeddings of numeric fields", weights.embeddings)
        for field, embedding in zip(fields, weights.embeddings, strict=True):
            if field.linear_only and embedding.any():
                raise CheckpointError(f"numeric field {field.name!r} is linear only, but has an embedding")

    @property
    def dim(self) -> int:
        """Embedding size l."""
        return int(self.embeddings.shape[1])

    @property
    def fp32_bytes(self) -> int:
        """Bytes of embeddings and linear weights in fp32: what ratios are taken of."""
        return 4 * self.schema.weights(self.dim)

    @property
    def link_function(self) -> Link:
        """The link, ready to be used."""
        return parse_link(self.link)


def _check_finite(name: str, weights: npt.NDArray[np.float32]) -> None:
    for start in range(0, len(weights), _BLOCK_ROWS):
        block = weights[start : start + _BLOCK_ROWS]
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(np.sum(block)):  # then all its terms are, which is faster to tell so
                continue
        finite = np.isfinite(block)
        if not finite.all():
            row = start + int(np.argwhere(~finite)[0][0])
            raise CheckpointError(f"{name} hold NaN or infinite values, the first in row {row}")
