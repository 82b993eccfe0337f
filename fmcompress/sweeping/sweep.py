"""The size-quality curve of a checkpoint: what is asked for, and the files that come of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from fmcompress import pipeline
from fmcompress.arguments import checked_arguments
from fmcompress.artifact.origin import COMPACT, Layout
from fmcompress.data.options import DataOptions, Match, Oov
from fmcompress.data.rows import open_tuning_data
from fmcompress.errors import UsageError, missing_packages_named
from fmcompress.evaluation.scores import open_rows_for
from fmcompress.files import check_apart, check_writable
from fmcompress.finetune.options import TuneOptions
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.methods.base import Job, Method
from fmcompress.progress import SILENT, Progress
from fmcompress.reporting.curve import Curve
from fmcompress.reporting.plot import check_plot, save_plot
from fmcompress.serve.compressed_fm import CompressedFM
from fmcompress.sizes import parse_size
from fmcompress.sweeping.points import SweepRows, quantize_to_budgets
from fmcompress.training.device import Device

if TYPE_CHECKING:
    from fmcompress.baselines import BaselinePoint

_RATIO = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*x", re.IGNORECASE | re.ASCII)


@missing_packages_named()
@checked_arguments
def sweep(
    checkpoint: FMCheckpoint,
    budgets: Sequence[str | int] | str,
    *,
    method: Method | str = "auto",
    train: str | Path | None = None,
    valid: str | Path | None = None,
    data: str | Path | None = None,
    baselines: Sequence[str] = (),
    label: str = "label",
    match: Match = "name",
    oov: Oov = "error",
    first_index: int = 0,
    seed: int = 0,
    device: Device = "auto",
    tuning: TuneOptions | None = None,
    layout: Layout = COMPACT,
    output_dir: str | Path | None = None,
    plot: str | Path | None = None,
    force: bool = False,
    progress: Progress = SILENT,
) -> Curve:
    """Compress a factorization machine to several sizes, and tell how well each predicts; files come at the end.

    Args:
        checkpoint: the factorization machine.
        budgets: bytes, texts such as ``10MB``, ratios of the checkpoint's fp32 bytes such as ``20x``, in any order; or
            one text with commas.
        method: how to quantize, as for ``quantize``.
        train: file, folder, glob or URI of rows to tune on, Parquet, CSV or libsvm text; None tunes nothing.
        valid: validation rows; without them every 20th training row is held out.
        data: rows to measure on; without them the validation rows are, and without those only sizes are told.
        baselines: keys of ``fmcompress.baselines.BASELINES`` to compare with, made from these rows in as many epochs.
        label: column of the labels.
        match: columns belong to fields by ``name`` or by ``order``.
        oov: an id out of range or an unknown token is an ``error``, or counts as missing (``zero``).
        first_index: index of the model's first row in data that are libsvm text: 0 as libFM counts, or 1.
        seed: of k-means, search, tuning and shuffling.
        device: where the heavy work is done, as for ``quantize``.
        tuning: how to tune, as for ``quantize``.
        layout: of the artifacts, as for ``quantize``.
        output_dir: folder for the artifacts, ``fm-20000.safetensors`` for a checkpoint ``fm.pt`` and 20,000 bytes.
        plot: picture of the curve to draw: .svg, .png or .pdf.
        force: replace files that exist.
        progress: told of each step, and of each point as it comes.

    Raises:
        UsageError: an option makes no sense.
        BudgetError: no artifact of this model fits any of the budgets.
        DataError: the rows cannot be used.
        DependencyError: there is nothing to draw the plot with.
        OutputError: a file cannot be written.
    """
    sizes = parse_budgets(budgets, checkpoint.fp32_bytes)
    options = DataOptions(label, match, oov, first_index)
    measured = None if data is None else open_rows_for(checkpoint, data, options)
    rows = SweepRows(open_tuning_data(checkpoint, train, valid, options), measured)
    given = sizes[-1], method, rows.tuning, seed, device, tuning
    job = pipeline.open_job(checkpoint, *given, progress=progress, layout=layout)
    return _sweep(job, sizes, rows, baselines, SweepFiles.of(checkpoint, output_dir, plot, force=force))


def _sweep(job: Job, sizes: Sequence[int], rows: SweepRows, baselines: Sequence[str], files: SweepFiles) -> Curve:
    """Return the curve over sizes, from small to large, of which the job has the largest; its files are written."""
    files.check(sizes, rows.files)
    curve, models = quantize_to_budgets(job, sizes, rows, open_baselines(baselines, job, sizes))
    files.write(curve, models)
    return curve


def parse_budgets(budgets: Iterable[str | int] | str, fp32_bytes: int) -> tuple[int, ...]:
    """Return budgets in bytes, from small to large, each once.

    Args:
        budgets: sizes and ratios; or one text of them, with commas.
        fp32_bytes: what ratios are taken of.

    Raises:
        UsageError: there is none, or one is neither a size nor a ratio.
    """
    found = budgets.split(",") if isinstance(budgets, str) else list(budgets)
    if not found:
        raise UsageError("there are no budgets", hint="20KB,50KB or 10x,20x")
    return tuple(sorted({_budget_bytes(budget, fp32_bytes) for budget in found}))


def _budget_bytes(budget: str | int, fp32_bytes: int) -> int:
    ratio = _RATIO.fullmatch(str(budget).strip())
    if ratio is None:
        return parse_size(budget)
    divisor = Decimal(ratio[1])
    if not 0 < divisor <= fp32_bytes:
        raise UsageError(f"ratio {budget!r} is not between 0 and the checkpoint's {fp32_bytes:,} bytes in fp32")
    return parse_size(int(fp32_bytes // divisor))


def open_baselines(names: Sequence[str], job: Job, budgets: Sequence[int]) -> Iterator[BaselinePoint]:
    """Return the points of baselines, each made when it is asked for; the job says on which data and how long.

    Raises:
        UsageError: a baseline is unknown, or there is no data to train on.
    """
    if not names:
        return iter(())
    if job.data is None:
        raise UsageError("baselines without training data", hint="give the training data with --train")
    from fmcompress.baselines import BaselineOptions, run_baselines

    tuning = job.tuning
    options = BaselineOptions(seed=job.seed, device=tuning.device, epochs=tuning.epochs, batch_size=tuning.batch_size)
    return run_baselines(tuple(dict.fromkeys(names)), job.checkpoint, job.data, tuple(budgets), options, job.progress)


@dataclass(frozen=True)
class SweepFiles:
    """Where a sweep writes to; all is checked before anything is computed, and written after all is.

    Attributes:
        folder: where the artifacts go, made if it is not there; None keeps none.
        stem: what their names begin with.
        plot: file of the plot; None draws none.
        force: replace files that exist.
    """

    folder: Path | None
    stem: str
    plot: Path | None
    force: bool

    @classmethod
    def of(
        cls, checkpoint: FMCheckpoint, folder: str | Path | None, plot: str | Path | None, *, force: bool
    ) -> SweepFiles:
        """Return the files of a checkpoint's sweep; names of artifacts begin with that of its file."""
        stem = "fm" if checkpoint.source is None else Path(checkpoint.source.name).stem
        return cls(None if folder is None else Path(folder), stem, None if plot is None else Path(plot), force)

    def check(self, budgets: Iterable[int], inputs: Iterable[str | Path]) -> None:
        """Raise what writing would raise at the end.

        Args:
            budgets: sizes that artifacts are made for, in bytes.
            inputs: files that the job reads, which none of these may be.

        Raises:
            UsageError: the name of the plot is none.
            DependencyError: there is nothing to draw with.
            OutputError: a file cannot be written, exists, or is an input.
        """
        inputs = list(inputs)
        if self.plot is not None:
            check_apart(self.plot, inputs)
            check_plot(self.plot, force=self.force)
        if self.folder is None:
            return
        if not self.folder.exists():
            check_writable(self.folder)  # it can be made
            return
        for path in (self._artifact(self.folder, budget_bytes) for budget_bytes in budgets):
            check_apart(path, inputs)
            check_writable(path, force=self.force)

    def write(self, curve: Curve, models: Mapping[int, CompressedFM]) -> None:
        """Write the artifacts, by their budgets, and the plot.

        Raises:
            OutputError: a file cannot be written.
        """
        if self.folder is not None:
            if not self.folder.exists():
                check_writable(self.folder)
                self.folder.mkdir()
            for budget_bytes, model in models.items():
                model.save(self._artifact(self.folder, budget_bytes), force=self.force)
        if self.plot is not None:
            save_plot(curve, self.plot, force=self.force)

    def _artifact(self, folder: Path, budget_bytes: int) -> Path:
        return folder / f"{self.stem}-{budget_bytes}.safetensors"
