"""The size-quality curves of ``auto`` and of every baseline, on any sets, with one command that can be broken off."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Optional

import typer

sys.path.insert(0, str(Path(__file__).parents[1] / "cells"))

import tables
from cells import Place
from command import chosen_cells, list_cells, make_cells, of_sets
from markdown import write_between
from plots import draw
from study import SYSTEMS, Settings, Study

_DOCS = Path(__file__).parents[2] / "docs"


def main(
    data: Annotated[Path, typer.Option("--data", help="Folder of the sets, each with train, valid and test.parquet.")],
    work: Annotated[Path, typer.Option("--work", help="Folder for models and results; what is there is not redone.")],
    sets: Annotated[str, typer.Option("--sets", help="Names of the sets.")] = "ml1m,frappe,gowalla",
    ratios: Annotated[str, typer.Option("--ratios", help="Checkpoint's bytes over the file's.")] = "10,20,40,80,160",
    seeds: Annotated[str, typer.Option("--seeds", help="Seeds, of training too.")] = "0,1,2",
    systems: Annotated[str, typer.Option("--systems", help="Systems; all by default.")] = ",".join(SYSTEMS),
    epochs: Annotated[
        Optional[int], typer.Option("--epochs", min=0, help="Epochs of tuning auto; its own by default.")  # noqa: UP045
    ] = None,
    baseline_epochs: Annotated[
        str, typer.Option("--baseline-epochs", help="Epochs of tuning baselines: of each set, or of all.")
    ] = "15",
    cells: Annotated[str, typer.Option("--cells", help="Patterns of cells to make: frappe-*,*-auto-seed0.")] = "*",
    until: Annotated[
        Optional[str], typer.Option("--until", metavar="HH:MM", help="Begin no cell after this time.")  # noqa: UP045
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Cells side by side, of one thread each.")] = 1,
    only_tables: Annotated[bool, typer.Option("--only-tables", help="Make nothing; use what is there.")] = False,
    show_cells: Annotated[bool, typer.Option("--list", help="List cells and whether they are there.")] = False,
    results: Annotated[Optional[Path], typer.Option("--results", help="Page to write into.")] = None,  # noqa: UP045
) -> None:
    """Make all cells that are missing, then the tables and curves."""
    work.mkdir(parents=True, exist_ok=True)
    unknown = set(systems.split(",")) - set(SYSTEMS)
    if unknown:
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}, expected {', '.join(SYSTEMS)}")
    place, names = Place(data, work), sets.split(",")
    passes = of_sets(baseline_epochs, names)
    numbers = tuple(map(float, ratios.split(","))), tuple(map(int, seeds.split(",")))
    own = tuple(systems.split(","))
    studies = [
        Study(place, name, Settings(*numbers, epochs, number, own)) for name, number in zip(names, passes, strict=True)
    ]
    chosen = chosen_cells(studies, cells)
    if show_cells:
        list_cells(place, chosen)
        return
    failed = [] if only_tables else make_cells(place, chosen, jobs, until)
    print(write_page(studies, results or _DOCS / "results.md"))
    if failed:
        raise typer.Exit(1)


def write_page(studies: Sequence[Study], path: Path) -> str:
    """Put all tables, and links to the curves, between the markers of a page, and return them."""
    parts = [f"### The factorization machines\n\n{tables.sources(studies)}"]
    pictures = draw(studies, path.parent / "figures")
    for number, study in enumerate(studies):
        parts.append(f"### {study.data}: AUC, above the FM's\n\n{tables.aucs(study)}")
        parts.append(f"### {study.data}: LogLoss, above the FM's\n\n{tables.loglosses(study)}")
        if pictures:
            parts.append(f"![{study.data}]({pictures[number]})")
    parts.append(f"### Where a baseline is ahead of `auto`\n\n{tables.ahead_of_auto(studies)}")
    text = "\n\n".join(parts)
    write_between(path, "examples/benchmark", text)
    return text


if __name__ == "__main__":
    typer.run(main)
