"""How far the logits of an artifact are from the checkpoint's, on rows that are drawn where there are no data.

Each field's category is drawn by how often it is seen, and fields by chance. Beside these rows there is one for each of
the most extreme categories: those with the largest embeddings and linear weights of each field.
"""

from dataclasses import replace

import numpy as np

from fmcompress.artifact import PackedFM
from fmcompress.artifact.origin import Sampled
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.disk_table import BLOCK_ROWS, largest_of_rows
from fmcompress.quantization.sensitivity import shares
from fmcompress.quantization.typical_rows import drawn_ids, logits_and_sums
from fmcompress.serve.compressed_fm import CompressedFM
from fmcompress.types import Float32Array, Int64Array

ROWS = 4096
_MOST_EXTREME = 2
_MOST_FIELDS = 512
_BAD = 0.5
"""Logits are no good that are off by more than half of what they spread by."""
_NOTHING = 1e-6
"""An error that no prediction shows, though logits may spread by less."""


def sampled_errors(checkpoint: FMCheckpoint, model: PackedFM, *, seed: int) -> Sampled:
    """Return the errors of an artifact's logits on drawn rows; values of numeric fields are 0.

    Args:
        checkpoint: the factorization machine.
        model: its artifact.
        seed: of the draw.
    """
    ids = drawn_ids(checkpoint, shares(checkpoint.schema, checkpoint.counts), ROWS, seed=seed)
    ids = np.concatenate([ids, _extreme_rows(checkpoint, ids)])
    wanted, _ = logits_and_sums(checkpoint, ids)
    logits_only = replace(model, header=replace(model.header, frame=replace(model.header.frame, link="identity")))
    values = np.zeros((len(ids), len(checkpoint.schema.numeric))) if checkpoint.schema.numeric else None
    errors = np.abs(CompressedFM.of(logits_only).predict(ids, values).astype(np.float64) - wanted)
    return Sampled(float(errors.max()), float(errors[:ROWS].mean()), float(wanted[:ROWS].std()))


def doubt_of(sampled: Sampled) -> str | None:
    """Return what there is to say of errors that are too large; None where all is well."""
    if np.isfinite(sampled.largest) and sampled.mean <= max(_BAD * sampled.spread, _NOTHING):
        return None
    return (
        f"without data, logits of the artifact are off by {sampled.mean:.2g} on average on sampled rows, by "
        f"{sampled.largest:.2g} at most; those of the checkpoint spread by {sampled.spread:.2g}: "
        "a larger budget, or tuning on data, makes it better"
    )


def _extreme_rows(checkpoint: FMCheckpoint, drawn: Int64Array) -> Int64Array:
    """Return rows with the most extreme categories of each field, one each, int64 (n, ids), and else drawn ones."""
    found: list[Int64Array] = []
    for column, table in enumerate(checkpoint.schema.tables.tolist()[:_MOST_FIELDS]):
        sizes = largest_of_rows(checkpoint.embeddings_of(table))
        linear = np.abs(checkpoint.linear[checkpoint.schema.rows(table)])
        for category in {*_largest(sizes), *_largest(linear)}:
            row = drawn[len(found) % len(drawn)].copy()
            row[column] = category
            found.append(row)
    return np.array(found)


def _largest(sizes: Float32Array) -> list[int]:
    """Return where the few largest sizes are, of float32 (cardinality,)."""
    few = min(_MOST_EXTREME, len(sizes))
    found = [
        start + np.argpartition(-block, min(few, len(block)) - 1)[:few]
        for start in range(0, len(sizes), BLOCK_ROWS)
        if len(block := sizes[start : start + BLOCK_ROWS])
    ]
    largest = np.concatenate(found)
    return [int(place) for place in largest[np.argpartition(-sizes[largest], few - 1)[:few]]]
