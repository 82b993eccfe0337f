"""Sizes in bytes: reading ``10MB`` and writing it, in one place."""

import re
from decimal import Decimal

from fmcompress.errors import UsageError

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)", re.IGNORECASE | re.ASCII)
_LARGEST_BYTES = 2**50


def parse_size(text: str | int) -> int:
    """Return the bytes that a size such as ``139KB``, ``10 MB``, ``1.5MiB`` or ``4096`` names.

    Args:
        text: a number and a unit: B, KB, MB, GB (powers of 10), KiB, MiB, GiB (powers of 2). Without a
            unit, or as an int, bytes. A fraction of a byte is cut off.

    Raises:
        UsageError: it is no size, zero, negative, or above 1 PiB.
    """
    hint = "write a number and a unit, such as 139KB, 10MB or 1.5MiB"
    match = _SIZE.fullmatch(str(text).strip())
    unit = _UNITS.get(match[2].upper()) if match else None
    if match is None or unit is None:
        raise UsageError(f"{str(text)!r} is not a size in bytes", hint=hint)
    size_bytes = int(Decimal(match[1]) * unit)
    if not 0 < size_bytes <= _LARGEST_BYTES:
        raise UsageError(f"size {str(text)!r} is not between 1 byte and 1 PiB", hint=hint)
    return size_bytes


def short_size(size_bytes: float) -> str:
    """Return a size in three digits and a unit, as on axes: ``139 KB``."""
    for name in ("GB", "MB", "KB"):
        if size_bytes >= 0.9995 * _UNITS[name]:  # 999.7 KB would be 1e+03 KB
            return f"{size_bytes / _UNITS[name]:.3g} {name}"
    return f"{size_bytes:.3g} B"


def format_size(size_bytes: int) -> str:
    """Return a size with its exact bytes beside: ``139.0 KB (139,000 bytes)``."""
    exact = f"{size_bytes:,} bytes"
    for unit in ("GB", "MB", "KB"):
        if size_bytes >= _UNITS[unit]:
            return f"{size_bytes / _UNITS[unit]:.1f} {unit} ({exact})"
    return exact
