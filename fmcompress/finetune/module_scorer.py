"""Predictions of a compressed factorization machine on a torch device, by the module that tuning trains.

Codes and codebooks lie there as they are; no embedding is decoded but those of a batch's rows.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from fmcompress.artifact import PackedFM, unpack_model
from fmcompress.data.batch import Batch
from fmcompress.devices.working import working_device
from fmcompress.evaluation.predictors import Model, predictor
from fmcompress.finetune.inputs import InputsOf
from fmcompress.finetune.quantized_module import QuantizedModule
from fmcompress.fm.bags import Bag
from fmcompress.fm.device_links import predictions
from fmcompress.fm.links import parse_link
from fmcompress.fm.predictor import Predictor
from fmcompress.types import Float32Array, Int32Array

_CHUNK_ROWS = 65_536


class ModuleScorer:
    """Scores rows with a compressed factorization machine, numbers and codes as its file has them."""

    def __init__(self, model: PackedFM, device: str) -> None:
        """Move codes and codebooks to a device.

        Args:
            model: the compressed factorization machine.
            device: a torch device.
        """
        quantized = unpack_model(model)
        self._module = QuantizedModule(quantized, sparse=False).to(device).eval()
        self._inputs = InputsOf(model.tiers, quantized.numeric, device)
        self._link = parse_link(model.link)

    @torch.no_grad()
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
            ids: checked category ids, -1 where one is missing, int32 (rows, ids).
            values: of the numeric fields, 0 where one is missing, float32 (rows, numeric fields); None where there are
                none.
            bags: values of the fields that have several in a row, by name; their ids are -1.
            threads: of no use here.
        """
        batch = Batch(ids, np.zeros(len(ids), dtype=np.float32), values, bags=bags or {})  # type: ignore[arg-type]
        found = [
            predictions(self._link, self._module(self._inputs(batch.take(slice(first, first + _CHUNK_ROWS)))))
            for first in range(0, len(batch), _CHUNK_ROWS)
        ]
        return torch.cat(found).cpu().numpy() if found else np.empty(0, dtype=np.float32)


def predictor_at_work(model: Model) -> Predictor:
    """Return what scores rows with a model, on the device that heavy work is done on."""
    device = working_device()
    return ModuleScorer(model, device) if device is not None and isinstance(model, PackedFM) else predictor(model)
