"""What scores rows with a checkpoint: a factorization machine alone, or one with a network on top of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from fmcompress.devices.working import working_device
from fmcompress.fm.bags import Bag
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.network_scorer import NetworkScorer
from fmcompress.fm.predictor import Predictor
from fmcompress.fm.scored_rows import ScoredRows
from fmcompress.types import Float32Array, Int32Array, Int64Array

if TYPE_CHECKING:
    from torch import Tensor


class CheckpointScorer(Predictor, Protocol):
    """Scores rows with a checkpoint, and says what their logits change by."""

    def score(
        self, ids: Int32Array, values: Float32Array | None = None, bags: Mapping[str, Bag] | None = None
    ) -> ScoredRows:
        """Return rows with their logits, float32 (rows,), and what these change by."""

    def refresh(self, rows: Int64Array, linear: Float32Array) -> None:
        """Take note that weights of some categories have changed in place.

        Args:
            rows: of the tables, int64 (n,).
            linear: their linear weights, float32 (n,).
        """


@runtime_checkable
class OnDevice(Protocol):
    """Scores rows on a device, and can leave what it predicts there."""

    def predictions(
        self, ids: Int32Array, values: Float32Array | None = None, bags: Mapping[str, Bag] | None = None
    ) -> Tensor:
        """Return the predictions of rows, on the device, float32 (rows,); see ``predict``."""


def device_of(checkpoint: FMCheckpoint) -> str | None:
    """Return the torch device that rows are scored on with a checkpoint; None where that is the CPU.

    What has a network is scored by numpy.
    """
    return None if checkpoint.network is not None else working_device()


def scorer_of(checkpoint: FMCheckpoint) -> CheckpointScorer:
    """Return what scores rows with a checkpoint, on the device that heavy work is done on; a network on the CPU."""
    if checkpoint.network is not None:
        return NetworkScorer(checkpoint, checkpoint.network)
    device = device_of(checkpoint)
    if device is not None:
        from fmcompress.fm.device_scorer import DeviceScorer

        return DeviceScorer(checkpoint, device)
    from fmcompress.fm.scorer import FMScorer

    return FMScorer(checkpoint)
