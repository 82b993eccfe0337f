"""The paper's figures, from the results and histories of the runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runs import LOSSES, SIZES, Run, Workplace, first_seed

Runs = Mapping[str, Sequence[Run]]


def draw(place: Workplace, several: Runs, folder: Path) -> list[str]:
    """Draw all figures, and return their paths as the page beside the folder names them."""
    try:
        import matplotlib
    except ImportError:
        print("matplotlib is not installed: no plots (pip install matplotlib)")
        return []
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "fmcompress"
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for data, runs in several.items():
        for name, figure in ((f"figure4-{data}", _sizes(place, runs)), (f"figure5-{data}", _curves(place, runs))):
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
            names.append(f"{folder.name}/{name}.svg")
    return names


def _sizes(place: Workplace, runs: Sequence[Run]) -> Any:
    """Draw Figure 4: AUC over bytes, of LightFM with each number of codewords and of xLightFM."""
    figure, axes = _figure(1)
    seed = first_seed(runs)
    for method, marker in (("lightfm", "o-"), ("xlightfm", "s")):
        found = [
            place.result(run)
            for run in runs
            if run.method == method and run.seed == seed and (run.codes, run.distance) == ("moving", "popularity")
        ]
        points = sorted((result["bytes"], result["test"]["auc"]) for result in found if result)
        axes[0].plot([size for size, _ in points], [auc for _, auc in points], marker, label=method)
    axes[0].set(xlabel="bytes of the file", ylabel="test AUC", title=runs[0].data)
    axes[0].legend()
    return figure


def _curves(place: Workplace, runs: Sequence[Run]) -> Any:
    """Draw Figure 5: training loss and validation AUC over epochs, for the three losses."""
    figure, axes = _figure(2 * len(SIZES))
    for row, codewords in enumerate(SIZES):
        loss_axes, auc_axes = axes[2 * row : 2 * row + 2]
        for distance in LOSSES:
            matching = [
                run
                for run in runs
                if (run.codewords, run.codes, run.distance, run.seed)
                == (codewords, "moving", distance, first_seed(runs))
            ]
            lines = [line for line in place.history(matching[0]) if line["epoch"]]
            epochs = [line["epoch"] for line in lines]
            loss_axes.plot(epochs, [line["loss"] for line in lines], label=distance)
            auc_axes.plot(epochs, [line["auc"] for line in lines], label=distance)
        loss_axes.set(xlabel="epoch", ylabel="training loss", title=f"{runs[0].data}, K = {codewords}")
        auc_axes.set(xlabel="epoch", ylabel="validation AUC", title=f"{runs[0].data}, K = {codewords}")
        auc_axes.legend(title="distance loss")
    return figure


def _figure(plots: int) -> tuple[Any, list[Any]]:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(max(1, plots // 2), min(plots, 2), squeeze=False, layout="constrained")
    figure.set_size_inches(5.5 * min(plots, 2), 3.6 * max(1, plots // 2))
    return figure, [axis for row in axes for axis in row]
