"""What errors cost on rows of data, summed up on a torch device; see ``moments``.

A batch's products are summed in fp32, as numpy sums them, and batches in float64: what the order of the former makes of
H_f is a few millionths of its largest entry.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fmcompress.devices.moving import moved
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.device_links import curvatures
from fmcompress.fm.device_scorer import DeviceRows, DeviceScorer
from fmcompress.quantization.moments import Moments

if TYPE_CHECKING:
    from fmcompress.data.batch import Batch


class DeviceMoments:
    """Sums them with torch; nothing is read from the device before ``sums``."""

    def __init__(self, checkpoint: FMCheckpoint, device: str) -> None:
        """Begin with no rows.

        Args:
            checkpoint: the factorization machine, without a network.
            device: a torch device.
        """
        self._schema = checkpoint.schema
        self._scorer = DeviceScorer(checkpoint, device)
        self._counted = Moments.none(checkpoint.schema, checkpoint.dim)
        self._hessians = moved(self._counted.hessians.copy(), device)
        self._curvatures = moved(self._counted.curvatures.copy(), device)

    def add(self, batch: Batch) -> None:
        """Add the rows of a batch."""
        ids = moved(batch.ids, self._scorer.device)
        rows = self._scorer.rows_of(ids, batch.values, batch.bags)
        root = curvatures(self._scorer.link, rows.logits.double()).sqrt().float()
        for column, (name, table) in enumerate(zip(self._schema.id_names, self._schema.tables.tolist(), strict=True)):
            if name in batch.bags:
                slopes, linear = self._of_values(batch, name, column, rows, root)
                present = len(batch.bags[name].ids)
                self._counted.bag_values[table] += present
            else:
                linear = root * (ids[:, column] >= 0)
                slopes = rows.slopes(column) * linear[:, None]
                present = int((batch.ids[:, column] >= 0).sum())
            self._hessians[table] += slopes.T @ slopes
            self._curvatures[table] += linear.double().square().sum()
            self._counted.present_rows[table] += present

    def _of_values(self, batch: Batch, name: str, column: int, rows: DeviceRows, root: Tensor) -> tuple[Tensor, Tensor]:
        """Return √c times the derivatives by the embedding and the linear weight of each value of a bag."""
        device, bag, pooling = self._scorer.device, batch.bags[name], self._schema.poolings[name]
        own = root[moved(bag.rows, device)]
        factors = moved(bag.coefficients(pooling)[1], device)
        return rows.value_slopes(column, bag, pooling) * own[:, None], own * factors

    def sums(self) -> Moments:
        """Return the sums over all rows so far, in main memory."""
        hessians, of_linear = (torch.clone(found).cpu().numpy() for found in (self._hessians, self._curvatures))
        return replace(self._counted, hessians=hessians, curvatures=of_linear)
