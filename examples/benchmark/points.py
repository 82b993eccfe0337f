"""The points of the curves: of each system and seed the best within a ratio's bytes, and what seeds come to."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

from study import OURS, Study

Point = dict[str, Any]

MINUS = "−"


@dataclass(frozen=True)
class AtRatio:
    """A system at a ratio: a point and its factorization machine of each seed that is there.

    Attributes:
        points: the points.
        sources: the results of their factorization machines.
    """

    points: list[Point]
    sources: list[Point]

    def changes(self, score: str) -> list[float]:
        """Return what a score on test rows is above the factorization machine's, for each seed."""
        return [p["test"][score] - s["test"][score] for p, s in zip(self.points, self.sources, strict=True)]

    def mean(self, score: str) -> float:
        """Return the mean change of a score on test rows."""
        return statistics.mean(self.changes(score))

    @property
    def logloss_change(self) -> float:
        """The mean change of LogLoss, as a share of the factorization machine's."""
        return self.mean("logloss") / statistics.mean(source["test"]["logloss"] for source in self.sources)

    @property
    def mean_bytes(self) -> float:
        """The mean size of the file."""
        return statistics.mean(point["bytes"] for point in self.points)

    @property
    def seeds(self) -> int:
        """How many seeds there are."""
        return len(self.points)


def at_ratio(study: Study, system: str, ratio: float) -> AtRatio | None:
    """Return a system at a ratio: ours is the one made for it, a baseline's the best of no more bytes.

    The best is that on validation data, of each seed; None where there is none.
    """
    found = AtRatio([], [])
    for seed in study.settings.seeds:
        source = study.place.result(study.fm(seed))
        results = [study.place.result(cell) for cell in study.of_seed(system, seed)]
        points = [point for result in results if result is not None for point in result["points"] if "bytes" in point]
        within = [point for point in points if source is not None and point["bytes"] <= source["bytes"] // ratio]
        if system in OURS:
            within = [point for point in within if point["ratio"] == ratio]
        if within and source is not None:
            found.points.append(max(within, key=lambda point: point["valid"]["auc"] - point["valid"]["logloss"]))
            found.sources.append(source)
    return found if found.points else None


def why_missing(study: Study, system: str, ratio: float) -> str:
    """Return why a system has no point at a ratio: no model of it is so small, it failed or was not run."""
    cells = [cell for cell in study.of(system) if ratio in cell.recipe.ratios]
    if any(study.place.result(cell) is not None for cell in cells):
        return "–"
    return "not run" if all(study.place.failure(cell) is None for cell in cells) else "failed"
