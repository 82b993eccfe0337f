"""Figures as files, the same bytes for the same results."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def save_figures(figures: Mapping[str, Callable[[], Any]], folder: Path) -> list[str]:
    """Draw figures, and return their paths as the page beside the folder names them; without matplotlib there are none.

    Args:
        figures: what draws each, by the name of its file.
        folder: where they go.
    """
    try:
        import matplotlib
    except ImportError:
        print("matplotlib is not installed: no plots (pip install matplotlib)", file=sys.stderr)
        return []
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "fmcompress"
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in figures.items():
        draw().savefig(folder / name, metadata={"Date": None})
    return [f"{folder.name}/{name}" for name in figures]
