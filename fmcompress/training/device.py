"""Which device training runs on."""

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


def device_kind(device: str) -> str:
    """Return what a torch device is, down to the model of a GPU: another one may round otherwise."""
    if device == "cpu":
        return device
    import torch

    return f"{device} ({torch.cuda.get_device_name(device)})"
