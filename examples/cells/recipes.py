"""How each kind of cell is made: what it starts from, and what comes of it."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from budgets import Budget
from cells import PARTS, Cell
from work import Made, Work

import fmcompress as fc
from fmcompress.backbones.training import TrainOptions, begin_training, train
from fmcompress.baselines import BaselineOptions, Chosen, Trial, run_baselines
from fmcompress.baselines.task import GRID
from fmcompress.data.options import DataOptions
from fmcompress.data.rows import open_rows, open_training_rows, open_tuning_data
from fmcompress.data.shuffle import shuffled
from fmcompress.errors import BudgetError
from fmcompress.methods.base import Method
from fmcompress.pipeline import open_job

_STEPS = 20
_WARM_UP = 3
_MIB = 2**20


@dataclass(frozen=True)
class Counted:
    """A data set, counted, for Table 1."""

    def needs(self) -> tuple[Cell, ...]:
        """Return none."""
        return ()

    def make(self, work: Work) -> Made:
        """Count rows, fields, categories, and training rows of label 1."""
        schema = open_training_rows(work.part("train"), work.part("valid"))[0].schema
        rows = {part: open_rows(work.part(part), schema) for part in PARTS}
        positive = sum(float(batch.labels.sum()) for batch in rows["train"].batches()) / rows["train"].rows
        counted = {part: found.rows for part, found in rows.items()}
        sizes = {"fields": len(schema.fields), "categories": schema.categories}
        return Made(None, {"rows": counted, "positive": positive, **sizes})


@dataclass(frozen=True)
class TrainedFM:
    """A factorization machine, a DeepFM or an NFM, trained with the defaults of ``fmcompress train``.

    Attributes:
        options: how; where its ``l2`` is None, validation data choose.
        like: the cell whose learning rate and L2 are taken over; None takes none.
    """

    options: TrainOptions = field(default_factory=TrainOptions)
    like: Cell | None = None

    def needs(self) -> tuple[Cell, ...]:
        """Return the cell whose learning rate and L2 are taken over."""
        return () if self.like is None else (self.like,)

    def make(self, work: Work) -> Made:
        """Train it."""
        rows, valid = open_training_rows(work.part("train"), work.part("valid"))
        like = {} if self.like is None else {name: work.result(self.like).get(name) for name in ("lr", "l2")}
        how = TrainOptions(**{**asdict(self.options), **like, "seed": work.cell.seed})
        found = train(rows, valid, how, progress=work.watch)
        fc.save_checkpoint(found.checkpoint, work.file(".pt"), force=True)
        return _checkpoint(work, work.file(".pt"), {"lr": found.lr, "l2": found.l2})


@dataclass(frozen=True)
class Given:
    """A checkpoint that lies in the folder of the work.

    Attributes:
        sha256: of the file.
        name: of the file.
    """

    sha256: str
    name: str

    def needs(self) -> tuple[Cell, ...]:
        """Return none."""
        return ()

    def make(self, work: Work) -> Made:
        """Take it over."""
        return _checkpoint(work, work.place.work / self.name, {})


def _checkpoint(work: Work, path: Path, more: dict[str, Any]) -> Made:
    checkpoint = fc.load_checkpoint(path)
    params = checkpoint.embeddings.size * checkpoint.embeddings.itemsize / _MIB
    sizes: dict[str, Any] = {"bytes": checkpoint.fp32_bytes, "params_mib": params, "checkpoint": path.name}
    if checkpoint.network is None:
        sizes["step_seconds"] = _step_of_an_fm(work, checkpoint)
    return Made(checkpoint, {**sizes, **more})


def _step_of_an_fm(work: Work, checkpoint: fc.FMCheckpoint) -> float:
    """Return the seconds of a step of training it, with batches as large as those of all other models."""
    options = TrainOptions(dim=checkpoint.dim, batch_size=2048)
    rows = open_rows(work.part("train"), checkpoint.schema)
    begun = begin_training(rows, options, 1e-3)
    batches = cycle(islice(shuffled(rows, options.batch_size, seed=0), _STEPS))
    for batch in islice(batches, _WARM_UP):
        begun.step(batch)
    start = time.process_time()
    for batch in islice(batches, _STEPS):
        begun.step(batch)
    return (time.process_time() - start) / _STEPS


@dataclass(frozen=True)
class Quantized:
    """A checkpoint, quantized and tuned.

    Attributes:
        source: the cell that trained the checkpoint.
        methods: how; the first whose sizes fit the budget.
        budget: bytes of the artifact at most.
        tuning: how it is tuned; seed and device are overruled.
    """

    source: Cell
    methods: tuple[Method, ...]
    budget: Budget
    tuning: fc.TuneOptions

    def needs(self) -> tuple[Cell, ...]:
        """Return the checkpoint, and what says the bytes."""
        return (self.source, *self.budget.needs())

    def make(self, work: Work) -> Made:
        """Quantize it; tuning that was broken off goes on."""
        checkpoint = work.checkpoint(self.source)
        budget = self.budget.bytes(work, checkpoint)
        method = _first_that_fits(checkpoint, self.methods, budget)
        work.watch.note(f"{method}, {budget} bytes")
        resumed = work.file(".resume").exists()
        model = fc.quantize(
            checkpoint,
            budget,
            method=method,
            train=work.part("train"),
            valid=work.part("valid"),
            seed=work.cell.seed,
            device="cpu",
            tuning=self.tuning,
            state=work.file(".resume"),
            resume=True,
            history=work.file(".jsonl"),
            force=not resumed,
            progress=work.watch,
        )
        model.save(work.file(".safetensors"), force=True)
        return Made(
            fc.load(work.file(".safetensors")),
            {
                "bytes": model.file_bytes,
                "params_mib": fc.report(work.file(".safetensors")).paper_params_mib,
                "method": str(method),
                "budget": budget,
                "resumed": resumed,
                "curve": _curve(work.file(".jsonl")),
            },
        )


def _first_that_fits(checkpoint: fc.FMCheckpoint, methods: tuple[Method, ...], budget: int | None) -> Method:
    for method in methods[:-1]:
        try:
            open_job(checkpoint, budget, method)
        except BudgetError:
            continue
        return method
    return methods[-1]


def _curve(history: Path) -> list[dict[str, Any]]:
    """Return loss on training rows and scores on validation rows after each epoch of tuning."""
    lines = [json.loads(line) for line in history.read_text().splitlines()] if history.exists() else []
    epochs = [line for line in lines if line["event"] == "epoch" and line.get("stage") == "tuning"]
    return [{name: line[name] for name in ("epoch", "loss", "auc", "logloss")} for line in epochs]


@dataclass(frozen=True)
class Compared:
    """A baseline, as large as a budget allows, trained and tuned.

    Attributes:
        source: the cell that trained the checkpoint.
        key: of the baseline in ``fmcompress.baselines.BASELINES``.
        budget: bytes of its file at most.
        epochs: of tuning.
        grid: ways to train it, of which validation data choose.
        like: the cell whose way is taken over; None goes through the grid.
    """

    source: Cell
    key: str
    budget: Budget
    epochs: int
    grid: tuple[Trial, ...] = GRID
    like: Cell | None = None

    def needs(self) -> tuple[Cell, ...]:
        """Return the checkpoint, what says the bytes, and the cell whose way is taken over."""
        return (self.source, *self.budget.needs(), *([] if self.like is None else [self.like]))

    def make(self, work: Work) -> Made:
        """Train it in all ways, or in the one that was chosen before."""
        checkpoint = work.checkpoint(self.source)
        data = open_tuning_data(checkpoint, work.part("train"), work.part("valid"), DataOptions())
        budget = self.budget.bytes(work, checkpoint)
        chosen = {} if self.like is None else {self.key: chosen_of(work.result(self.like)["chosen"])}
        options = BaselineOptions(seed=work.cell.seed, epochs=self.epochs, grid=self.grid, chosen=chosen)
        points = list(run_baselines([self.key], checkpoint, data, [budget], options, work.watch))
        if not points:
            raise LookupError(f"no {self.key} has {budget:,} bytes or less")
        point = points[0]
        figures = {"bytes": point.file_bytes, "params_mib": point.paper_params_mib, "budget": budget}
        return Made(point.model, {**figures, "method": point.name, "chosen": asdict(point.chosen)})


def chosen_of(found: dict[str, Any]) -> Chosen:
    """Return how a baseline was built and trained, from the result of a cell."""
    return Chosen(found["variant"], Trial(**found["trial"]))
