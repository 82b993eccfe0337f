"""The bytes that an artifact takes, counted before it is made.

Errors, scores and the budget are known last; the header is filled up with spaces to what their longest texts take, so
that bytes can be counted beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

from fmcompress.artifact.container import StoredTensor, canonical_json, encode_header
from fmcompress.artifact.metadata import LONGEST_ERROR, UNSEALED, Frame, Tier, compose, encode_entry, encode_table_less
from fmcompress.artifact.origin import LONGEST, Origin
from fmcompress.fm.quantizer import HALF, INT8, Quantizer, code_bits
from fmcompress.fm.schema import Field, Schema
from fmcompress.fm.tiers import by_field

BIAS_BYTES = 4

# The budget has a place of its own however small it is: were the header a little larger for a larger budget, the
# smallest budget that works could not be told.
_LARGEST_BUDGET = 10**12 - 1
_QUOTES, _COMMA = '""', ","


def one_tier_each(schema: Schema) -> tuple[tuple[int, ...], ...]:
    """Return the sizes of tiers of fields that are not split."""
    return tuple((field.cardinality,) for field in schema.fields)


def tier_bits(sizes: Sequence[int]) -> int:
    """Return the bits that tell the tier of a category of a field with tiers of these sizes."""
    return code_bits(len(sizes))


def tier_bytes(sizes: Sequence[int]) -> int:
    """Return the bytes of the stream that tells the tier of each category of a field."""
    return (sum(sizes) * tier_bits(sizes) + 7) // 8


def tensors_of(
    frame: Frame, quantizers: Sequence[Quantizer], tier_sizes: Sequence[Sequence[int]]
) -> tuple[StoredTensor, ...]:
    """Return the tensors of an artifact in the order of their bytes; arguments are those of ``artifact_bytes``."""
    parts = list(zip(quantizers, chain.from_iterable(tier_sizes), strict=True))
    halves = sum(q.scales if q.value_bytes == INT8 else q.values(size, frame.dim) for q, size in parts)
    payload = sum(q.payload_bytes(size, frame.dim) for q, size in parts) + sum(map(tier_bytes, tier_sizes))
    return frame.tensors(halves, payload - HALF * halves)


def artifact_bytes(
    frame: Frame,
    origin: Origin,
    quantizers: Sequence[Quantizer],
    tier_sizes: Sequence[Sequence[int]] | None = None,
) -> int:
    """Return the exact size of an artifact.

    It is the sum of ``fixed_bytes`` and, for each field, of ``entry_bytes``, ``tier_bytes`` and the payloads of its
    parts, as long as no part takes more than it would raw.

    Args:
        frame: what is fixed of it.
        origin: what it says of itself.
        quantizers: of each part.
        tier_sizes: categories in each tier of each field with a table; one tier each where nothing else is said.
    """
    tensors = tensors_of(frame, quantizers, tier_sizes or one_tier_each(frame.schema))
    return header_bytes(frame, origin, quantizers, tier_sizes) + sum(tensor.nbytes for tensor in tensors)


def header_bytes(
    frame: Frame,
    origin: Origin,
    quantizers: Sequence[Quantizer],
    tier_sizes: Sequence[Sequence[int]] | None = None,
) -> int:
    """Return the bytes that the header takes, whatever the figures in it; arguments are those of ``artifact_bytes``."""
    sizes = tier_sizes or one_tier_each(frame.schema)
    entries = sum(map(entry_bytes, frame.schema.fields, by_field(quantizers, sizes), sizes))
    return _rest_bytes(frame, origin, tensors_of(frame, quantizers, sizes)) + entries


def fixed_bytes(frame: Frame, origin: Origin) -> int:
    """Return the bytes of an artifact that belong to no field with a table.

    They are the bias, the numeric weights, the vocabulary, and the header without the entries of these fields.
    """
    return _rest_bytes(frame, origin) + BIAS_BYTES + frame.numeric.nbytes + frame.vocabulary.nbytes


def entry_bytes(field: Field, quantizers: Sequence[Quantizer], sizes: Sequence[int]) -> int:
    """Return the bytes that the entry of a field takes in the header, with its comma.

    Args:
        field: the field.
        quantizers: of each of its tiers.
        sizes: categories in each tier.
    """
    tiers = [Tier(size, quantizer, LONGEST_ERROR) for size, quantizer in zip(sizes, quantizers, strict=True)]
    return _in_header(encode_entry(field, tiers))


def table_less_bytes(schema: Schema) -> int:
    """Return the bytes that the entries of shared and numeric fields take in the header, with their commas."""
    return sum(map(_in_header, encode_table_less(schema).values()))


def _in_header(entry: str) -> int:
    return len(canonical_json(entry).encode()) - len(_QUOTES) + len(_COMMA)


def _rest_bytes(frame: Frame, origin: Origin, tensors: Sequence[StoredTensor] = ()) -> int:
    """Return the bytes of a header without the entries of fields with tables, one comma less.

    Sizes and offsets of tensors take as much room as in an artifact that holds everything raw, or as in this one.
    """
    numbers = frame.schema.categories * (frame.dim + 1)
    largest = frame.tensors(numbers, HALF * numbers + frame.schema.categories)
    if tensors:
        largest = tuple(max(pair, key=lambda tensor: tensor.size) for pair in zip(largest, tensors, strict=True))
    quality = {name: replace(LONGEST, rows=found.rows) for name, found in origin.quality.items()}
    longest = replace(origin, budget_bytes=max(_LARGEST_BUDGET, origin.budget_bytes), quality=quality)
    empty = len(encode_header(compose(frame, longest, [], UNSEALED), largest))
    return empty + table_less_bytes(frame.schema) - len(_COMMA)
