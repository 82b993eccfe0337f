"""The device that heavy work is done on: k-means, counting, scoring, what errors cost.

It is asked for where the work is done, not handed down through all functions between: ``working_on`` sets it for a
block, in this thread and in those that ``quantization.parallel`` starts. On the CPU numpy, faiss and the native core do
the work; on any other device torch does, and faiss where it is built for GPUs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from fmcompress.errors import UsageError

_DEVICE: ContextVar[str | None] = ContextVar("device", default=None)
_FULL = ("out of memory", "alloc_failed")
"""What torch, cuBLAS and faiss say, in small letters, where the memory of a GPU is full."""


def working_device() -> str | None:
    """Return the torch device that heavy work is done on; None where it is the CPU, and torch is not needed."""
    return _DEVICE.get()


@contextmanager
def working_on(device: str | None) -> Iterator[None]:
    """Let heavy work in this block be done on a device.

    Args:
        device: a torch device; ``cpu`` and None leave it to numpy, faiss and the native core.

    Raises:
        UsageError: the memory of the device is full.
    """
    token = _DEVICE.set(device if device is not None and offloads(device) else None)
    try:
        yield
    except RuntimeError as error:
        if working_device() is None or not _is_full(error):
            raise
        raise UsageError(
            f"the memory of the device {working_device()} is full", hint="a smaller --batch-size, or --device cpu"
        ) from error
    finally:
        _DEVICE.reset(token)


def work_on(device: str | None) -> None:
    """Let heavy work of this thread be done on a device, from now on: what a thread begins with.

    Args:
        device: as ``working_device`` returns it.
    """
    _DEVICE.set(device)


def offloads(device: str) -> bool:
    """Return whether torch does the heavy work on a device."""
    return device != "cpu"


def _is_full(error: RuntimeError) -> bool:
    told = str(error).lower()
    return type(error).__name__ == "OutOfMemoryError" or any(text in told for text in _FULL)
