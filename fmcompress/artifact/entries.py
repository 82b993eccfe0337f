"""Entries of fields in the metadata of an artifact: name, kind, cardinality, and how its categories are stored.

    ["user","cat",[6040,0],"4x256","16",12e-6]
    ["item","cat",3706,[[200,"8x256:8","16",45e-7],[3506,"1x64","shared",12e-6]]]
    ["clicked","as","item"]
    ["price","num"]
    ["age","lin"]
    ["genres","cat:mean",18,"4x16","raw",12e-6]
    ["word_embeddings","vec",[30522,768,0],"16x256",12e-3]

The first one has PAD 0, the second one two tiers, of 200 and 3506 categories. The third shares the table of the
second. The fourth is numeric, and so is the fifth one, which enters the linear term alone. The sixth one may have
several values in a row, of which the mean is taken. The last one is a table of another model, of vectors of size 768;
row 0 is zeros. How dense layers are told of stands in ``network_layout``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from fmcompress.artifact.container import canonical_json
from fmcompress.artifact.origin import listed, number, text, whole
from fmcompress.fm.pooling import Pooling, parse_pooling
from fmcompress.fm.quantizer import INT8, Quantizer, embedding_spec, linear_spec, parse_quantizer
from fmcompress.fm.schema import Field, NumericField, Schema, SharedField, VectorField
from fmcompress.fm.tiers import MAX_TIERS

LONGEST_ERROR = -1.2e-5
"""No error takes more room in the metadata."""

_CATEGORICAL, _SHARED = "cat", "as"
_VECTORS = {"vec": False, "vec:axes": True}
"""Kinds of tables of vectors, and whether they have axes."""

_NUMERIC = {"num": False, "lin": True}
"""Kinds of numeric fields, and whether they are linear only."""

_MAX_ERROR = 1e5
_ERROR_DECIMALS = 9


@dataclass(frozen=True)
class Tier:
    """One tier of a field, or all of it, as the metadata tell of it.

    Attributes:
        size: its number of categories.
        quantizer: how it is stored.
        error: expected rise of the loss per row.
    """

    size: int
    quantizer: Quantizer
    error: float


def encode_entry(field: Field, tiers: Sequence[Tier]) -> str:
    """Return the entry of a field with a table as JSON; of one tier its quantizers, of several a list of theirs."""
    stored = [f"{_names(tier.quantizer)},{_figure(tier.error)}" for tier in tiers]
    several = ",".join(f"[{tier.size},{names}]" for tier, names in zip(tiers, stored, strict=True))
    return f"[{canonical_json(field.name)},{_sizes(field)}," + (stored[0] if len(tiers) == 1 else f"[{several}]") + "]"


def _names(quantizer: Quantizer) -> str:
    """Return the names of a quantizer, that of linear weights if there are any."""
    embedding = f'"{embedding_spec(quantizer)}"'
    return f'{embedding},"{linear_spec(quantizer)}"' if quantizer.has_linear else embedding


def _sizes(field: Field) -> str:
    """Return kind and size of a field with a table."""
    if isinstance(field, VectorField):
        (kind,) = (kind for kind, axes in _VECTORS.items() if axes == field.axes)
        return f'"{kind}",{canonical_json([field.cardinality, field.dim, *field.zeros])}'
    cardinality = field.cardinality if field.pad is None else f"[{field.cardinality},{field.pad}]"
    return f'"{_pooled(_CATEGORICAL, field.pooling)}",{cardinality}'


def encode_table_less(schema: Schema) -> dict[str, str]:
    """Return the entries of the fields without tables of their own as JSON, by the fields' names."""
    kinds = {linear_only: kind for kind, linear_only in _NUMERIC.items()}
    entries = [[field.name, _pooled(_SHARED, field.pooling), field.table] for field in schema.shared]
    entries += [[field.name, kinds[field.linear_only]] for field in schema.numeric]
    return {entry[0]: canonical_json(entry) for entry in entries}


def _pooled(kind: str, pooling: Pooling | None) -> str:
    """Return the kind of a field in which there may be several values."""
    return kind if pooling is None else f"{kind}:{pooling}"


def decode_entry(name: Any, kind: Any, *rest: Any) -> tuple[Field | SharedField | NumericField, list[Tier]]:
    """Return a field and its tiers, none where it has no table: the inverse of ``encode_entry`` and its sibling.

    Raises:
        ValueError, TypeError: they make no sense.
        UsageError: there is no such quantizer or pooling.
    """
    if text(kind) in _VECTORS:
        return _decode_vectors(text(name), *rest, axes=_VECTORS[kind])
    family, colon, pooled = text(kind).partition(":")
    pooling = parse_pooling(pooled) if colon else None
    if family == _CATEGORICAL:
        field, tiers = _decode_table(text(name), *rest)
        return replace(field, pooling=pooling), tiers
    if family == _SHARED:
        (table,) = rest
        return SharedField(text(name), text(table), pooling), []
    if kind not in _NUMERIC or rest:
        raise ValueError(f"field {name!r}")
    return NumericField(text(name), _NUMERIC[kind]), []


def _decode_table(name: str, categories: Any, *stored: Any) -> tuple[Field, list[Tier]]:
    cardinality, pad = map(whole, categories) if isinstance(categories, list) else (whole(categories), None)
    return Field(name, cardinality, pad), _decode_tiers(name, cardinality, stored, quantizers=2)


def _decode_vectors(name: str, sizes: Any, *stored: Any, axes: bool) -> tuple[VectorField, list[Tier]]:
    cardinality, dim, *zeros = map(whole, listed(sizes))
    field = VectorField(name, cardinality, dim=dim, zeros=tuple(zeros), axes=axes)
    return field, _decode_tiers(name, cardinality, stored, quantizers=1)


def _decode_tiers(name: str, cardinality: int, stored: Sequence[Any], *, quantizers: int) -> list[Tier]:
    """Return the tiers of a field, each with so many names of quantizers."""
    if len(stored) == 1:
        tiers = [_decode_tier(*tier, quantizers=quantizers) for tier in stored[0]]
        usual = 1 < len(tiers) <= MAX_TIERS and min(tier.size for tier in tiers) >= 1
    else:
        tiers, usual = [_decode_tier(cardinality, *stored, quantizers=quantizers)], True
    if not usual or sum(tier.size for tier in tiers) != cardinality:
        raise ValueError(f"field {name!r}")
    return tiers


def _decode_tier(size: Any, *stored: Any, quantizers: int) -> Tier:
    *names, error = stored
    if len(names) != quantizers:
        raise ValueError("as many quantizers as there are kinds of weights were expected")
    quantizer = parse_quantizer(*map(text, names))
    if quantizer.integer_bits != 8 * INT8:
        raise ValueError(f"numbers of {quantizer.integer_bits} bits are in compact artifacts alone")
    return Tier(whole(size), quantizer, number(error))


def _figure(error: float) -> str:
    """Return an error as it is written: two digits at most and a power of ten, ``12e-6``; ``null`` for NaN."""
    if math.isnan(error):
        return "null"
    sign, error = "-" if error < 0 else "", min(abs(error), _MAX_ERROR)
    if error < 10.0 ** (1 - _ERROR_DECIMALS):
        digits, power = round(error * 10**_ERROR_DECIMALS), -_ERROR_DECIMALS
    else:
        mantissa, exponent = f"{error:.1e}".split("e")
        digits, power = int(mantissa.replace(".", "")), int(exponent) - 1
    if digits and digits % 10 == 0:
        digits, power = digits // 10, power + 1
    return f"{sign}{digits}e{power}" if digits else "0"
