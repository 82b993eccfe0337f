"""A compressed factorization machine, packed: what an artifact holds, in memory or mapped from a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fmcompress.artifact.bitpack import pack, unpack
from fmcompress.artifact.header import BIAS_BYTES, Header, Origin
from fmcompress.quantized import QuantizedField, QuantizedFM, table_shapes
from fmcompress.quantizer import Quantizer
from fmcompress.schema import Schema

if TYPE_CHECKING:
    from fmcompress.serve.scorer import Scorer


@dataclass(frozen=True, eq=False)
class CompressedFM:
    """A factorization machine within a byte budget.

    Attributes:
        header: fields, quantizers and origin.
        bias: w_0.
        values: codebooks, raw embeddings and linear weights, field by field, float16.
        codes: the fields' bit streams, uint8.
    """

    header: Header
    bias: float
    values: npt.NDArray[np.float16]
    codes: npt.NDArray[np.uint8]

    @property
    def schema(self) -> Schema:
        """The fields."""
        return self.header.schema

    @property
    def file_bytes(self) -> int:
        """Size of the artifact."""
        return self.header.header_bytes + BIAS_BYTES + self.values.nbytes + self.codes.nbytes

    def predict(self, ids: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Return the predicted probabilities of rows, float32 (rows,).

        Args:
            ids: category ids counted from 0 in each field, -1 where a value is missing; integers (rows, fields).

        Raises:
            DataError: the shape is another, or an id is out of range.
        """
        return self._scorer.predict(ids)

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write the artifact; see ``fmcompress.artifact.save``."""
        from fmcompress.artifact.io import save

        save(self, path, force=force)

    @cached_property
    def _scorer(self) -> Scorer:
        from fmcompress.serve.scorer import Scorer

        return Scorer(self)


@dataclass(frozen=True)
class FieldParts:
    """Where the parts of one field lie in an artifact.

    Attributes:
        quantizer: how the field is stored.
        cardinality: its number of categories.
        tables: start and shape of each table (codebook, or raw embeddings) in the values.
        linear_start: start of the linear weights' table in the values.
        linear_values: size of that table.
        code_start: start of the bit stream in the codes, in bytes.
        code_bytes: size of the stream.
    """

    quantizer: Quantizer
    cardinality: int
    tables: tuple[tuple[int, tuple[int, int]], ...]
    linear_start: int
    linear_values: int
    code_start: int
    code_bytes: int


def field_parts(header: Header) -> Iterator[FieldParts]:
    """Yield where each field's parts lie; the one place that knows the order of the bytes."""
    value = code = 0
    for field, quantizer in zip(header.schema.fields, header.quantizers, strict=True):
        tables = []
        for rows, columns in table_shapes(quantizer, field.cardinality, header.dim):
            tables.append((value, (rows, columns)))
            value += rows * columns
        linear_values = quantizer.linear_values(field.cardinality)
        code_bytes = quantizer.code_bytes(field.cardinality)
        yield FieldParts(quantizer, field.cardinality, tuple(tables), value, linear_values, code, code_bytes)
        value += linear_values
        code += code_bytes


def pack_model(model: QuantizedFM, origin: Origin) -> CompressedFM:
    """Return the packed form of a quantized factorization machine; numbers are rounded to fp16, the bias to fp32."""
    header = Header(
        schema=model.schema,
        dim=model.dim,
        link=model.link,
        quantizers=tuple(field.quantizer for field in model.fields),
        errors=tuple(field.error for field in model.fields),
        origin=origin,
    )
    _, values, codes = header.tensors
    packed_values = np.empty(values.size, dtype=np.float16)
    packed_codes = np.empty(codes.size, dtype=np.uint8)
    for parts, field in zip(field_parts(header), model.fields, strict=True):
        for (start, (rows, columns)), table in zip(parts.tables, field.tables, strict=True):
            packed_values[start : start + rows * columns] = to_half(table).reshape(-1)
        packed_values[parts.linear_start : parts.linear_start + parts.linear_values] = to_half(field.linear_table)
        stream = pack(_all_codes(field), parts.quantizer.widths)
        packed_codes[parts.code_start : parts.code_start + parts.code_bytes] = stream
    largest = float(np.finfo(np.float32).max)
    bias = float(np.float32(min(max(model.bias, -largest), largest)))
    return CompressedFM(header, bias, packed_values, packed_codes)


def unpack_model(model: CompressedFM) -> QuantizedFM:
    """Return the working form of a packed model: the inverse of ``pack_model``, after its rounding."""
    fields = []
    for parts, error in zip(field_parts(model.header), model.header.errors, strict=True):
        stream = model.codes[parts.code_start : parts.code_start + parts.code_bytes]
        codes = unpack(stream, parts.cardinality, parts.quantizer.widths)
        subspaces = len(parts.quantizer.codewords)
        linear = model.values[parts.linear_start : parts.linear_start + parts.linear_values]
        fields.append(
            QuantizedField(
                quantizer=parts.quantizer,
                tables=tuple(
                    model.values[start : start + shape[0] * shape[1]].reshape(shape).astype(np.float32)
                    for start, shape in parts.tables
                ),
                codes=codes[:, :subspaces],
                linear_table=linear.astype(np.float32),
                linear_codes=codes[:, subspaces:].reshape(-1),
                error=error,
            )
        )
    header = model.header
    return QuantizedFM(header.schema, header.dim, header.link, model.bias, tuple(fields))


def to_half(table: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    """Round to fp16; what lies outside its range becomes its largest number."""
    largest = float(np.finfo(np.float16).max)
    return np.clip(table, -largest, largest).astype(np.float16)


def _all_codes(field: QuantizedField) -> npt.NDArray[np.uint16]:
    if field.quantizer.linear_raw:
        return field.codes
    return np.concatenate([field.codes, field.linear_codes[:, None]], axis=1)
