"""The size-quality curve as a picture: SVG, PNG or PDF."""

from __future__ import annotations

import io
import math
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmcompress.errors import DependencyError, UsageError
from fmcompress.files import check_writable, replacing
from fmcompress.reporting.charts import curve_axes
from fmcompress.reporting.curve import Curve, CurvePanel, CurvePoint
from fmcompress.sizes import short_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Metadata of each kind of file: none of them tells the time, so that the same curve is the same bytes.
_KINDS: dict[str, dict[str, Any]] = {".svg": {"Date": None}, ".png": {}, ".pdf": {"CreationDate": None}}

_SETTINGS: Any = {"svg.hashsalt": "fmcompress", "font.size": 10.0, "savefig.dpi": 160.0, "axes.grid": True,
                             "grid.alpha": 0.4}  # fmt: skip
_PANEL_INCHES = (5.2, 4.0)
_LEGEND_COLUMNS_PER_PANEL = 2

_OURS = ("#0072B2", "o", "-")
_SOURCE = ("#555555", "FM")
# Colours that people who see few colours can tell apart, and a marker of its own for each.
_BASELINES = (
    ("#D55E00", "s", "--"), ("#009E73", "^", "--"), ("#CC79A7", "D", "--"), ("#E69F00", "v", "--"),
    ("#56B4E9", "P", "--"), ("#000000", "X", "--"), ("#8C564B", "<", "--"), ("#7F7F00", ">", "--"),
    ("#5D3A9B", "*", "--"),
)  # fmt: skip


def check_plot(path: Path, *, force: bool = False) -> None:
    """Raise now what ``save_plot`` would raise at the end of a long job.

    Raises:
        UsageError: the name ends in none of .svg, .png and .pdf.
        DependencyError: matplotlib is not installed.
        OutputError: the file cannot be written, or it exists and ``force`` is not set.
    """
    if path.suffix.lower() not in _KINDS:
        raise UsageError(f"{path} is no name for a plot, expected one that ends in {', '.join(_KINDS)}")
    if find_spec("matplotlib") is None:
        raise DependencyError("a plot needs matplotlib, which is not installed", hint="pip install 'fmcompress[plot]'")
    check_writable(path, force=force)


def save_plot(curve: Curve, path: str | Path, *, force: bool = False) -> None:
    """Draw a curve: AUC and LogLoss over bytes, or without labelled data the predicted rise of LogLoss.

    Args:
        curve: what to draw.
        path: file to write, .svg, .png or .pdf; the same curve gives the same bytes.
        force: replace a file that exists.

    Raises:
        UsageError, DependencyError, OutputError: see ``check_plot``.
    """
    path = Path(path)
    check_plot(path, force=force)
    with replacing(path, force=force) as file:
        file.write(drawn(curve, path.suffix.lower()))


def drawn(curve: Curve, kind: str) -> bytes:
    """Return the picture as the bytes of a file; ``kind`` is .svg, .png or .pdf."""
    import matplotlib

    memory = io.BytesIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # whatever its user has set
        matplotlib.rcParams.update(_SETTINGS)
        _figure(curve).savefig(memory, format=kind.removeprefix("."), metadata=_KINDS[kind])
    return memory.getvalue()


def _figure(curve: Curve) -> Figure:
    from matplotlib.figure import Figure

    panels = curve.panels()
    width, height = _PANEL_INCHES
    figure = Figure(figsize=(width * len(panels), height), layout="constrained")
    figure.suptitle(curve.checkpoint.name.replace("$", r"\$"))
    lines = curve.lines()
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw(axes, panel, lines)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=1 + _LEGEND_COLUMNS_PER_PANEL * len(panels))
    return figure


def _draw(axes: Axes, panel: CurvePanel, lines: dict[str, list[CurvePoint]]) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

    colour, name = _SOURCE
    axes.axhline(panel.source, color=colour, linestyle=":", label=name)
    of_baselines = 0
    for label, points in lines.items():
        colour, marker, style = _OURS
        if points[0].baseline is not None:
            colour, marker, style = _BASELINES[of_baselines % len(_BASELINES)]
            of_baselines += 1
        axes.plot(
            [point.file_bytes or 0 for point in points],
            [math.nan if (figure := panel.of(point)) is None else figure for point in points],
            color=colour, marker=marker, linestyle=style, label=label,
        )  # fmt: skip
    sizes, _ = curve_axes(panel, [point for points in lines.values() for point in points])
    axes.set(xscale="log", xlabel="bytes of the file", ylabel=panel.label, xlim=(sizes.low, sizes.high))
    axes.xaxis.set_major_locator(FixedLocator(sizes.ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda size, _: short_size(size))
