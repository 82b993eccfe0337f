"""How often each category is active: added up batch by batch, by numpy or on a torch device."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from fmcompress.devices.working import working_device
from fmcompress.fm.schema import Schema
from fmcompress.types import Int32Array, Int64Array


class Counts(Protocol):
    """Counts that grow."""

    def add(self, table: int, ids: Int32Array) -> None:
        """Count categories of a table.

        Args:
            table: the table.
            ids: its categories, none of them missing, int32 (n,).
        """

    def total(self) -> Int64Array:
        """Return how often each category was counted, int64 (categories,)."""


class HostCounts:
    """Counts by numpy."""

    def __init__(self, schema: Schema) -> None:
        """Begin with nothing counted of the categories of a schema."""
        self._schema = schema
        self._counts = np.zeros(schema.categories, dtype=np.int64)

    def add(self, table: int, ids: Int32Array) -> None:
        """Count categories of a table, int32 (n,)."""
        self._counts[self._schema.rows(table)] += np.bincount(ids, minlength=self._schema.fields[table].cardinality)

    def total(self) -> Int64Array:
        """Return how often each category was counted, int64 (categories,)."""
        return self._counts


class DeviceCounts:
    """Counts by torch; they are integers, so that the order in which they are added makes no difference."""

    def __init__(self, schema: Schema, device: str) -> None:
        """Begin with nothing counted.

        Args:
            schema: the fields.
            device: a torch device.
        """
        import torch

        self._schema, self._device = schema, device
        self._counts = torch.zeros(schema.categories, dtype=torch.int64, device=device)

    def add(self, table: int, ids: Int32Array) -> None:
        """Count categories of a table, int32 (n,)."""
        from fmcompress.devices.moving import moved

        places = moved(ids, self._device).long() + self._schema.rows(table).start
        self._counts.scatter_add_(0, places, self._counts.new_ones(1).expand_as(places))

    def total(self) -> Int64Array:
        """Return how often each category was counted, int64 (categories,)."""
        found: Int64Array = self._counts.cpu().numpy()
        return found


def counts_of_rows(schema: Schema) -> Counts:
    """Return counts of nothing, on the device that heavy work is done on."""
    device = working_device()
    return HostCounts(schema) if device is None else DeviceCounts(schema, device)
