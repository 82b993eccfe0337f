"""Entries of fields in the metadata: name, kind, cardinality, and how the categories are stored.

    ["user","cat",6040,"4x256","16",12e-6]
    ["item","cat",3706,[[200,"8x256:8","16",45e-7],[3506,"1x64","shared",12e-6]]]

The second one has two tiers, of 200 and 3506 categories.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fmcompress.artifact.container import canonical_json
from fmcompress.artifact.origin import number, text, whole
from fmcompress.quantizer import Quantizer, embedding_spec, linear_spec, parse_quantizer
from fmcompress.schema import Field
from fmcompress.tiers import MAX_TIERS

LONGEST_ERROR = -1.2e-5
"""No error takes more room in the metadata."""

_KIND = "cat"
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
    """Return the entry of a field as JSON; of one tier the quantizers stand in it, of several in a list."""
    stored = [
        f'"{embedding_spec(tier.quantizer)}","{linear_spec(tier.quantizer)}",{_figure(tier.error)}' for tier in tiers
    ]
    several = ",".join(f"[{tier.size},{names}]" for tier, names in zip(tiers, stored, strict=True))
    return (
        f'[{canonical_json(field.name)},"{_KIND}",{field.cardinality},'
        + (stored[0] if len(tiers) == 1 else f"[{several}]")
        + "]"
    )


def decode_entry(name: Any, kind: Any, cardinality: Any, *stored: Any) -> tuple[Field, list[Tier]]:
    """Return a field and its tiers: the inverse of ``encode_entry``.

    Raises:
        ValueError, TypeError: they make no sense.
        UsageError: there is no such quantizer.
    """
    field = Field(text(name), whole(cardinality))
    if len(stored) == 1:
        tiers = [_decode_tier(*tier) for tier in stored[0]]
        usual = 1 < len(tiers) <= MAX_TIERS and min(tier.size for tier in tiers) >= 1
    else:
        tiers, usual = [_decode_tier(cardinality, *stored)], True
    if kind != _KIND or not usual or sum(tier.size for tier in tiers) != field.cardinality:
        raise ValueError(f"field {name!r}")
    return field, tiers


def _decode_tier(size: Any, embedding: Any, linear: Any, error: Any) -> Tier:
    return Tier(whole(size), parse_quantizer(embedding, linear), number(error))


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
