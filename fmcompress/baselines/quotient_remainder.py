"""QR: quotient–remainder embeddings (Shi et al., KDD 2020), two small tables in place of one.

With c collisions category i of a field has

    v_i = q_⌊i / c⌋ ∘ r_(i mod c)   or   v_i = q_⌊i / c⌋ + r_(i mod c)

of which validation data choose. A field that this would not make smaller keeps its own table, and c is no larger than
√n in a field of n categories, where both tables together are smallest.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from fmcompress.baselines.composed import ComposedTable, Form, largest_that_fits, on_source
from fmcompress.baselines.halving import best_points
from fmcompress.baselines.task import BaselinePoint, Task
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.schema import Schema
from fmcompress.types import AnyArray, Float16Array, Float32Array, Int64Array

_STD = 0.1
_SPREAD = 0.1
VARIANTS = ("product", "sum")
"""Ways to combine quotient and remainder."""


def quotient_remainder_fms(key: str, task: Task) -> Iterator[BaselinePoint]:
    """Yield, for each budget, the model with the fewest collisions that meets it, combined in the better way."""
    return best_points(key, task, partial(_forms, task))


def _forms(task: Task, budget_bytes: int) -> list[Form]:
    schema, dim = task.source.schema, task.source.dim
    most = max(2, math.ceil(math.sqrt(schema.cardinalities.max())))
    found = largest_that_fits(range(2, most + 1), partial(_empty, schema, dim), task, budget_bytes)
    if found is None:
        return []
    return [
        Form(variant, f"QR, {found} collisions, {variant}", on_source(task, partial(_begin, task, found, variant)))
        for variant in VARIANTS
    ]


@dataclass(frozen=True)
class QRPlaces:
    """Where the quotients and remainders of categories are.

    Attributes:
        quotients: row of each category's quotient, int64 (categories,).
        remainders: row of its remainder, that after the last where its field keeps its own table, int64 (categories,).
        quotient_rows: rows of all quotients.
        remainder_rows: rows of all remainders.
    """

    quotients: Int64Array
    remainders: Int64Array
    quotient_rows: int
    remainder_rows: int


def qr_places(schema: Schema, collisions: int) -> QRPlaces:
    """Return where quotients and remainders are, field after field."""
    quotients, remainders, first_quotient, first_remainder = [], [], 0, 0
    for cardinality in schema.cardinalities.tolist():
        count = qr_collisions(cardinality, collisions)
        ids = np.arange(cardinality)
        quotients.append(first_quotient + ids // count)
        remainders.append(first_remainder + ids % count if count > 1 else np.full(cardinality, -1))
        first_quotient += -(-cardinality // count)
        first_remainder += count if count > 1 else 0
    rows = np.concatenate(remainders)
    rows[rows < 0] = first_remainder
    return QRPlaces(np.concatenate(quotients), rows, first_quotient, first_remainder)


def qr_collisions(cardinality: int, collisions: int) -> int:
    """Return the collisions of a field; 1 where it keeps its own table."""
    count = min(collisions, math.ceil(math.sqrt(cardinality)))
    return count if -(-cardinality // count) + count < cardinality else 1


@dataclass(frozen=True)
class QRRows:
    """Quotients and remainders as a file holds them.

    Attributes:
        schema: the fields.
        collisions: categories that share a quotient.
        variant: how both are combined.
        quotients: float16 (rows of quotients, dim).
        remainders: float16 (rows of remainders, dim).
    """

    schema: Schema
    collisions: int
    variant: str
    quotients: Float16Array
    remainders: Float16Array

    def arrays(self) -> dict[str, AnyArray]:
        """Return both tables, float16 (rows, dim)."""
        return {"quotients": self.quotients, "remainders": self.remainders}

    def decode(self) -> Float32Array:
        """Return the table, float32 (categories, dim)."""
        places = qr_places(self.schema, self.collisions)
        product = self.variant == "product"
        neutral = np.full((1, self.remainders.shape[1]), product, dtype=np.float32)
        quotients = self.quotients.astype(np.float32)[places.quotients]
        remainders = np.concatenate([self.remainders, neutral])[places.remainders]
        decoded: Float32Array = quotients * remainders if product else quotients + remainders
        return decoded


class QRTable(ComposedTable):
    """Quotients and remainders in training.

    Attributes:
        quotients: float32 (rows of quotients, dim).
        remainders: float32 (rows of remainders + 1, dim); the last row leaves quotients as they are.
    """

    quotient_places: Tensor
    remainder_places: Tensor

    def __init__(self, source: FMCheckpoint, counts: Int64Array, collisions: int, variant: str, seed: int) -> None:
        """Draw small embeddings; quotients of categories that are never seen stay zero.

        Args:
            source: has the fields and the embedding size.
            counts: rows in which each category is active, int64 (categories,).
            collisions: categories that share a quotient.
            variant: how both are combined.
            seed: what they are drawn from.
        """
        super().__init__(source.schema)
        self._collisions, self._product = collisions, variant == "product"
        dim, generator = source.dim, torch.Generator().manual_seed(seed)
        places = qr_places(source.schema, collisions)
        self.register_buffer("quotient_places", torch.from_numpy(places.quotients), persistent=False)
        self.register_buffer("remainder_places", torch.from_numpy(places.remainders), persistent=False)
        remainders = torch.randn(places.remainder_rows + 1, dim, generator=generator)
        remainders = 1 + remainders * _SPREAD if self._product else remainders * _STD
        remainders[-1] = float(self._product)
        seen = torch.from_numpy(np.bincount(places.quotients, counts) > 0)[:, None]
        self.quotients = nn.Parameter(torch.randn(places.quotient_rows, dim, generator=generator) * _STD * seen)
        self.remainders = nn.Parameter(remainders)

    def compose(self, rows: Tensor, *, sparse: bool) -> Tensor:
        """Return rows of the table, float32 (n, dim), of row numbers, int64 (n,)."""
        last = len(self.remainders) - 1
        quotients = embedding(self.quotient_places[rows], self.quotients, sparse=sparse)
        remainders = embedding(self.remainder_places[rows], self.remainders, padding_idx=last, sparse=sparse)
        return quotients * remainders if self._product else quotients + remainders

    def tables(self) -> list[nn.Parameter]:
        """Return both tables."""
        return [self.quotients, self.remainders]

    def stored(self) -> QRRows:
        """Return both tables as a file holds them."""
        quotients, remainders = (table.detach().cpu().numpy().astype(np.float16) for table in self.tables())
        variant = VARIANTS[0] if self._product else VARIANTS[1]
        return QRRows(self.schema, self._collisions, variant, quotients, remainders[:-1])


def _begin(task: Task, collisions: int, variant: str) -> QRTable:
    return QRTable(task.source, task.counts, collisions, variant, task.options.seed)


def _empty(schema: Schema, dim: int, collisions: int) -> QRRows:
    places = qr_places(schema, collisions)
    quotients, remainders = (
        np.zeros((rows, dim), np.float16) for rows in (places.quotient_rows, places.remainder_rows)
    )
    return QRRows(schema, collisions, "sum", quotients, remainders)
