"""``fmcompress quantize``: the main job."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from fmcompress.errors import UsageError
from fmcompress.finetune.options import Select, TuneOptions
from fmcompress.processes.world import this_process

from .exits import interruptible
from .method_options import CodesGroup, MethodName, MethodOption, SizesGroup
from .options import (
    TUNING,
    CheckpointArgument,
    CheckpointGroup,
    EpochsOption,
    ForceOption,
    LayoutGroup,
    MachineGroup,
    RowsGroup,
    TuningRowsGroup,
    with_groups,
)
from .processes import together
from .progress import progress_of
from .table_options import TablesGroup, TablesRun

if TYPE_CHECKING:
    from fmcompress.methods.base import Job
    from fmcompress.quantization.plan import Plan


@dataclass(frozen=True)
class _ArtifactGroup:
    """What the artifact may take, and where it goes."""

    budget: Annotated[
        str | None,
        typer.Option(
            "--budget",
            "-b",
            metavar="SIZE",
            help="What the whole file may take: 139KB, 10MB, 1.5MiB; only lightfm can do without.",
        ),
    ] = None
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="File to write. Default: in the current folder, fm.fmc.safetensors for a checkpoint fm.pt.",
            show_default=False,
        ),
    ] = None

    @property
    def budget_bytes(self) -> int | None:
        """The budget; None where there is none."""
        from fmcompress.sizes import parse_size

        return None if self.budget is None else parse_size(self.budget)

    def path(self, checkpoint: Path) -> Path:
        """Return where the artifact of a checkpoint goes: by default in the current folder, never the checkpoint."""
        return self.output or Path(f"{checkpoint.absolute().stem}.fmc.safetensors")


@dataclass(frozen=True)
class _TuningGroup:
    """How the model is tuned."""

    PANEL: ClassVar[str] = TUNING
    epochs: EpochsOption = 15
    lr: Annotated[float, typer.Option(metavar="RATE", help="Learning rate at the start; it falls to 0.")] = 5e-3
    batch_size: Annotated[int, typer.Option(metavar="N", min=1, help="Rows of a step.")] = 2048
    distillation: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            help="Share of the checkpoint's predictions, or of those of --targets, in what is learned, 0 to 1.",
        ),
    ] = 1.0
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate/--no-calibrate",
            help="Scale and shift logits, of CHECKPOINT before it is compressed and of each state, as is best "
            "on validation data; it takes no byte.",
        ),
    ] = True
    select: Annotated[
        Select,
        typer.Option(
            help="What the best state is chosen by on validation data: AUC - LogLoss, or one of them. A state that has "
            "less AUC than the untuned one is never chosen but by logloss."
        ),
    ] = "both"

    def options(self, codes: CodesGroup, method: MethodName) -> TuneOptions:
        """Return how to tune."""
        moving, reassign = codes.options(method)
        return TuneOptions(**asdict(self), moving=moving, reassign=reassign)


@dataclass(frozen=True)
class _RunGroup:
    """What a run writes beside the artifact, and whether it writes at all."""

    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan only: print the exact size, write nothing.")] = False
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with a run that was broken off; its state is in FILE.resume of --output.",
            rich_help_panel=TUNING,
        ),
    ] = False
    history: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write JSON lines that tell how the tuning goes.", rich_help_panel=TUNING),
    ] = None
    force: ForceOption = False

    @property
    def of_tuning(self) -> dict[str, object]:
        """Options that only tuning has use for, as they are given."""
        return {"--resume": self.resume, "--history": self.history}

    def check(self, target: Path, checkpoint: Path, given: CheckpointGroup) -> None:
        """Raise where an output cannot be written, or would replace an input."""
        from fmcompress.files import check_apart, check_writable

        if not this_process().first:
            return  # it writes nothing
        check_apart(target, [checkpoint, *given.files])
        if self.history is not None:
            check_apart(self.history, [checkpoint])
            if self.history.resolve() in (target.resolve(), _state_file(target).resolve()):
                raise UsageError(
                    f"--history is {self.history}, which this job writes otherwise", hint="name another file"
                )
        if not self.dry_run:
            check_writable(target, force=self.force)


_TargetsOption = Annotated[
    str | None,
    typer.Option(
        "--targets",
        metavar="COLUMN",
        rich_help_panel=TUNING,
        help="Column of --train with predictions of any stronger model, out of fold or of rows it has not seen: "
        "they are learned in place of CHECKPOINT's.",
    ),
]


@with_groups
@together
def quantize(
    *,
    context: typer.Context,
    checkpoint: CheckpointArgument,
    artifact: _ArtifactGroup,
    rows: TuningRowsGroup,
    given: CheckpointGroup,
    tables: TablesGroup,
    with_vocab: Annotated[
        bool, typer.Option("--with-vocab", help="Put the vocabulary into the artifact; its bytes count in the budget.")
    ] = False,
    file: LayoutGroup,
    reading: RowsGroup,
    targets: _TargetsOption = None,
    method: MethodOption = "auto",
    tuning: _TuningGroup,
    machine: MachineGroup,
    run: _RunGroup,
    sizes: SizesGroup,
    codes: CodesGroup,
) -> None:
    """Compress CHECKPOINT into one file of at most SIZE bytes.

    With --train, it is tuned on rows, and predicts better for the same size. With --tables, CHECKPOINT is a model of
    any kind, and its embedding tables are compressed.
    """
    how, tune = sizes.method(method), tuning.options(codes, method)
    target, budget_bytes = artifact.path(checkpoint), artifact.budget_bytes
    run.check(target, checkpoint, given)
    other = {"--method": method != "auto", "--train": rows.train, "--valid": rows.valid, "--targets": targets}
    other |= {"--with-vocab": with_vocab, "--no-provenance": file.no_provenance}
    tables.check(other | run.of_tuning | given.of_machine)
    if not this_process().alone and (tables.tables or rows.train is None):
        raise UsageError("several processes quantize with rows alone", hint="--train gives them, or start one process")
    if tables.tables:
        of_tables = TablesRun(checkpoint, target, tables, given.key, budget_bytes, machine.seed, run.dry_run, run.force)
        print(of_tables.carry_out(progress_of(context)))
        return
    source = given.load(checkpoint)
    from fmcompress.data.rows import open_tuning_data
    from fmcompress.pipeline import open_job
    from fmcompress.training.run_state import RunFiles

    files = RunFiles(_state_file(target), run.history, resume=run.resume, force=run.force)
    job = open_job(
        source,
        budget_bytes,
        how,
        open_tuning_data(source, rows.train, rows.valid, reading.options(), targets),
        seed=machine.seed,
        device=machine.device,
        tuning=tune,
        files=RunFiles() if run.dry_run else files,
        carries_vocabulary=with_vocab,
        **file.asked,
        progress=progress_of(context),
    )
    told = _carried_out(job, target, dry_run=run.dry_run, force=run.force)
    if this_process().first:
        print(told)


def _carried_out(job: Job, target: Path, *, dry_run: bool, force: bool) -> str:
    """Write the artifact, or only plan it, and return what to say of it."""
    from fmcompress import pipeline
    from fmcompress.files import check_apart
    from fmcompress.sizes import format_size

    if job.data is not None:
        check_apart(target, job.data.files)
    with interruptible(lambda: job.run_state.position and f"--resume goes on from {job.run_state.position}"):
        measured = pipeline.measure(job)
        plan = pipeline.make_plan(job, measured)
        if job.budget_bytes is not None and job.budget_bytes > plan.largest_bytes:
            largest = format_size(plan.largest_bytes)
            job.progress.note(f"the budget is larger than needed: the best artifact has {largest}")
        if dry_run:
            return f"{target} would have {_planned(job, plan)}{_of_keys(job)}"
        model = pipeline.quantize(job, plan, measured)
        if this_process().first:
            model.save(target, force=force)
    job.run_state.clear()
    return f"{target} has {_size(model.file_bytes, job.checkpoint.fp32_bytes)}{_of_keys(job)}"


def _of_keys(job: Job) -> str:
    """Return a line on the 64-bit keys of the checkpoint, which take more than codes do; nothing where it has none."""
    from fmcompress.fm.field_keys import stored_keys
    from fmcompress.sizes import format_size

    found = () if job.checkpoint.vocabulary is None else stored_keys(job.checkpoint.vocabulary.keys)
    size, count = sum(own.bytes for own in found), sum(own.keys for own in found)
    if not count:
        return ""
    what = f"{count:,} keys of categories take {format_size(size)}, {8 * size / count:.1f} bits each"
    return f"\n{what}: " + ("they are in it" if job.carries_vocabulary else "not in it, --with-vocab puts them there")


def _planned(job: Job, plan: Plan) -> str:
    """Return the size that is planned: of a compact artifact, or before a search, the largest that it may have."""
    size = _size(job.method.most_bytes(job, plan), job.checkpoint.fp32_bytes)
    if plan.quantizers is None:
        return f"at most {size}; the search decides"
    return f"at most {size}" if job.origin.compact else size


def _size(file_bytes: int, fp32_bytes: int) -> str:
    from fmcompress.sizes import format_size

    return f"{format_size(file_bytes)}; the checkpoint in fp32 has {fp32_bytes / file_bytes:.2f} times as much"


def _state_file(output: Path) -> Path:
    """Return where the state of a run is kept while its output is made."""
    return output.with_name(f"{output.name}.resume")
