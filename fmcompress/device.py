"""Which device training runs on."""

from __future__ import annotations

from typing import Literal

from fmcompress.errors import UsageError

Device = Literal["auto", "cpu", "cuda"]


def resolve_device(device: str) -> str:
    """Return the torch device that ``auto``, ``cpu`` or ``cuda`` stands for; ``auto`` is a GPU where there is one.

    Raises:
        UsageError: it is none of them, or there is no GPU.
    """
    import torch

    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"device is {device!r}, expected auto, cpu or cuda")
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise UsageError("torch finds no CUDA GPU", hint="--device cpu, or a torch built for CUDA")
    return "cuda" if device != "cpu" and available else "cpu"
