"""What the benchmark is made of: the cells of one data set, and in which order they are made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cells import Cell, Place
from recipes import Given, TrainedFM
from systems import Baseline, Ours

from fmcompress.backbones.training import TrainOptions
from fmcompress.baselines import BASELINES

OURS = {"auto": "`auto`", "auto-untuned": "`auto`, not tuned", "auto-without-data": "`auto`, without data"}
"""Our own systems, by the names of their cells."""

SYSTEMS = (*OURS, *(baseline.key for baseline in BASELINES))
"""All systems."""

_SIZED = {baseline.key: baseline.sized for baseline in BASELINES}


@dataclass(frozen=True)
class Settings:
    """What a person chooses.

    Attributes:
        ratios: the checkpoint's bytes over those of the file at most.
        seeds: of everything, training too; the first is made first.
        epochs: of tuning; None takes the method's own, 15.
        baseline_epochs: of tuning baselines.
        systems: those that are made.
    """

    ratios: tuple[float, ...] = (10.0, 20.0, 40.0, 80.0, 160.0)
    seeds: tuple[int, ...] = (0, 1, 2)
    epochs: int | None = None
    baseline_epochs: int = 15
    systems: tuple[str, ...] = SYSTEMS


@dataclass(frozen=True)
class Study:
    """All cells of a data set.

    Attributes:
        place: where data are and results are kept.
        data: name of the set.
        settings: what a person has chosen.
    """

    place: Place
    data: str
    settings: Settings

    def fm(self, seed: int) -> Cell:
        """Return the factorization machine: one that is given, or one trained as the first seed was."""
        given = self.place.given(self.data, "fm", seed)
        if given is not None:
            return Cell(self.data, "fm", Given(self.place.digest(given), given.name), seed)
        first = self.settings.seeds[0]
        return Cell(self.data, "fm", TrainedFM(TrainOptions(), None if seed == first else self.fm(first)), seed)

    def fms(self) -> list[Cell]:
        """Return the factorization machines of all seeds."""
        return [self.fm(seed) for seed in self.settings.seeds]

    def of(self, system: str) -> list[Cell]:
        """Return the cells of a system: one for each seed, and for each ratio where sizes are made to measure."""
        return [cell for seed in self.settings.seeds for cell in self.of_seed(system, seed)]

    def of_seed(self, system: str, seed: int) -> list[Cell]:
        """Return the cells of a system with a seed."""
        source, ratios = self.fm(seed), self.settings.ratios
        if system in OURS:
            epochs = 0 if system == "auto-untuned" else self.settings.epochs
            recipe = Ours(source, ratios, with_data=system != "auto-without-data", epochs=epochs)
            return [Cell(self.data, system, recipe, seed)]
        if not _SIZED[system]:
            return [self._baseline(system, system, ratios, seed)]
        return [self._baseline(f"{system}-{ratio:g}x", system, (ratio,), seed) for ratio in ratios]

    def _baseline(self, label: str, key: str, ratios: tuple[float, ...], seed: int) -> Cell:
        first = self.settings.seeds[0]
        like = None if seed == first else self._baseline(label, key, ratios, first)
        recipe = Baseline(self.fm(seed), key, ratios, self.settings.baseline_epochs, like)
        return Cell(self.data, label, recipe, seed)

    def cells(self) -> Iterator[Cell]:
        """Yield all cells, those of the first seed first."""
        for seed in self.settings.seeds:
            yield self.fm(seed)
            for system in self.settings.systems:
                yield from self.of_seed(system, seed)
