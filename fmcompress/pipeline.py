"""From a checkpoint to a compressed model: sensitivity, plan, codebooks, tuning, packing.

Without data neither torch nor pyarrow is needed, and they are not imported: that is half of the time.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fmcompress.artifact import CompressedFM, Origin, Quality, pack_model
from fmcompress.checkpoints.checkpoint import FMCheckpoint
from fmcompress.device import device_kind
from fmcompress.errors import UsageError
from fmcompress.files import check_apart
from fmcompress.finetune.options import TuneOptions
from fmcompress.journal import Journal, RunFiles
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


@dataclass(frozen=True)
class TuningData:
    """Rows to tune on, rows to choose the best state by, and how they are read."""

    rows: ParquetRows
    valid: ParquetRows
    options: DataOptions = DataOptions()


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
    return TuningData(rows, held_out, options)


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

    def run(self, tuning: TuneOptions | None = None, journal: Journal | None = None) -> CompressedFM:
        """Return the compressed model, tuned where there is data.

        Args:
            tuning: how to tune.
            journal: keeps the state and the history of the tuning; see ``open_journal``.

        Raises:
            UsageError: a setting makes no sense.
            DataError: the rows cannot be used.
            OutputError: the journal cannot be written.
            StateError: the journal's state cannot be gone on from.
        """
        seed = self._origin.seed
        quantized = carry_out(self._checkpoint, self._sensitivity, self.plan, seed=seed, progress=self._progress)
        model = pack_model(quantized, self._origin)
        if self._data is None:
            return model
        return self._tuned(model, self._data, tuning or TuneOptions(), journal or Journal())

    def _tuned(self, model: CompressedFM, data: TuningData, tuning: TuneOptions, journal: Journal) -> CompressedFM:
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
            journal=journal,
        )
        journal.write(
            "end",
            {
                "bytes": found.state.file_bytes,
                "auc": found.scores.auc,
                "logloss": found.scores.logloss,
                "best_epoch": found.best_epoch,
                "epochs": found.epochs,
                "seconds": round(journal.seconds, 3),
            },
        )
        quality = {
            "source": _quality(source),
            "untuned": _quality(untuned),
            "artifact": _quality(found.scores),
        }
        header = replace(found.state.header, origin=replace(self._origin, quality=quality))
        return replace(found.state, header=header)


def open_journal(
    checkpoint: FMCheckpoint,
    budget: str | int,
    data: TuningData | None,
    tuning: TuneOptions,
    files: RunFiles,
    *,
    seed: int = 0,
    progress: Progress = SILENT,
) -> Journal:
    """Open the files that a run keeps; they are checked before anything is computed.

    Args:
        checkpoint: the factorization machine.
        budget: size of the artifact at most.
        data: rows to tune on.
        tuning: how to tune.
        files: the files.
        seed: of k-means, tuning and shuffling.
        progress: told from where a resumed run goes on.

    Raises:
        UsageError: there is nothing to tune, and so nothing to resume or to tell of, or no state is named.
        StateError: the state is damaged, or of another run.
        OutputError: the history exists, or a file cannot be written, or is an input.
    """
    if data is None:
        for name, wanted in (("resume", files.resume), ("history", files.history is not None)):
            if wanted:
                raise UsageError(f"{name} without training data: only tuning takes long", hint="--train gives them")
        return Journal()
    for path in (files.state, files.history):
        if path is not None:
            check_apart(path, [*data.rows.files, *data.valid.files])
    fingerprint = _fingerprint(checkpoint, _origin(checkpoint, parse_size(budget), seed, data), data, tuning)
    return Journal(files, fingerprint, progress=progress)


def _fingerprint(
    checkpoint: FMCheckpoint, origin: Origin, data: TuningData, tuning: TuneOptions
) -> dict[str, str | int | float | None]:
    """Return all that decides the result of tuning, in the order in which differences are best told."""
    options = {name: value for name, value in asdict(tuning).items() if name not in ("seed", "device")}
    rows = {
        f"{part}_{unit}": number
        for part, found in (("train", data.rows), ("valid", data.valid))
        for unit, number in (("rows", found.rows), ("bytes", sum(Path(file).stat().st_size for file in found.files)))
    }
    return {
        "checkpoint_sha256": origin.source[-1] if origin.source else _digest(checkpoint),
        "fields": ", ".join(f"{field.name}:{field.cardinality}" for field in checkpoint.schema.fields),
        "budget_bytes": origin.budget_bytes,
        "method": origin.method,
        "seed": origin.seed,
        **{
            name: value if isinstance(value, str | int | float | None) else repr(value)
            for name, value in options.items()
        },
        **rows,
        **asdict(data.options),
        "device": device_kind(tuning.device),
        # Plain texts: torch's version is of a class of its own, which no state may hold.
        **{name: str(version) for name, version in origin.libraries.items()},
    }


def _digest(checkpoint: FMCheckpoint) -> str:
    """Return the SHA-256 of a model that comes from no file."""
    digest = hashlib.sha256(repr((checkpoint.bias, checkpoint.link)).encode())
    for weights in (checkpoint.linear, checkpoint.embeddings):
        digest.update(np.ascontiguousarray(weights).data)
    return digest.hexdigest()


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
