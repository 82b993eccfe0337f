"""The curves: AUC and LogLoss of each system over bytes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pictures import save_figures
from points import at_ratio
from study import OURS, Study

_PANEL = (6.5, 5.0)
_SCORES = {"auc": "test AUC − the FM's", "logloss": "test LogLoss − the FM's"}
_MARKERS = "osv^<>Dp*hXPd"


def draw(studies: Sequence[Study], folder: Path) -> list[str]:
    """Draw the curves of each set, and return the paths of the pictures as the page beside the folder names them."""
    return save_figures({f"benchmark-{study.data}.svg": partial(_curves, study) for study in studies}, folder)


def _curves(study: Study) -> Any:
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(_SCORES), layout="constrained")
    figure.set_size_inches(_PANEL[0] * len(_SCORES), _PANEL[1])
    for axes, (score, label) in zip(panels, _SCORES.items(), strict=True):
        for number, system in enumerate(study.settings.systems):
            found = [one for ratio in study.settings.ratios if (one := at_ratio(study, system, ratio)) is not None]
            sizes, changes = [one.mean_bytes for one in found], [one.mean(score) for one in found]
            own = system in OURS
            style = {"linewidth": 2.5 if own else 1.0, "color": f"C{number % 10}" if own else None}
            axes.plot(sizes, changes, marker=_MARKERS[number % len(_MARKERS)], markersize=4, label=system, **style)
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set(xscale="log", yscale="symlog", xlabel="bytes of the file", ylabel=label, title=study.data)
        axes.set_yscale("symlog", linthresh=0.002)
    panels[0].legend(fontsize=7, ncols=2)
    return figure
