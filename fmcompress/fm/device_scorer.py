"""Predictions of a factorization machine that is not compressed, on a torch device, and what its logits change by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from fmcompress.devices.moving import moved, moved_by_blocks
from fmcompress.errors import DataError
from fmcompress.fm.bags import Bag
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.device_links import predictions
from fmcompress.fm.pooling import Pooling
from fmcompress.types import AnyArray, Float32Array, Int32Array, Int64Array

_BLOCK_ROWS = 2**20


class DeviceScorer:
    """Scores rows with a checkpoint, whose tables lie on a device; formulas are those of ``FMScorer``."""

    def __init__(self, checkpoint: FMCheckpoint, device: str) -> None:
        """Move the tables, and precompute w_i − ½‖v_i‖² of each category.

        Args:
            checkpoint: the factorization machine, without a network.
            device: a torch device.
        """
        self.schema, self.device = checkpoint.schema, device
        self.link = checkpoint.link_function
        self._checkpoint = checkpoint
        self._offsets = checkpoint.schema.id_offsets
        self.embeddings = moved_by_blocks(checkpoint.embeddings, device)
        self.linear = moved(checkpoint.linear, device)
        self._scalars = torch.empty_like(self.linear)
        for first in range(0, len(self.linear), _BLOCK_ROWS):
            self._prepare(slice(first, first + _BLOCK_ROWS))

    def _prepare(self, rows: slice | Tensor) -> None:
        own = self.embeddings[rows]
        self._scalars[rows] = self.linear[rows] - 0.5 * (own * own).sum(dim=1)

    def refresh(self, rows: Int64Array, linear: Float32Array) -> None:
        """Take note that weights of some categories have changed in place.

        Args:
            rows: of the tables, int64 (n,).
            linear: their linear weights, float32 (n,).
        """
        embeddings = np.ascontiguousarray(self._checkpoint.embeddings[rows])
        self.change(moved(rows, self.device), moved(embeddings, self.device), moved(linear, self.device))

    def change(self, rows: Tensor, embeddings: Tensor, linear: Tensor) -> None:
        """Change the weights of some categories.

        Args:
            rows: of the tables, each once, int64 (n,).
            embeddings: float32 (n, dim).
            linear: float32 (n,).
        """
        self.embeddings[rows], self.linear[rows] = embeddings, linear
        self._prepare(rows)

    def predict(
        self,
        ids: Int32Array,
        values: Float32Array | None = None,
        *,
        bags: Mapping[str, Bag] | None = None,
        threads: int = 1,
    ) -> Float32Array:
        """Return the predictions of rows, float32 (rows,).

        Args:
            ids: checked category ids, -1 where a value is missing, integers (rows, ids).
            values: of the numeric fields, float32 (rows, numeric fields); None where there are none.
            bags: values of fields with several in a row, by name; their ids are -1.
            threads: of no use here.
        """
        return _numpy_of(self.predictions(ids, values, bags))

    def predictions(
        self, ids: Int32Array, values: Float32Array | None = None, bags: Mapping[str, Bag] | None = None
    ) -> Tensor:
        """Return the predictions of rows, on the device, float32 (rows,); see ``predict``."""
        return predictions(self.link, self.score(ids, values, bags).rows.logits)

    def score(
        self, ids: Int32Array, values: Float32Array | None = None, bags: Mapping[str, Bag] | None = None
    ) -> HostRows:
        """Return rows with their logits, in main memory.

        Args:
            ids: checked category ids, -1 where a value is missing, integers (rows, ids).
            values: of the numeric fields, float32 (rows, numeric fields); None where there are none.
            bags: values of fields with several in a row, by name; their ids are -1.
        """
        return HostRows(self.rows_of(moved(ids, self.device), values, bags, missing=bool((ids < 0).any())))

    def rows_of(
        self,
        ids: Tensor,
        values: Float32Array | None = None,
        bags: Mapping[str, Bag] | None = None,
        *,
        missing: bool = True,
    ) -> DeviceRows:
        """Return rows with their logits, on the device.

        Args:
            ids: category ids, -1 where a value is missing, integers (rows, ids).
            values: of the numeric fields, float32 (rows, numeric fields); None where there are none.
            bags: values of fields with several in a row, by name; their ids are -1.
            missing: whether an id may be -1.

        Raises:
            DataError: there are numeric fields, but no values.
        """
        rows = ids.clamp_min(0) + moved(self._offsets, self.device)
        present = (ids >= 0).to(torch.float32) if missing else None
        sums = embedding_bag(rows, self.embeddings, mode="sum", per_sample_weights=present)
        own = self._scalars[rows]
        scalars = (own if present is None else own * present).sum(dim=1)
        for name, bag in (bags or {}).items():
            vectors, added = self.pooled(name, bag)
            sums, scalars = sums + vectors, scalars + added
        logits = self._checkpoint.bias + scalars + 0.5 * (sums * sums).sum(dim=1)
        if len(self._checkpoint.numeric):
            if values is None:
                raise DataError(f"values of {len(self._checkpoint.numeric)} numeric fields are missing")
            added, more = self._numeric(values, sums)
            logits, sums = logits + added, sums + more
        return DeviceRows(self, ids, bags or {}, logits, sums)

    def _numeric(self, values: Float32Array, sums: Tensor) -> tuple[Tensor, Tensor]:
        """Return what numeric fields add to logits, as ``NumericWeights.added`` has it, and to S."""
        numeric = self._checkpoint.numeric
        x, v = moved(values, self.device).double(), moved(numeric.embeddings, self.device).double()
        own = x @ v
        pairs = own.square().sum(dim=1) - x.square() @ v.square().sum(dim=1)
        linear = x @ moved(numeric.linear, self.device).double()
        return (linear + (sums * own).sum(dim=1) + 0.5 * pairs).float(), own.float()

    def embeddings_of(self, ids: Tensor, columns: int | Tensor) -> Tensor:
        """Return the embeddings of ids, integers (n,), of one column each, int64 (n,), or all of the same."""
        offsets = (
            int(self._offsets[columns]) if isinstance(columns, int) else moved(self._offsets, self.device)[columns]
        )
        return self.embeddings[ids.clamp_min(0) + offsets]

    def pooled(self, name: str, bag: Bag) -> tuple[Tensor, Tensor]:
        """Return what a field's bag adds to S, float32 (rows, dim), and to logits beside ½‖S‖², float32 (rows,)."""
        pooling = self.schema.poolings[name]
        rows = moved(bag.ids + self._offsets[self.schema.id_names.index(name)], self.device)
        embedding, linear = (moved(factors, self.device) for factors in bag.coefficients(pooling))
        starts = moved(bag.starts[:-1], self.device)
        vectors = embedding_bag(rows, self.embeddings, starts, mode="sum", per_sample_weights=embedding)
        scalars = linear * self.linear[rows]
        if pooling.each:
            scalars = scalars + embedding * embedding * (self._scalars[rows] - self.linear[rows])
        places = torch.arange(len(scalars), device=self.device)
        added = embedding_bag(places, scalars[:, None], starts, mode="sum")[:, 0]
        return vectors, added if pooling.each else added - 0.5 * (vectors * vectors).sum(dim=1)


