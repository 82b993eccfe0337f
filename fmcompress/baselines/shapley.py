"""Shapley values of the numbers of a factorization machine: what each adds to the loss when it is taken away.

In each row the numbers of all its categories are replaced by those of their fields, one after the other in a random
order, and what the loss rises by at each is that number's share (Shaver, Tran et al., WWW 2025, with the sampling of
SAGE). A value is the mean over all rows; a category that is in none of them has 0.
"""

from dataclasses import dataclass

import numpy as np

from fmcompress.baselines.composed import fields_of_rows
from fmcompress.data.batch import Batch
from fmcompress.data.rows import Rows
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.disk_table import whole
from fmcompress.fm.scorer import FMScorer
from fmcompress.types import Float32Array, Float64Array, Int64Array

_MOST_ROWS = 2**18
_CHUNK_ROWS = 4096


@dataclass(frozen=True)
class _Game:
    """What is played for: numbers of all categories, the linear weight last, and what takes their place.

    Attributes:
        numbers: float32 (categories + 1, dim + 1); the last row, of missing values, is 0.
        placeholders: float32 (fields + 1, dim + 1); so is the last row here.
        fields: of each category, int64 (categories + 1,).
    """

    numbers: Float32Array
    placeholders: Float32Array
    fields: Int64Array


def shapley_values(source: FMCheckpoint, placeholders: Float32Array, rows: Rows, seed: int) -> Float64Array:
    """Return the values of all numbers, the linear weight being the last of a row, float64 (categories, dim + 1).

    Values of fields with several values in a row are expected to second order, as if they were the only ones replaced.

    Args:
        source: the trained model, with a sigmoid link.
        placeholders: what takes the place of numbers of each field, float32 (fields, dim + 1).
        rows: labelled rows; of more than 262,144 evenly spaced ones are taken.
        seed: of the orders.
    """
    categories, rng = source.schema.categories, np.random.default_rng(seed)
    numbers = np.column_stack([whole(source.embeddings), source.linear]).astype(np.float32)
    fields = np.append(fields_of_rows(source.schema), len(source.schema))
    game = _Game(np.pad(numbers, ((0, 1), (0, 0))), np.pad(placeholders, ((0, 1), (0, 0))), fields)
    totals, seen, scorer = np.zeros((categories + 1) * numbers.shape[1]), 0, FMScorer(source)
    every = -(-rows.rows // _MOST_ROWS)
    for batch in rows.batches():
        for start in range(0, len(batch), _CHUNK_ROWS * every):
            chunk = batch.take(slice(start, start + _CHUNK_ROWS * every, every))
            ids = np.where(chunk.ids < 0, categories, chunk.ids + source.schema.id_offsets)
            logits, sums = scorer.logits_and_sums(chunk.ids, bags=chunk.bags)
            _play(game, ids, chunk, logits.astype(np.float64), sums.astype(np.float64), rng, totals)
            seen += len(chunk)
    return totals.reshape(-1, numbers.shape[1])[:-1] / max(seen, 1)


def _play(
    game: _Game,
    ids: Int64Array,
    chunk: Batch,
    logits: Float64Array,
    sums: Float64Array,
    rng: np.random.Generator,
    totals: Float64Array,
) -> None:
    """Take all numbers of some rows away, and add what the loss rises by to ``totals``, float64 (numbers,)."""
    columns, places = game.numbers.shape[1], np.arange(len(ids))
    before = game.numbers[ids].reshape(len(ids), -1)
    after = game.placeholders[game.fields[ids]].reshape(len(ids), -1)
    owners = ids.repeat(columns, axis=1) * columns + np.tile(np.arange(columns), ids.shape[1])
    order = rng.permuted(np.broadcast_to(np.arange(before.shape[1]), before.shape), axis=1)
    padded = np.column_stack([sums, np.zeros(len(ids))])  # no sum belongs to the linear weights
    labels, loss = chunk.labels, _losses(logits, chunk.labels)
    for taken in order.T:
        old, new, column = before[places, taken], after[places, taken], taken % columns
        shift, total = new - old, padded[places, column]
        linear = column == columns - 1
        logits += np.where(linear, shift, shift * total + 0.5 * (shift * shift - new * new + old * old))
        padded[places, column] += np.where(linear, 0, shift)
        now = _losses(logits, labels)
        np.add.at(totals, owners[places, taken], now - loss)
        loss = now


def _losses(logits: Float64Array, labels: Float32Array) -> Float64Array:
    """Return the cross entropy of each row, float64 (rows,)."""
    losses: Float64Array = np.log1p(np.exp(-np.abs(logits))) + np.maximum(logits, 0) - labels * logits
    return losses
