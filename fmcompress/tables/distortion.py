"""How far compressed vectors are from their originals: squared errors relative to squares, and cosines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fmcompress.serve.compressed_tables import CompressedTables
from fmcompress.types import Float32Array, Float64Array

_CHUNK_ROWS = 16_384


@dataclass(frozen=True)
class Distortion:
    """What tables lost, each vector counted as often as it is looked up.

    Attributes:
        tier_errors: of each tier, table by table, its squared errors over the squares of its table's vectors.
        relative_errors: of each table, its squared errors over the squares of its vectors.
        cosines: of each table, the mean cosine of its vectors and their originals, those that are zeros left out.
    """

    tier_errors: tuple[float, ...]
    relative_errors: tuple[float, ...]
    cosines: tuple[float, ...]


def measured(
    tables: CompressedTables, vectors: Mapping[str, Float32Array], frequencies: Sequence[Float64Array]
) -> Distortion:
    """Return what compressed tables lost.

    Args:
        tables: the compressed tables.
        vectors: the original ones by name, float32 (n, l) each.
        frequencies: how often each vector of each table of its own is looked up, float64 (n,) each.
    """
    tier_errors: list[float] = []
    relative, cosines = [], []
    tiers = tables.schema.split(tables.tiers.of)
    for number, name in enumerate(tables.schema.names):
        table, of, often = tables.table(name), tiers[number], frequencies[number]
        sums = np.zeros((len(tables.header.tier_sizes[number]), 1))
        squares = cosine = counted = 0.0
        for start in range(0, len(table), _CHUNK_ROWS):
            rows = slice(start, start + _CHUNK_ROWS)
            own, found = vectors[name][rows].astype(np.float64), table[rows].astype(np.float64)
            square = np.einsum("nl,nl->n", own, own)
            shift = np.einsum("nl,nl->n", found - own, found - own)
            sums[:, 0] += np.bincount(of[rows], often[rows] * shift, len(sums))
            squares += float(often[rows] @ square)
            there = square > 0
            lengths = np.sqrt(square * np.einsum("nl,nl->n", found, found))
            product = np.einsum("nl,nl->n", own, found)
            alike = np.divide(product, lengths, out=np.zeros_like(lengths), where=lengths > 0)
            cosine += float(often[rows][there] @ alike[there])
            counted += float(often[rows][there].sum())
        errors = sums[:, 0] / squares if squares else sums[:, 0]
        tier_errors += errors.tolist()
        relative.append(float(errors.sum()))
        cosines.append(cosine / counted if counted else 1.0)
    return Distortion(tuple(tier_errors), tuple(relative), tuple(cosines))
