"""Where rows are scored when nothing is trained: by the native core, or on a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fmcompress.devices.working import working_on
from fmcompress.evaluation.predictors import Model
from fmcompress.fm.predictor import Predictor
from fmcompress.training.device import Device, resolve_device


@contextmanager
def scorer_on(device: Device, model: Model) -> Iterator[Predictor | None]:
    """Yield what scores rows with a model on a device in this block; None where the CPU does, as it always does.

    Args:
        device: ``cpu``, for which torch is not imported, ``cuda`` or ``auto``.
        model: a checkpoint or a compressed factorization machine.

    Raises:
        UsageError: there is no such device, or its memory is full.
    """
    where = "cpu" if device == "cpu" else resolve_device(device)
    if where == "cpu":
        yield None
        return
    from fmcompress.finetune.module_scorer import predictor_at_work

    with working_on(where):
        yield predictor_at_work(model)
