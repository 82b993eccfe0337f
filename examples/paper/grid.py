"""What the paper's tables and figures are made of: the cells of one data set, and in which order they are made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial

from budgets import AsMany, Budget, BytesOf, Ratio
from cells import Cell, Place
from recipes import Compared, Counted, Given, Quantized, TrainedFM

import fmcompress as fc
from fmcompress.backbones.training import TrainOptions
from fmcompress.baselines.product_quantization import SIZES
from fmcompress.methods.base import Method
from fmcompress.methods.xlightfm.options import Recipe

BASELINES = {"DFM": "dfm", "QR": "qr", "DHE": "dhe", "MD": "md"}
"""Keys of the paper's baselines, in the order of its Table 2."""

CODEWORDS = (64, 128, 256, 512, 1024)
"""K of Figure 4."""

MAIN = 256
"""K of the LightFM whose bytes others are given."""

LOSSES = {"func0": "none", "func1": "mean", "func2": "popularity"}
"""Distance losses of Figure 5."""

BACKBONES = {"DeepFM": "deepfm", "NFM": "nfm"}
"""Networks of Table 3."""

RATIO = 10
"""How many times smaller the models of Table 3 are."""

SMALLER = 0.85
"""Share of LightFM's bytes that xLightFM is given too."""

FINE_SIZES = tuple(fc.LightFM(codewords=16 * step) for step in range(64, 0, -1))
"""LightFM of Table 3 is the first of these that fits: powers of two alone may leave a fifth of the bytes empty."""


@dataclass(frozen=True)
class Settings:
    """What a person chooses.

    Attributes:
        seeds: of everything; the first is made first, and alone where one is enough.
        epochs: of tuning, the same for all systems of a set.
        search_steps: of xLightFM's search; None takes the method's own.
        darts_steps: of the paper's search; None takes the method's own.
    """

    seeds: tuple[int, ...]
    epochs: int
    search_steps: int | None = None
    darts_steps: int | None = None


