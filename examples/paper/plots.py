"""The paper's figures, from the results of the cells."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from grid import Study
from pictures import save_figures
from tables import times_of

_PANEL = (5.5, 3.6)
_MILLISECONDS = 1e3


def draw(studies: Sequence[Study], folder: Path) -> list[str]:
    """Draw all figures, and return their paths as the page beside the folder names them."""
    drawn = {4: _sizes, 5: _curves, 6: _times}
    figures = {
        f"figure{number}-{study.data}.svg": partial(draw_one, study)
        for study in studies
        for number, draw_one in drawn.items()
    }
    return save_figures(figures, folder)


def _sizes(study: Study) -> Any:
    """Draw Figure 4: AUC over bytes, of LightFM with each number of codewords and of xLightFM; bars are deviations."""
    figure, (axes,) = _figure(1)
    for start, marker in (("LightFM", "o-"), ("xLightFM", "s")):
        points = []
        for title, cells in study.figure_4.items():
            found = [result for result in map(study.place.result, cells) if result is not None]
            if found and title.startswith(start):
                aucs = [result["test"]["auc"] for result in found]
                spread = statistics.stdev(aucs) if len(aucs) > 1 else 0.0
                points.append((statistics.mean(result["bytes"] for result in found), statistics.mean(aucs), spread))
        sizes, aucs, spreads = zip(*sorted(points), strict=True) if points else ((), (), ())
        axes.errorbar(sizes, aucs, yerr=spreads, fmt=marker, label=start, capsize=3)
    axes.set(xlabel="bytes of the file", ylabel="test AUC", title=study.data)
    axes.legend()
    return figure


def _curves(study: Study) -> Any:
    """Draw Figure 5: LogLoss on training rows and AUC on validation rows over epochs, mean over seeds."""
    figure, (loss_axes, auc_axes) = _figure(2)
    for title, cells in study.figure_5.items():
        curves = [result["curve"] for result in map(study.place.result, cells) if result is not None]
        for axes, score in ((loss_axes, "loss"), (auc_axes, "auc")):
            epochs = [[epoch for epoch in curve if epoch[score] is not None] for curve in curves]
            means = [statistics.mean(each[score] for each in same) for same in zip(*epochs, strict=True)]
            axes.plot([epoch["epoch"] for epoch in epochs[0]] if epochs else [], means, "o-", label=title)
    loss_axes.set(xlabel="epoch", ylabel="training LogLoss", title=study.data)
    auc_axes.set(xlabel="epoch", ylabel="validation AUC", title=study.data)
    auc_axes.legend()
    return figure


def _times(study: Study) -> Any:
    """Draw Figure 6: times of training and of inference."""
    figure, panels = _figure(2)
    found = {title: times for title, times in times_of(study).items() if times is not None}
    for number, (axes, what) in enumerate(zip(panels, ("training step", "inference of a batch"), strict=True)):
        axes.barh(list(found), [times[number] * _MILLISECONDS for times in found.values()])
        axes.invert_yaxis()
        axes.set(xlabel=f"{what}, ms", title=study.data)
    return figure


def _figure(panels: int) -> tuple[Any, list[Any]]:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, panels, squeeze=False, layout="constrained")
    figure.set_size_inches(_PANEL[0] * panels, _PANEL[1])
    return figure, list(axes[0])
