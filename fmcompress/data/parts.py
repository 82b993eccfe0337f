"""Parts of the rows: all of them, or every 20th held out for validation."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from fmcompress.data.batch import Batch
from fmcompress.errors import DataError

Part = Literal["all", "most", "held-out"]
"""All rows; or all but every 20th, ``most``; or just every 20th, ``held-out``."""

_HELD_OUT_EVERY = 20


def part_rows(path: str | Path, total: int, part: Part) -> int:
    """Return how many of ``total`` rows belong to a part.

    Raises:
        DataError: there is none.
    """
    if total == 0:
        raise DataError(f"{path}: holds no rows")
    held_out = total // _HELD_OUT_EVERY
    if part != "all" and held_out == 0:
        raise DataError(
            f"{path}: its {total} rows are too few to hold every {_HELD_OUT_EVERY}th out for validation",
            hint="give validation rows with --valid",
        )
    return {"all": total, "most": total - held_out, "held-out": held_out}[part]


def part_of(batch: Batch, start: int, part: Part) -> Batch:
    """Return the rows of a batch that belong to a part; its first row is number ``start`` of all rows."""
    if part == "all":
        return batch
    held_out = np.arange(start, start + len(batch)) % _HELD_OUT_EVERY == _HELD_OUT_EVERY - 1
    return batch.take(held_out if part == "held-out" else ~held_out)
