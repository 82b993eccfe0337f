"""A quantized factorization machine in working form: codebooks and codes as plain arrays, not packed yet."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fmcompress.fm.network import Network
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.fm.quantizer import Quantizer
from fmcompress.fm.schema import Schema
from fmcompress.fm.tiers import Tiers
from fmcompress.types import Float32Array, UInt8Array, UInt16Array


@dataclass(frozen=True)
class QuantizedField:
    """Embeddings and linear weights of one field, or of one tier of it, quantized.

    Attributes:
        quantizer: how they are stored.
        tables: the codebooks, float32 (K_d, size of subspace d) each; for raw embeddings one table that
            holds them, (cardinality, dim).
        codes: the codeword of each category in each subspace, uint16 (cardinality, subspaces); no columns
            for raw embeddings.
        linear_table: codebook of the linear weights, float32 (K,); for raw ones they themselves; empty for none.
        linear_codes: codeword of each category's linear weight, uint16 (cardinality,); empty for raw ones and none.
        error: expected rise of the loss per row that this causes.
        stream: all codes as an artifact has them, uint8 (bytes,), where the table is on the disk: then the two arrays
            of codes have no rows. None elsewhere.
    """

    quantizer: Quantizer
    tables: tuple[Float32Array, ...]
    codes: UInt16Array
    linear_table: Float32Array
    linear_codes: UInt16Array
    error: float = 0.0
    stream: UInt8Array | None = None

    def embeddings(self) -> Float32Array:
        """Return the decoded embeddings, float32 (cardinality, dim)."""
        if self.quantizer.raw:
            return self.tables[0]
        return decode(self.tables, self.codes)

    def linear(self) -> Float32Array:
        """Return the decoded linear weights, float32 (cardinality,); zeros where there are none."""
        if not self.quantizer.has_linear:
            return np.zeros(len(self.codes), dtype=np.float32)
        return self.linear_table if self.quantizer.linear_raw else self.linear_table[self.linear_codes]


@dataclass(frozen=True)
class QuantizedFM:
    """A quantized factorization machine.

    Attributes:
        schema: its fields.
        dim: embedding size l.
        link: from logit to prediction.
        bias: w_0.
        fields: the quantized tiers, field by field in the order of the schema's tables.
        tiers: how the fields are split; each field is one tier where nothing else is said.
        numeric: weights of the numeric fields, which are not quantized; None where there are none.
        network: dense layers on top of it; None where there are none.
        network_bytes: of a weight of each dense layer in an artifact; None stores them in int8.
    """

    schema: Schema
    dim: int
    link: str
    bias: float
    fields: tuple[QuantizedField, ...]
    tiers: Tiers = None  # type: ignore[assignment]
    numeric: NumericWeights = None  # type: ignore[assignment]
    network: Network | None = None
    network_bytes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.tiers is None:
            object.__setattr__(self, "tiers", Tiers.none(self.schema))
        if self.numeric is None:
            object.__setattr__(self, "numeric", NumericWeights.none(self.dim))


def decode(tables: Sequence[Float32Array], codes: UInt16Array) -> Float32Array:
    """Return the vectors, float32 (n, dim), that codes, (n, subspaces), stand for."""
    return np.concatenate([table[rows] for table, rows in zip(tables, codes.T, strict=True)], axis=1)
