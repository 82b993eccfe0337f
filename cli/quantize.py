"""``fmcompress quantize``: the main job."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from fmcompress.errors import UsageError

from .exits import interruptible
from .groups import with_groups
from .method_options import CodesGroup, MethodName, MethodOption, SizesGroup
from .options import (
    TUNING,
    CheckpointArgument,
    CheckpointGroup,
    EpochsOption,
    ForceOption,
    MachineGroup,
    RowsGroup,
    TuningRowsGroup,
)
from .state import progress_of

if TYPE_CHECKING:
    from fmcompress.finetune.options import TuneOptions
    from fmcompress.methods.base import Job
    from fmcompress.quantization.plan import Plan


@dataclass(frozen=True)
class _TuningGroup:
    """How the model is tuned."""

    epochs: EpochsOption = 15
    lr: Annotated[
        float,
        typer.Option("--lr", metavar="RATE", help="Learning rate at the start; it falls to 0.", rich_help_panel=TUNING),
    ] = 5e-3
    batch_size: Annotated[
        int, typer.Option("--batch-size", metavar="N", min=1, help="Rows of a step.", rich_help_panel=TUNING)
    ] = 2048
    distillation: Annotated[
        float,
        typer.Option(
            "--distillation",
            metavar="SHARE",
            help="Share of the checkpoint's predictions in the targets, 0 to 1.",
            rich_help_panel=TUNING,
        ),
    ] = 1.0

    def options(self, codes: CodesGroup, method: MethodName) -> TuneOptions:
        """Return how to tune."""
        from fmcompress.finetune.options import TuneOptions

        moving, reassign = codes.options(method)
        return TuneOptions(self.distillation, self.lr, self.batch_size, self.epochs, moving=moving, reassign=reassign)


@dataclass(frozen=True)
class _RunGroup:
    """What a long run keeps."""

    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with a run that was broken off; its state is in FILE.resume of --output.",
            rich_help_panel=TUNING,
        ),
    ] = False
    history: Annotated[
        Optional[Path],  # noqa: UP045 -- typer reads it on Python 3.10 too
        typer.Option(
            "--history",
            metavar="FILE",
            help="Write JSON lines that tell how the tuning goes.",
            rich_help_panel=TUNING,
        ),
    ] = None


@with_groups
def quantize(
    *,
    context: typer.Context,
    checkpoint: CheckpointArgument,
    budget: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--budget",
            "-b",
            metavar="SIZE",
            help="What the whole file may take: 139KB, 10MB, 1.5MiB; only lightfm can do without.",
        ),
    ] = None,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="File to write. Default: in the current folder, fm.fmc.safetensors for a checkpoint fm.pt.",
            show_default=False,
        ),
    ] = None,
    rows: TuningRowsGroup,
    given: CheckpointGroup,
    with_vocab: Annotated[
        bool, typer.Option("--with-vocab", help="Put the vocabulary into the artifact; its bytes count in the budget.")
    ] = False,
    reading: RowsGroup,
    method: MethodOption = MethodName.AUTO,
    tuning: _TuningGroup,
    machine: MachineGroup,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan only: print the exact size, write nothing.")] = False,
    run: _RunGroup,
    force: ForceOption = False,
    sizes: SizesGroup,
    codes: CodesGroup,
) -> None:
    """Compress CHECKPOINT into one file of at most SIZE bytes.

    With --train, it is tuned on rows, and predicts better for the same size.
    """
    how, tune = sizes.method(method), tuning.options(codes, method)
    target = output or default_output(checkpoint)
    budget_bytes = _checked(budget, target, checkpoint, given, run, dry_run=dry_run, force=force)
    source = given.load(checkpoint)
    from fmcompress.data.rows import open_tuning_data
    from fmcompress.pipeline import open_job
    from fmcompress.training.run_state import RunFiles

    job = open_job(
        source,
        budget_bytes,
        how,
        open_tuning_data(source, rows.train, rows.valid, reading.options()),
        seed=machine.seed,
        device=machine.device.value,
        tuning=tune,
        files=RunFiles() if dry_run else RunFiles(state_of(target), run.history, resume=run.resume, force=force),
        carries_vocabulary=with_vocab,
        progress=progress_of(context),
    )
    print(_carried_out(job, target, dry_run=dry_run, force=force))


def _checked(
    budget: str | None,
    target: Path,
    checkpoint: Path,
    given: CheckpointGroup,
    run: _RunGroup,
    *,
    dry_run: bool,
    force: bool,
) -> int | None:
    """Return the budget in bytes; raise where an output cannot be written, before anything is read."""
    from fmcompress.files import check_apart, check_writable
    from fmcompress.sizes import parse_size

    budget_bytes = None if budget is None else parse_size(budget)
    check_apart(target, [checkpoint, *given.files])
    if run.history is not None:
        check_apart(run.history, [checkpoint])
        if run.history.resolve() in (target.resolve(), state_of(target).resolve()):
            raise UsageError(f"--history is {run.history}, which this job writes otherwise", hint="name another file")
    if not dry_run:
        check_writable(target, force=force)
    return budget_bytes


def _carried_out(job: Job, target: Path, *, dry_run: bool, force: bool) -> str:
    """Write the artifact, or only plan it, and return what to say of it."""
    from fmcompress import pipeline
    from fmcompress.files import check_apart

    if job.data is not None:
        check_apart(target, job.data.files)
    with interruptible(lambda: job.run_state.position and f"--resume goes on from {job.run_state.position}"):
        measured = pipeline.measure(job)
        plan = pipeline.make_plan(job, measured)
        _note_surplus(job, plan)
        if dry_run:
            return f"{target} would have {_planned(plan, job.checkpoint.fp32_bytes)}"
        model = pipeline.quantize(job, plan, measured)
        model.save(target, force=force)
    job.run_state.clear()
    return f"{target} has {_size(model.file_bytes, job.checkpoint.fp32_bytes)}"


def _planned(plan: Plan, fp32_bytes: int) -> str:
    if plan.quantizers is not None:
        return _size(plan.file_bytes, fp32_bytes)
    return f"at most {_size(plan.file_bytes, fp32_bytes)}; the search decides"


def _note_surplus(job: Job, plan: Plan) -> None:
    from fmcompress.sizes import format_size

    if job.budget_bytes is not None and job.budget_bytes > plan.largest_bytes:
        job.progress.note(f"the budget is larger than needed: the best artifact has {format_size(plan.largest_bytes)}")


def _size(file_bytes: int, fp32_bytes: int) -> str:
    from fmcompress.sizes import format_size

    return f"{format_size(file_bytes)}; the checkpoint in fp32 has {fp32_bytes / file_bytes:.2f} times as much"


def default_output(checkpoint: Path) -> Path:
    """Return where the artifact of a checkpoint goes: in the current folder, never the checkpoint itself."""
    return Path(f"{checkpoint.absolute().stem}.fmc.safetensors")


def state_of(output: Path) -> Path:
    """Return where the state of a run is kept while its output is made."""
    return output.with_name(f"{output.name}.resume")