@dataclass(frozen=True)
class Study:
    """All cells of a data set; each method returns the cell of a seed.

    Attributes:
        place: where data are and results are kept.
        data: name of the set.
        settings: what a person has chosen.
    """

    place: Place
    data: str
    settings: Settings

    def counted(self) -> Cell:
        """Return the counts of Table 1."""
        return Cell(self.data, "data", Counted())

    def fm(self, seed: int) -> Cell:
        """Return the factorization machine."""
        return self.trained("fm", seed)

    def trained(self, backbone: str, seed: int) -> Cell:
        """Return a checkpoint: one that is given, or one trained here, with the L2 of the first seed."""
        given = self.place.given(self.data, backbone, seed)
        first = self.settings.seeds[0]
        if given is not None:
            return Cell(self.data, backbone, Given(self.place.digest(given), given.name), seed)
        like = None if seed == first else self.trained(backbone, first)
        return Cell(self.data, backbone, TrainedFM(TrainOptions(backbone=backbone), like), seed)

    def baseline(self, key: str, seed: int) -> Cell:
        """Return one of the paper's baselines, as large as LightFM; the first seed goes through its grid."""
        first = self.settings.seeds[0]
        like = None if seed == first else self.baseline(key, first)
        budget = BytesOf(self.lightfm(seed))
        return Cell(self.data, key, Compared(self.fm(seed), key, budget, self.settings.epochs, like=like), seed)

    def lightfm(self, seed: int, codewords: int = MAIN) -> Cell:
        """Return LightFM with a number of codewords."""
        return self._quantized(f"lightfm-{codewords}", fc.LightFM(codewords=codewords), AsMany(), seed)

    def xlightfm(self, seed: int, share: float = 1.0, recipe: Recipe = "sampled") -> Cell:
        """Return xLightFM at a share of LightFM's bytes, searched in our way or in the paper's."""
        label = "-".join(
            ["xlightfm", *([] if share == 1 else [str(share)]), *([] if recipe == "sampled" else [recipe])]
        )
        steps = self.settings.search_steps if recipe == "sampled" else self.settings.darts_steps
        search = fc.SearchOptions(recipe=recipe, steps=steps)
        return self._quantized(label, fc.XLightFM(search=search), BytesOf(self.lightfm(seed), share), seed)

    def auto(self, seed: int) -> Cell:
        """Return ``auto`` at LightFM's bytes."""
        return self._quantized("auto", fc.Auto(), BytesOf(self.lightfm(seed)), seed)

    def as_dfm(self, methods: tuple[Method, ...], seed: int) -> Cell:
        """Return a model of no more bytes than DFM, the smallest baseline; of several sizes the first that fits."""
        recipe = Quantized(self.fm(seed), methods, BytesOf(self.baseline("dfm", seed)), self._tuning(methods[0]))
        return Cell(self.data, f"{methods[0].name}-as-dfm", recipe, seed)

    def loss(self, distance: str, seed: int) -> Cell:
        """Return LightFM tuned on labels with one of the three losses of Figure 5."""
        tuning = replace(self._tuning(fc.LightFM()), distillation=0.0, moving=fc.MovingOptions(distance=distance))
        methods = (fc.LightFM(codewords=MAIN),)
        return Cell(self.data, f"loss-{distance}", Quantized(self.fm(seed), methods, AsMany(), tuning), seed)

    def _quantized(self, label: str, method: Method, budget: Budget, seed: int) -> Cell:
        return Cell(self.data, label, Quantized(self.fm(seed), (method,), budget, self._tuning(method)), seed)

    def small(self, backbone: str, methods: tuple[Method, ...], seed: int) -> Cell:
        """Return a network with a tenth of its bytes; of several sizes the first that fits."""
        source, label = self.trained(backbone, seed), f"{methods[0].name}-{backbone}"
        recipe = Quantized(source, methods, Ratio(RATIO), self._tuning(methods[0]))
        return Cell(self.data, label, recipe, seed)

    def _tuning(self, method: Method) -> fc.TuneOptions:
        return replace(method.default_tuning(), epochs=self.settings.epochs)

    @cached_property
    def table_2(self) -> dict[str, tuple[Cell, ...]]:
        """The rows of Table 2: title, and a cell for each seed."""
        return {
            "FM": self._of(self.fm),
            **{title: self._of(partial(self.baseline, key)) for title, key in BASELINES.items()},
            f"LightFM, K = {MAIN}": self._of(self.lightfm),
            "xLightFM": self._of(self.xlightfm),
            f"xLightFM, {SMALLER} of the bytes": self._of(partial(self.xlightfm, share=SMALLER)),
            "xLightFM, the paper's search": self._of(partial(self.xlightfm, recipe="darts")),
            "auto": self._of(self.auto),
            "LightFM, DFM's bytes": self._of(partial(self.as_dfm, SIZES)),
            "auto, DFM's bytes": self._of(partial(self.as_dfm, (fc.Auto(),))),
        }

    @cached_property
    def figure_4(self) -> dict[str, tuple[Cell, ...]]:
        """LightFM of all sizes, with the first seed alone, and what is held against it."""
        sizes = {f"LightFM, K = {k}": self._of_size(k) for k in CODEWORDS}
        return sizes | {
            title: cells for title, cells in self.table_2.items() if "LightFM" in title and "DFM" not in title
        }

    @cached_property
    def figure_5(self) -> dict[str, tuple[Cell, ...]]:
        """The three losses."""
        return {title: self._of(partial(self.loss, distance)) for title, distance in LOSSES.items()}

    @cached_property
    def table_3(self) -> dict[str, tuple[tuple[Cell, ...], tuple[Cell, ...]]]:
        """The rows of Table 3: title, a cell for each seed, and the networks that they are held against."""
        rows = {}
        for title, backbone in BACKBONES.items():
            whole = self._of(partial(self.trained, backbone))
            rows[title] = whole, whole
            for name, methods in (("LightFM", FINE_SIZES), ("auto", (fc.Auto(),))):
                rows[f"{name}({title})"] = self._of(partial(self.small, backbone, methods)), whole
        return rows

    def _of_size(self, codewords: int) -> tuple[Cell, ...]:
        """Return LightFM of a size: of the size of Table 2 with all seeds, of others with the first."""
        seeds = self.settings.seeds if codewords == MAIN else self.settings.seeds[:1]
        return tuple(self.lightfm(seed, codewords) for seed in seeds)

    def _of(self, cell: Callable[[int], Cell]) -> tuple[Cell, ...]:
        return tuple(cell(seed) for seed in self.settings.seeds)

    def cells(self) -> Iterator[Cell]:
        """Yield all cells, the most telling first: those of the first seed, by tables and figures, then the others."""
        networks = [cells for cells, _ in self.table_3.values()]
        rows = [*self.table_2.values(), *networks, *self.figure_4.values(), *self.figure_5.values()]
        yield self.counted()
        for seed in self.settings.seeds:
            yield from (cell for cells in rows for cell in cells if cell.seed == seed)
