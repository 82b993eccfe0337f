"""A model and ids of Criteo's shape, generated: the fields of the paper, weights and ids drawn at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fmcompress.artifact import Origin, pack_model
from fmcompress.checkpoints import FMCheckpoint
from fmcompress.data.click_model import random_click_model, zipf_ids
from fmcompress.fm.bags import Bag
from fmcompress.fm.quantized_fm import QuantizedField, QuantizedFM
from fmcompress.fm.quantizer import Quantizer
from fmcompress.fm.schema import Schema
from fmcompress.methods.lightfm.method import LightFM
from fmcompress.serve.compressed_fm import CompressedFM

CARDINALITIES = [
    49, 101, 126, 45, 223, 118, 84, 76, 95, 9, 30, 40, 75, 1458, 555, 193949, 138801, 306, 19, 11970, 634, 4,
    42646, 5178, 192773, 3175, 27, 11422, 181075, 11, 4654, 2032, 5, 189657, 18, 16, 59697, 86, 45571,
]  # fmt: skip
DIM = 32
SCHEMA = Schema.of((f"field_{number}", size) for number, size in enumerate(CARDINALITIES))
LIGHTFM = LightFM(subspaces=4, codewords=1024, linear_codewords=256).quantizers(CARDINALITIES, DIM)


def checkpoint(*, seed: int = 0) -> FMCheckpoint:
    """Return a factorization machine of Criteo's shape, 1,086,810 x 32, with Zipf counts."""
    model = random_click_model(SCHEMA, dim=DIM, seed=seed)
    counts = np.bincount(
        (ids(1_000_000, seed=seed) + SCHEMA.offsets).reshape(-1).astype(np.int64), minlength=SCHEMA.categories
    )
    return FMCheckpoint(SCHEMA, model.bias, model.linear, model.embeddings, counts=counts)


def bare_checkpoint() -> FMCheckpoint:
    """Return a factorization machine of Criteo's shape, made with little memory beside its own."""
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((SCHEMA.categories, DIM), dtype=np.float32)
    embeddings *= np.float32(0.1)
    return FMCheckpoint(SCHEMA, -1.0, rng.standard_normal(SCHEMA.categories, dtype=np.float32), embeddings)


def ids(rows: int, *, seed: int) -> np.ndarray:
    """Return Zipf-distributed ids, int32 (rows, 39)."""
    return zipf_ids(SCHEMA, rows, np.random.default_rng(seed))


def lightfm(*, seed: int = 0, quantizers: Sequence[Quantizer] = LIGHTFM) -> CompressedFM:
    """Return the paper's LightFM, 4 subspaces of 1024 codewords, with random codes; linear weights of 8 bits."""
    rng = np.random.default_rng(seed)
    fields = []
    for cardinality, quantizer in zip(CARDINALITIES, quantizers, strict=True):
        shapes = quantizer.table_shapes(cardinality, DIM)
        codes = [rng.integers(0, k, cardinality) for k in quantizer.codewords]
        fields.append(
            QuantizedField(
                quantizer,
                tuple(0.1 * rng.standard_normal(shape, dtype=np.float32) for shape in shapes),
                np.array(codes, dtype=np.uint16).T.reshape(cardinality, len(codes)),
                0.1 * rng.standard_normal(quantizer.linear_values(cardinality), dtype=np.float32),
                rng.integers(0, 256, 0 if quantizer.linear_raw else cardinality).astype(np.uint16),
            )
        )
    quantized = QuantizedFM(SCHEMA, DIM, "sigmoid", 0.0, tuple(fields))
    return CompressedFM.of(pack_model(quantized, Origin(10**7, "lightfm", seed)))


@dataclass(frozen=True)
class RowsWithBag:
    """Rows in which one field has several values.

    Attributes:
        ids: those of all other fields, -1 of this one, int32 (rows, fields).
        bag: its values, 1 to 9 in a row.
        single: ids with one value of this field too, int32 (rows, fields).
    """

    ids: np.ndarray
    bag: Bag
    single: np.ndarray

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.ids)


def with_several_values(rows: int, name: str, *, seed: int) -> RowsWithBag:
    """Return rows in which a field has several values."""
    column, counts = SCHEMA.names.index(name), np.random.default_rng(seed).integers(1, 10, rows)
    starts = np.concatenate(([0], np.cumsum(counts)))
    single = ids(rows, seed=seed)
    missing = single.copy()
    missing[:, column] = -1
    return RowsWithBag(missing, Bag(starts, ids(int(starts[-1]), seed=seed + 1000)[:, column].copy()), single)
