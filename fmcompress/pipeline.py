"""From a checkpoint to a compressed model: sensitivity, plan, codebooks, tuning, packing.

Without data neither torch nor pyarrow is needed, and they are not imported: that is half of the time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fmcompress.artifact import CompressedFM, Origin, Quality, pack_model
from fmcompress.checkpoints.checkpoint import FMCheckpoint
from fmcompress.errors import UsageError
from fmcompress.finetune.options import TuneOptions
from fmcompress.progress import SILENT, Progress
from fmcompress.quantization import kmeans, sensitivity
from fmcompress.quantization.plan import Plan, carry_out, make_plan
from fmcompress.quantization.sensitivity import Sensitivity
from fmcompress.sizes import parse_size
from fmcompress.version import __version__

if TYPE_CHECKING:
    from fmcompress.data import ParquetRows
    from fmcompress.data.parquet import Match, Oov
    from fmcompress.evaluation import Scores

METHOD = "auto"
"""How this version makes artifacts: FM-aware distortion, exact allocation, tuning with fixed codes."""


@dataclass(frozen=True)
class TuningData:
    """Rows to tune on, and rows to choose the best state by."""

    rows: ParquetRows
    valid: ParquetRows


@dataclass(frozen=True)
class DataOptions:
    """How rows are read.

    Attributes:
        label: column of the labels.
        match: columns belong to fields by ``name`` or by ``order``.
        oov: an id out of range is an ``error``, or counts as missing (``zero``).
    """

    label: str = "label"
    match: Match = "name"
    oov: Oov = "error"


def open_tuning_data(
    checkpoint: FMCheckpoint,
    train: str | Path | None,
    valid: str | Path | None,
    options: DataOptions | None = None,
) -> TuningData | None:
    """Open the data to tune on; without validation data every 20th training row is held out.

    Raises:
        UsageError: there is validation data but no training data.
        DataError: the files cannot be used.
    """
    options = options or DataOptions()
    if train is None:
        if valid is not None:
            raise UsageError("validation data without training data", hint="give the training data with --train")
        return None
    from fmcompress.data import open_training_rows

    rows, held_out = open_training_rows(
        train, valid, schema=checkpoint.schema, label=options.label, match=options.match, oov=options.oov
    )
    return TuningData(rows, held_out)


class Quantization:
    """One quantization of a checkpoint: planned first, to the byte, and then carried out.

    Attributes:
        plan: the quantizer of each field, and the exact size of the artifact.
    """

    plan: Plan

    def __init__(
        self,
        checkpoint: FMCheckpoint,
        budget: str | int,
        data: TuningData | None = None,
        *,
        seed: int = 0,
        progress: Progress = SILENT,
    ) -> None:
        """Measure what errors cost, and plan.

        Args:
            checkpoint: the factorization machine.
            budget: the size that the artifact must not exceed, in bytes or as ``10MB``.
            data: rows to tune on.
            seed: of k-means, tuning and shuffling.
            progress: told of each step.

        Raises:
            UsageError: the budget is no size, or the seed is negative.
            BudgetError: no artifact of this model fits the budget.
            DataError: the rows cannot be used.
        """
        if not 0 <= seed < 2**31:
            raise UsageError(f"seed is {seed}, expected 0 to {2**31 - 1}")
        self._checkpoint = checkpoint
        self._data = data
        self._progress = progress
        self._origin = _origin(checkpoint, parse_size(budget), seed, data)
        self._sensitivity = self._measure()
        self.plan = make_plan(checkpoint, self._sensitivity, self._origin, progress=progress)

    def _measure(self) -> Sensitivity:
        checkpoint, data = self._checkpoint, self._data
        if data is None:
            if checkpoint.counts is None:
                self._progress.note("no data and no counts in the checkpoint: all categories count the same")
            return sensitivity.from_moments(checkpoint, checkpoint.counts)
        from fmcompress.data import count_categories

        counts = count_categories(data.rows)
        return sensitivity.from_rows(checkpoint, data.rows, counts, seed=self._origin.seed)

    def run(self, tuning: TuneOptions | None = None) -> CompressedFM:
        """Return the compressed model, tuned where there is data.

        Args:
            tuning: how to tune.

        Raises:
            UsageError: a setting makes no sense.
            DataError: the rows cannot be used.
        """
        seed = self._origin.seed
        quantized = carry_out(self._checkpoint, self._sensitivity, self.plan, seed=seed, progress=self._progress)
        model = pack_model(quantized, self._origin)
        return model if self._data is None else self._tuned(model, self._data, tuning or TuneOptions())

    def _tuned(self, model: CompressedFM, data: TuningData, tuning: TuneOptions) -> CompressedFM:
        from fmcompress.evaluation import score_rows
        from fmcompress.finetune.trainer import tune

        source = score_rows(self._checkpoint, data.valid)
        untuned = score_rows(model, data.valid)
        self._progress.note(f"FM: validation {source}")
        self._progress.note(f"quantized: validation {untuned}")
        options = replace(tuning, seed=self._origin.seed)
        found = tune(
            model,
            data.rows,
            data.valid,
            teacher=self._checkpoint,
            start=untuned,
            options=options,
            progress=self._progress,
        )
        quality = {
            "source": _quality(source),
            "untuned": _quality(untuned),
            "artifact": _quality(found.scores),
        }
        header = replace(found.state.header, origin=replace(self._origin, quality=quality))
        return replace(found.state, header=header)


def _origin(checkpoint: FMCheckpoint, budget_bytes: int, seed: int, data: TuningData | None) -> Origin:
    source = checkpoint.source
    libraries = {"fmcompress": __version__, "faiss": kmeans.version(), "numpy": np.__version__}
    quality = {}
    if data is not None:
        import torch

        libraries["torch"] = torch.__version__
        unknown = Quality(data.valid.rows, 0.0, 0.0)  # takes its place in the header until it is known
        quality = dict.fromkeys(("source", "untuned", "artifact"), unknown)
    return Origin(
        budget_bytes=budget_bytes,
        method=METHOD,
        seed=seed,
        source=() if source is None else (source.tool, source.name, source.sha256),
        libraries=libraries,
        quality=quality,
    )


def _quality(scores: Scores) -> Quality:
    return Quality(scores.rows, scores.auc, scores.logloss)
