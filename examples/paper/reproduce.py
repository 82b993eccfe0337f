"""Reproduces the paper's Table 2 (FM, LightFM, xLightFM) and Figures 4, 5 and 6, with one command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Optional

import typer
from plots import draw
from runs import Workplace, all_runs, carry_out_all
from tables import page, write_between

_DOCS = Path(__file__).parents[2] / "docs"


def main(
    data: Annotated[Path, typer.Option("--data", help="Folder of the sets, each with train, valid and test.parquet.")],
    work: Annotated[Path, typer.Option("--work", help="Folder for models and results; what is there is not redone.")],
    sets: Annotated[str, typer.Option("--sets", help="Names of the sets.")] = "frappe,ml1m",
    epochs: Annotated[str, typer.Option("--epochs", help="Epochs of tuning: of each set, or of all.")] = "8,5",
    seeds: Annotated[str, typer.Option("--seeds", help="Seeds.")] = "0,1,2",
    search_steps: Annotated[int, typer.Option("--search-steps", min=1, help="Steps of xLightFM's search.")] = 3500,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Runs side by side.")] = 1,
    only_tables: Annotated[bool, typer.Option("--only-tables", help="Run nothing; use what is there.")] = False,
    timings: Annotated[bool, typer.Option(help="Measure times, for Figure 6: the machine should be idle.")] = True,
    results: Annotated[Optional[Path], typer.Option("--results", help="Page to write into.")] = None,  # noqa: UP045
) -> None:
    """Make all models that are missing, then the tables and plots."""
    names = sets.split(",")
    passes = [int(number) for number in epochs.split(",")]
    if len(passes) == 1:
        passes *= len(names)
    work.mkdir(parents=True, exist_ok=True)
    place = Workplace(data, work)
    several = {
        name: all_runs(name, number, [int(seed) for seed in seeds.split(",")], search_steps)
        for name, number in zip(names, passes, strict=True)
    }
    if not only_tables:
        # Sets take turns, so that each has its most telling runs early.
        longest = max(len(runs) for runs in several.values())
        runs = [runs[i] for i in range(longest) for runs in several.values() if i < len(runs)]
        fms = [run for run in runs if run.method == "fm"]
        for group in (fms, runs):
            for run, found in carry_out_all(place, group, jobs=jobs):
                auc, seconds = found["test"]["auc"], found["seconds"]
                print(f"{run.name}: AUC {auc:.5f}, {found['bytes']:,} bytes, {seconds:.0f} s", file=sys.stderr)
    target = results or _DOCS / "results.md"
    figures = draw(place, several, target.parent / "figures")
    write_between(target, page(place, several, figures, timings=timings))
    print(f"{target} has the tables")


if __name__ == "__main__":
    typer.run(main)
