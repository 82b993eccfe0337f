"""Reproduces the paper's Tables 1, 2 and 3 and Figures 4, 5 and 6, with one command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

sys.path.insert(0, str(Path(__file__).parents[1] / "cells"))

from cells import Place
from command import chosen_cells, list_cells, make_cells, of_sets
from grid import Settings, Study

_DOCS = Path(__file__).parents[2] / "docs"


def main(
    data: Annotated[Path, typer.Option("--data", help="Folder of the sets, each with train, valid and test.parquet.")],
    work: Annotated[Path, typer.Option("--work", help="Folder for models and results; what is there is not redone.")],
    sets: Annotated[str, typer.Option("--sets", help="Names of the sets.")] = "frappe,ml1m,gowalla",
    epochs: Annotated[str, typer.Option("--epochs", help="Epochs of tuning: of each set, or of all.")] = "8,5,3",
    seeds: Annotated[str, typer.Option("--seeds", help="Seeds.")] = "0,1,2",
    search_steps: Annotated[
        Optional[int], typer.Option("--search-steps", min=1, help="Steps of xLightFM's search.")  # noqa: UP045
    ] = None,
    darts_steps: Annotated[
        Optional[int], typer.Option("--darts-steps", min=1, help="Steps of the paper's search.")  # noqa: UP045
    ] = None,
    cells: Annotated[str, typer.Option("--cells", help="Patterns of cells to make: frappe-*,*-auto-seed0.")] = "*",
    until: Annotated[
        Optional[str], typer.Option("--until", metavar="HH:MM", help="Begin no cell after this time.")  # noqa: UP045
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Cells side by side, of one thread each.")] = 1,
    only_tables: Annotated[bool, typer.Option("--only-tables", help="Make nothing; use what is there.")] = False,
    show_cells: Annotated[bool, typer.Option("--list", help="List cells and whether they are there.")] = False,
    results: Annotated[Optional[Path], typer.Option("--results", help="Page to write into.")] = None,  # noqa: UP045
) -> None:
    """Make all cells that are missing, then the tables and plots."""
    work.mkdir(parents=True, exist_ok=True)
    studies = _studies(
        Place(data, work), sets, epochs, seeds, {"search_steps": search_steps, "darts_steps": darts_steps}
    )
    chosen = chosen_cells(studies, cells)
    if show_cells:
        list_cells(studies[0].place, chosen)
        return
    failed = [] if only_tables else make_cells(studies[0].place, chosen, jobs, until)
    from page import write_page

    print(write_page(studies, results or _DOCS / "results.md"))
    if failed:
        raise typer.Exit(1)


def _studies(place: Place, sets: str, epochs: str, seeds: str, steps: dict[str, int | None]) -> list[Study]:
    names = sets.split(",")
    passes = of_sets(epochs, names)
    numbers = tuple(int(seed) for seed in seeds.split(","))
    return [Study(place, name, Settings(numbers, number, **steps)) for name, number in zip(names, passes, strict=True)]


if __name__ == "__main__":
    typer.run(main)
