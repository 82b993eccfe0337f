"""What a baseline stores, and how many bytes that takes: tables in forms other than codebooks.

Each form of a table holds what a file would hold, and decodes it.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from safetensors.numpy import save

from fmcompress.artifact import bitpack
from fmcompress.baselines.integers import INT4, Integers
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.schema import Schema
from fmcompress.types import AnyArray, BoolArray, Float16Array, Float32Array, Int8Array, UInt8Array


class StoredTable(Protocol):
    """A table of all categories as a file holds it."""

    def arrays(self) -> dict[str, AnyArray]:
        """Return the arrays of a file, packed: each has a dtype and a shape of its own."""

    def decode(self) -> Float32Array:
        """Return the table, float32 (categories, columns)."""


@dataclass(frozen=True)
class FloatRows:
    """A table of floats.

    Attributes:
        values: float32 or float16 (categories, columns).
    """

    values: Float32Array | Float16Array

    def arrays(self) -> dict[str, AnyArray]:
        """Return the floats, in their own dtype and shape."""
        return {"values": self.values}

    def decode(self) -> Float32Array:
        """Return the table, float32 (categories, columns)."""
        return self.values.astype(np.float32)


@dataclass(frozen=True)
class KeptRows:
    """A table of which some rows are kept, and all others are zero.

    Attributes:
        values: the kept rows, float16 (kept rows, columns).
        kept: which they are, bool (categories,).
    """

    values: Float16Array
    kept: BoolArray

    def arrays(self) -> dict[str, AnyArray]:
        """Return the kept rows, and a bitmap, uint8 (⌈categories / 8⌉,)."""
        return {"values": self.values, "kept": np.packbits(self.kept)}

    def decode(self) -> Float32Array:
        """Return the table, float32 (categories, columns)."""
        decoded = np.zeros((len(self.kept), self.values.shape[1]), dtype=np.float32)
        decoded[self.kept] = self.values
        return decoded


@dataclass(frozen=True)
class IntegerRows:
    """A table of integers, times a step of each field and column.

    Attributes:
        schema: the fields.
        codes: int8 (categories, columns).
        steps: float16 (fields, columns).
        integers: what the codes are.
    """

    schema: Schema
    codes: Int8Array
    steps: Float16Array
    integers: Integers

    def arrays(self) -> dict[str, AnyArray]:
        """Return packed integers, uint8 (bytes,) if of 4 bits, and steps."""
        return {"codes": _packed(self.codes.view(np.uint8), self.integers), "steps": self.steps}

    def decode(self) -> Float32Array:
        """Return the table, float32 (categories, columns)."""
        steps = np.repeat(self.steps.astype(np.float32), self.schema.cardinalities, axis=0)
        return self.codes.astype(np.float32) * steps


@dataclass(frozen=True)
class RowwiseRows:
    """A table of rows of 4-bit integers, each row with a scale and a minimum of its own, as in FBGEMM.

    Attributes:
        codes: 0 to 15, uint8 (categories, columns).
        scales: float16 (categories,).
        minima: float16 (categories,).
    """

    codes: UInt8Array
    scales: Float16Array
    minima: Float16Array

    def arrays(self) -> dict[str, AnyArray]:
        """Return packed integers, uint8 (bytes,), scales and minima."""
        return {"codes": _packed(self.codes, INT4), "scales": self.scales, "minima": self.minima}

    def decode(self) -> Float32Array:
        """Return the table, float32 (categories, columns)."""
        scales, minima = self.scales.astype(np.float32), self.minima.astype(np.float32)
        return self.codes * scales[:, None] + minima[:, None]


@dataclass(frozen=True)
class StoredFM:
    """A factorization machine as a file holds it; its bias is a float32.

    Attributes:
        schema: its fields.
        link: from logit to prediction.
        bias: w_0.
        linear: w, a table of one column.
        embeddings: V, a table of dim columns.
    """

    schema: Schema
    link: str
    bias: float
    linear: StoredTable
    embeddings: StoredTable

    @property
    def file_bytes(self) -> int:
        """Size of a safetensors file of all that is stored."""
        tables = {"linear": self.linear, "embeddings": self.embeddings}
        arrays = {f"{name}.{part}": array for name, table in tables.items() for part, array in table.arrays().items()}
        return len(save(arrays | {"bias": np.array([self.bias], dtype=np.float32)}))

    @property
    def paper_params_mib(self) -> float:
        """The paper's Params of the embeddings, in MiB: a float has 32 bits, the linear part is not counted."""
        arrays = self.embeddings.arrays().values()
        return sum(4 * array.size if array.dtype.kind == "f" else array.nbytes for array in arrays) / 2**20

    def decode(self) -> FMCheckpoint:
        """Return the factorization machine with the numbers that are stored; rows that are PAD are zero."""
        bias, linear, embeddings = float(np.float32(self.bias)), self.linear.decode()[:, 0], self.embeddings.decode()
        firsts = zip(self.schema.offsets.tolist(), self.schema.fields, strict=True)
        pads = [first + field.pad for first, field in firsts if field.pad is not None]
        linear[pads], embeddings[pads] = 0, 0
        return FMCheckpoint(self.schema, bias, linear, embeddings, self.link)


def _packed(codes: UInt8Array, integers: Integers) -> UInt8Array:
    """Return the lowest bits of codes, (rows, columns), one after the other."""
    if integers.bits == 8:
        return codes
    mask = (1 << integers.bits) - 1
    return bitpack.pack((codes & mask).astype(np.uint16), (integers.bits,) * codes.shape[1])
