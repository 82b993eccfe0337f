"""Click data drawn from a factorization machine: for demonstrations, benchmarks and tests."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fmcompress.data.batch import Batch
from fmcompress.fm.schema import Schema
from fmcompress.types import Float32Array, Int32Array

_ZIPF_EXPONENT = 1.1


@dataclass(frozen=True)
class ClickModel:
    """A factorization machine that clicks are drawn from.

    Attributes:
        schema: its fields.
        bias: w_0.
        linear: float32 (categories,).
        embeddings: float32 (categories, dim).
    """

    schema: Schema
    bias: float
    linear: Float32Array
    embeddings: Float32Array


def random_click_model(schema: Schema, *, dim: int, seed: int) -> ClickModel:
    """Return a factorization machine with random weights, scaled so that pairs of fields matter.

    Args:
        schema: its fields.
        dim: embedding size.
        seed: of the weights.
    """
    rng = np.random.default_rng(seed)
    pairs = max(1, len(schema) * (len(schema) - 1) // 2)
    scale = (1.5 / (pairs * dim) ** 0.5) ** 0.5
    embeddings = rng.standard_normal((schema.categories, dim), dtype=np.float32) * np.float32(scale)
    linear = rng.standard_normal(schema.categories, dtype=np.float32) * np.float32(0.8 / len(schema) ** 0.5)
    return ClickModel(schema, -1.0, linear, embeddings)


def zipf_ids(schema: Schema, rows: int, rng: np.random.Generator) -> Int32Array:
    """Return random ids, int32 (rows, fields): in each field few categories are frequent and most are rare.

    Args:
        schema: the fields.
        rows: number of rows.
        rng: draws them.
    """
    ids = np.empty((rows, len(schema)), dtype=np.int32)
    order = np.random.default_rng(0)  # which categories are frequent does not depend on the draw
    for number, field in enumerate(schema.fields):
        shares = np.cumsum(np.arange(1, field.cardinality + 1) ** -_ZIPF_EXPONENT)
        ranks = np.searchsorted(shares, rng.random(rows) * shares[-1])
        ids[:, number] = order.permutation(field.cardinality)[np.minimum(ranks, field.cardinality - 1)]
    return ids


def draw_clicks(model: ClickModel, rows: int, *, seed: int) -> Batch:
    """Return rows with labels drawn from the model's probabilities.

    Args:
        model: what clicks are drawn from.
        rows: number of rows.
        seed: of ids and labels.
    """
    rng = np.random.default_rng(seed)
    ids = zipf_ids(model.schema, rows, rng)
    logits = np.full(rows, model.bias, dtype=np.float32)
    sums = np.zeros((rows, model.embeddings.shape[1]), dtype=np.float32)
    for number in range(len(model.schema)):
        field = model.schema.rows(number)
        vectors = model.embeddings[field][ids[:, number]]
        sums += vectors
        logits += model.linear[field][ids[:, number]] - 0.5 * np.einsum("rl,rl->r", vectors, vectors)
    logits += 0.5 * np.einsum("rl,rl->r", sums, sums)
    labels = rng.random(rows) < 1 / (1 + np.exp(-logits))
    return Batch(ids, labels.astype(np.float32))


def write_rows(batch: Batch, schema: Schema, path: Path) -> None:
    """Write rows as Parquet: a column ``label`` and one per field.

    Args:
        batch: the rows.
        schema: their fields.
        path: file to write.
    """
    columns = {"label": pa.array(batch.labels.astype(np.int8))} | {
        name: pa.array(batch.ids[:, number]) for number, name in enumerate(schema.names)
    }
    pq.write_table(pa.table(columns), path)
