"""The rows of categories on a torch device: first and second derivatives of the loss; see ``reassignment``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fmcompress.data.batch import Batch
from fmcompress.devices.moving import moved, sums_of_groups
from fmcompress.fm.device_links import curvatures, slopes
from fmcompress.fm.device_scorer import DeviceRows, DeviceScorer
from fmcompress.methods.auto.values_by_category import Pooled, share_of
from fmcompress.processes.world import World
from fmcompress.types import AnyArray, Float32Array, Int64Array

_CHUNK_ROWS = 16_384


class DeviceSample:
    """A sample of rows whose ids lie on a device, beside the tables of what scores them."""

    def __init__(self, sample: Batch, targets: Float32Array, scorer: DeviceScorer) -> None:
        """Move the ids.

        Args:
            sample: the rows.
            targets: t, float32 (rows,).
            scorer: of the model with all codes as they are.
        """
        self.scorer, self.device = scorer, scorer.device
        self.ids, self.targets = moved(sample.ids, self.device), moved(targets, self.device)
        self._values, self._bags = sample.values, sample.bags

    def scored(self, rows: Tensor, host_rows: Int64Array) -> DeviceRows:
        """Return some rows with their logits.

        Args:
            rows: int64 (n,).
            host_rows: the same in main memory.
        """
        bags = {name: bag.take(host_rows) for name, bag in self._bags.items()}
        return self.scorer.rows_of(self.ids[rows], self._values[host_rows], bags)


class DeviceRowsByCategory:
    """The rows in which the categories of one tier are active, sorted by category, on a device."""

    einsum = staticmethod(torch.einsum)

    def __init__(
        self,
        sample: DeviceSample,
        categories: Int64Array,
        rows: Int64Array,
        columns: Int64Array,
        pooled: Mapping[int, Pooled],
        most_rows: int,
    ) -> None:
        """Move what is known of the rows.

        Args:
            sample: all rows.
            categories: of the sorted rows, rising, int64 (n,).
            rows: the sorted rows, int64 (n,).
            columns: place of the fields in which they hold the categories, int64 (n,).
            pooled: of each such place of a bag, what the values in it are multiplied by.
            most_rows: rows of a category that tell its curvature.
        """
        self._sample, self._host_categories, self._host_rows = sample, categories, rows
        self._categories, self._rows, self._columns = map(self.there, (categories, rows, columns))
        self._pooled = {column: _OnDevice.of(own, self.there) for column, own in pooled.items()}
        starts = torch.searchsorted(self._categories, self._categories)
        counts = torch.searchsorted(self._categories, self._categories, right=True) - starts
        self._kept = torch.arange(len(rows), device=sample.device) - starts < most_rows
        self._scales = (counts / counts.clamp_max(most_rows)).float()

    def there(self, array: AnyArray) -> Tensor:
        """Return an array on the device, float32 (…), or of codes int64 (n, codes)."""
        return moved(array.astype(np.int64) if array.dtype == np.uint16 else array, self._sample.device)

    def back(self, found: Tensor) -> AnyArray:
        """Return codes in main memory, int64 (n, codes)."""
        array: AnyArray = found.cpu().numpy()
        return array

    def share(self, categories: int, world: World) -> slice:
        """Return the categories, of so many, that this process assigns anew: all of them take equally long."""
        return share_of(self._host_categories, categories, world)

    def derivatives(self, current: Tensor, block: slice) -> tuple[Tensor, Tensor]:
        """Return g_i, float32 (n, dim + 1), and H_i, float32 (n, dim + 1, dim + 1), of a block of categories.

        Args:
            current: embeddings of the categories, float32 (n, dim).
            block: these categories.
        """
        total, size = len(current), current.shape[1] + 1
        gradients = torch.zeros((total, size), device=current.device)
        hessians = torch.zeros((total, size * size), device=current.device)
        start, end = np.searchsorted(self._host_categories, [block.start, block.stop]).tolist()
        for first in range(start, end, _CHUNK_ROWS):
            values = slice(first, min(first + _CHUNK_ROWS, end))
            own = self._categories[values] - block.start
            scored = self._sample.scored(self._rows[values], self._host_rows[values])
            logits, targets = scored.logits.double(), self._sample.targets[self._rows[values]].double()
            link, u = self._sample.scorer.link, self._directions(scored, current, own, values)
            gradients += sums_of_groups(u * slopes(link, logits, targets).float()[:, None], own, total)
            kept = torch.nonzero(self._kept[values])[:, 0]
            root = u[kept] * (curvatures(link, logits).float() * self._scales[values]).sqrt()[kept, None]
            outer = (root[:, :, None] * root[:, None, :]).reshape(len(root), size * size)
            hessians += sums_of_groups(outer, own[kept], total)
        return gradients, hessians.reshape(-1, size, size)

    def _directions(self, scored: DeviceRows, current: Tensor, own: Tensor, values: slice) -> Tensor:
        """Return u of each row, what its logit changes by with q', float32 (n, dim + 1)."""
        ones = torch.ones_like(scored.logits)[:, None]
        u = torch.cat([scored.slopes(self._columns[values]), ones], dim=1)
        for column, pooled in self._pooled.items():
            embedding, linear = pooled.embedding[values, None], pooled.linear[values, None]
            rest = scored.sums - embedding * current[own] if pooled.each else scored.slopes(column)
            u = torch.where(pooled.own[values, None], torch.cat([embedding * rest, linear], dim=1), u)
        return u


@dataclass(frozen=True)
class _OnDevice:
    """What values of one tier in the bags of one field are multiplied by, see ``Pooled``."""

    own: Tensor
    embedding: Tensor
    linear: Tensor
    each: bool

    @classmethod
    def of(cls, pooled: Pooled, there: Callable[[Any], Tensor]) -> _OnDevice:
        return cls(there(pooled.own), there(pooled.embedding), there(pooled.linear), pooled.each)
