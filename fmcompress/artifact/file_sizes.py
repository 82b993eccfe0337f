"""What the parts of an artifact take in its file, to the byte."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fmcompress.artifact.compact import CompactBytes
from fmcompress.artifact.compact_parts import PartCost
from fmcompress.artifact.header import Header
from fmcompress.artifact.layout import TierLayout, field_layouts
from fmcompress.fm.quantizer import HALF


@dataclass(frozen=True)
class TierSizes:
    """What a tier takes.

    Attributes:
        tables: its embedding tables and their scales.
        linear: the table of its linear weights, its scale, and their codes.
        codes: the embeddings' codes.
    """

    tables: int
    linear: int
    codes: int


@dataclass(frozen=True)
class FieldSizes:
    """What a field with a table takes.

    Attributes:
        stream: the stream that tells the tiers of its categories.
        tiers: each of its tiers.
    """

    stream: int
    tiers: tuple[TierSizes, ...]


@dataclass(frozen=True)
class FileSizes:
    """What an artifact takes.

    Attributes:
        file_bytes: all of it.
        header_bytes: of that, its header, the seal counted in.
        fields: of that, each field with a table.
        network_bytes: of that, dense layers.
        provenance_bytes: of that, what a compact one says of where it comes from.
        coded_bytes: of that, what is entropy coded in a compact one; it is counted with its fields, too.
        uncoded_bytes: what this would take as it is.
    """

    file_bytes: int
    header_bytes: int
    fields: tuple[FieldSizes, ...]
    network_bytes: int
    provenance_bytes: int = 0
    coded_bytes: int = 0
    uncoded_bytes: int = 0


def plain_sizes(header: Header) -> FileSizes:
    """Return what a plain artifact takes."""
    fields = tuple(
        FieldSizes(field.tier_bytes, tuple(map(_plain_tier, field.tiers))) for field in field_layouts(header)
    )
    payload = sum(tensor.nbytes for tensor in header.tensors)
    return FileSizes(header.header_bytes + payload, header.header_bytes, fields, header.frame.dense_layers.nbytes)


def _plain_tier(tier: TierLayout) -> TierSizes:
    # Codes of both kinds share a stream: the linear weight's are what the stream would be shorter without.
    codes = (tier.cardinality * tier.quantizer.embedding_code_bits + 7) // 8
    tables = sum(table.nbytes for table in tier.tables)
    return TierSizes(tables, tier.linear.nbytes + tier.code_bytes - codes, codes)


def compact_sizes(header: Header, found: CompactBytes) -> FileSizes:
    """Return what a compact artifact takes: what is entropy coded, in proportion to its bits."""
    sizes = _whole(found.costs, found.coded_bytes)
    fields = []
    for field in field_layouts(header):
        stream, _ = next(sizes)
        fields.append(FieldSizes(stream, tuple(_compact_tier(tier, sizes) for tier in field.tiers)))
    frame = header.frame
    heads = frame.dense_layers.nbytes - sum(_weight_bytes(header))
    network = sum(size for size, _ in sizes) + heads
    head = found.header_bytes, tuple(fields), network, found.provenance_bytes
    return FileSizes(found.nbytes, *head, found.coded_bytes, found.uncoded_bytes)


def _compact_tier(tier: TierLayout, sizes: Iterator[tuple[int, int]]) -> TierSizes:
    quantizer = tier.quantizer
    own = bool(quantizer.scales) and quantizer.has_linear
    scales = (1 if quantizer.common_scale else len(tier.tables)) if quantizer.scales else 0
    tables, linear, codes = (next(sizes) for _ in range(3))
    return TierSizes(tables[0] + HALF * scales, linear[0] + HALF * own + codes[1], codes[0])


def _weight_bytes(header: Header) -> Iterator[int]:
    stored = header.frame.network
    if stored is not None:
        for layer, inputs in stored.with_inputs(header.schema, header.dim):
            yield layer.outputs * inputs * layer.value_bytes


def _whole(costs: Sequence[PartCost], coded_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield whole bytes of parts; those that are entropy coded add up to what these take together."""
    total = sum(cost.nbytes + cost.linear for cost in costs if cost.coded)
    reached = 0.0

    def counted(part: float) -> int:
        nonlocal reached
        before, reached = reached, reached + part * coded_bytes / total
        return round(reached) - round(before)

    for cost in costs:
        yield tuple(counted(part) if cost.coded else int(part) for part in (cost.nbytes, cost.linear))  # type: ignore[misc]
