"""A compressed factorization machine, packed: what an artifact holds, in memory or mapped from a file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fmcompress.artifact.bitpack import pack, unpack
from fmcompress.artifact.header import BIAS_BYTES, Header, Origin
from fmcompress.artifact.layout import field_layouts, part_layouts
from fmcompress.artifact.tables import read_table, write_table
from fmcompress.quantized import QuantizedField, QuantizedFM
from fmcompress.schema import Schema
from fmcompress.tiers import Tiers, by_field

if TYPE_CHECKING:
    from fmcompress.serve.scorer import Scorer


@dataclass(frozen=True, eq=False)
class CompressedFM:
    """A factorization machine within a byte budget.

    Attributes:
        header: fields, tiers, quantizers and origin.
        bias: w_0.
        values: codebooks, raw embeddings and linear weights in fp16, scales of those in int8, part by part, float16.
        codes: tiers, what is stored in int8, and bit streams of codes, part by part, uint8.
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
    def tiers(self) -> Tiers:
        """How the categories of the fields are split."""
        of = np.zeros(self.schema.categories, dtype=np.uint8)
        for number, field in enumerate(field_layouts(self.header)):
            if field.tier_bytes:
                stream = self.codes[field.tier_start :][: field.tier_bytes]
                of[self.schema.rows(number)] = unpack(stream, sum(field.sizes), field.tier_widths)[:, 0]
        return Tiers(self.schema, of)

    @cached_property
    def _scorer(self) -> Scorer:
        from fmcompress.serve.scorer import Scorer

        return Scorer(self)


def pack_model(model: QuantizedFM, origin: Origin) -> CompressedFM:
    """Return the packed form of a quantized factorization machine; its numbers are rounded as they are stored."""
    header = Header(
        schema=model.schema,
        dim=model.dim,
        link=model.link,
        quantizers=tuple(part.quantizer for part in model.fields),
        errors=tuple(part.error for part in model.fields),
        origin=origin,
        tier_sizes=model.tiers.sizes,
    )
    _, values, codes = header.tensors
    packed_values = np.empty(values.size, dtype=np.float16)
    packed_codes = np.empty(codes.size, dtype=np.uint8)
    tiers, parts = model.schema.split(model.tiers.of), by_field(model.fields, header.tier_sizes)
    for field, of, own in zip(field_layouts(header), tiers, parts, strict=True):
        packed_codes[field.tier_start :][: field.tier_bytes] = pack(of[:, None].astype(np.uint16), field.tier_widths)
        for place, part in zip(field.parts, own, strict=True):
            tables = zip((*place.tables, place.linear), (*part.tables, part.linear_table), strict=True)
            for table_place, table in tables:
                write_table(table, table_place, packed_values, packed_codes)
            packed_codes[place.code_start :][: place.code_bytes] = pack(_all_codes(part), place.quantizer.widths)
    largest = float(np.finfo(np.float32).max)
    bias = float(np.float32(min(max(model.bias, -largest), largest)))
    return CompressedFM(header, bias, packed_values, packed_codes)


def unpack_model(model: CompressedFM) -> QuantizedFM:
    """Return the working form of a packed model: the inverse of ``pack_model``, after its rounding."""
    fields = []
    for place, error in zip(part_layouts(model.header), model.header.errors, strict=True):
        stream = model.codes[place.code_start :][: place.code_bytes]
        codes = unpack(stream, place.cardinality, place.quantizer.widths)
        subspaces = len(place.quantizer.codewords)
        fields.append(
            QuantizedField(
                quantizer=place.quantizer,
                tables=tuple(read_table(table, model.values, model.codes) for table in place.tables),
                codes=codes[:, :subspaces],
                linear_table=read_table(place.linear, model.values, model.codes),
                linear_codes=codes[:, subspaces:].reshape(-1),
                error=error,
            )
        )
    header = model.header
    return QuantizedFM(header.schema, header.dim, header.link, model.bias, tuple(fields), model.tiers)


def _all_codes(field: QuantizedField) -> npt.NDArray[np.uint16]:
    if field.quantizer.linear_raw:
        return field.codes
    return np.concatenate([field.codes, field.linear_codes[:, None]], axis=1)