@dataclass(frozen=True, eq=False)
class DeviceRows:
    """Rows scored on a device; see ``ScoredRows``.

    Attributes:
        scorer: what scored them.
        ids: of their categories, integers (rows, ids).
        bags: of fields with several values in a row, by name.
        logits: float32 (rows,).
        sums: S, float32 (rows, dim).
    """

    scorer: DeviceScorer
    ids: Tensor
    bags: Mapping[str, Bag]
    logits: Tensor
    sums: Tensor

    def slopes(self, columns: int | Tensor) -> Tensor:
        """Return S − q of one field of each row, float32 (rows, dim).

        Args:
            columns: of the field, int64 (rows,) where it is not the same for all; then none has several values.
        """
        if isinstance(columns, int):
            name = self.scorer.schema.id_names[columns]
            if name in self.bags:
                return self.sums - self.scorer.pooled(name, self.bags[name])[0]
            return self.sums - self.scorer.embeddings_of(self.ids[:, columns], columns)
        own = self.ids.gather(1, columns[:, None])[:, 0]
        return self.sums - self.scorer.embeddings_of(own, columns)

    def value_slopes(self, column: int, bag: Bag, pooling: Pooling) -> Tensor:
        """Return c_j s_q (S − q), or c_j (S − c_j v_j) where each value counts, float32 (values, dim).

        Args:
            column: of the field.
            bag: its values.
            pooling: how they are pooled.
        """
        device = self.scorer.device
        embedding, rows = moved(bag.coefficients(pooling)[0], device)[:, None], moved(bag.rows, device)
        if pooling.each:
            own = self.scorer.embeddings_of(moved(bag.ids, device), column)
            return embedding * (self.sums[rows] - embedding * own)
        return embedding * self.slopes(column)[rows]


@dataclass(frozen=True, eq=False)
class HostRows:
    """Rows scored on a device, for callers in main memory; see ``ScoredRows``.

    Attributes:
        rows: on the device.
    """

    rows: DeviceRows

    @property
    def logits(self) -> Float32Array:
        """Of the rows, float32 (rows,)."""
        return _numpy_of(self.rows.logits)

    @property
    def sums(self) -> Float32Array:
        """S of the rows, float32 (rows, dim)."""
        return _numpy_of(self.rows.sums)

    def slopes(self, columns: int | Int64Array) -> Float32Array:
        """Return S − q of one field of each row, see ``ScoredRows``, float32 (rows, dim).

        Args:
            columns: of the field, int64 (rows,) where it is not the same for all.
        """
        own = columns if isinstance(columns, int) else moved(columns, self.rows.scorer.device)
        return _numpy_of(self.rows.slopes(own))

    def value_slopes(self, column: int, bag: Bag, pooling: Pooling) -> Float32Array:
        """Return the derivative of the logit by the embedding of each value, see ``ScoredRows``, float32 (values, dim).

        Args:
            column: of the field.
            bag: its values.
            pooling: how they are pooled.
        """
        return _numpy_of(self.rows.value_slopes(column, bag, pooling))


def _numpy_of(tensor: Tensor) -> AnyArray:
    found: AnyArray = tensor.cpu().numpy()
    return found
