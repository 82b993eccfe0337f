"""``fmcompress quantize``: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from fmcompress.errors import UsageError

from .exits import interruptible
from .methods import (
    CandidatesOption,
    CodesOption,
    CodewordsOption,
    DistanceOption,
    DistanceWeightOption,
    LatentLrOption,
    LinearCodewordsOption,
    MethodName,
    MethodOption,
    PriorOption,
    SearchScopeOption,
    SearchStepsOption,
    SubspacesOption,
    TemperatureOption,
    codes_from,
    method_from,
)
from .options import (
    TUNING,
    CheckpointArgument,
    DatasetOption,
    Device,
    DeviceOption,
    EpochsOption,
    FieldsOption,
    FirstIndexOption,
    ForceOption,
    InstanceNormOption,
    LabelOption,
    LinkOption,
    MapOption,
    Match,
    MatchOption,
    Oov,
    OovOption,
    SeedOption,
    TrainOption,
    ValidOption,
    VocabOption,
    reading,
)
from .state import progress_of

if TYPE_CHECKING:
    from fmcompress.progress import Progress
    from fmcompress.quantization.plan import Plan


def quantize(
    context: typer.Context,
    checkpoint: CheckpointArgument,
    budget: Annotated[
        Optional[str],  # noqa: UP045 -- typer reads it on Python 3.10 too
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
    train: TrainOption = None,
    valid: ValidOption = None,
    fields: FieldsOption = None,
    link: LinkOption = None,
    map_: MapOption = None,
    vocab: VocabOption = None,
    instance_norm: InstanceNormOption = None,
    dataset: DatasetOption = None,
    with_vocab: Annotated[
        bool, typer.Option("--with-vocab", help="Put the vocabulary into the artifact; its bytes count in the budget.")
    ] = False,
    label: LabelOption = "label",
    match: MatchOption = Match.NAME,
    oov: OovOption = Oov.ERROR,
    first_index: FirstIndexOption = 0,
    method: MethodOption = MethodName.AUTO,
    epochs: EpochsOption = 15,
    lr: Annotated[
        float,
        typer.Option("--lr", metavar="RATE", help="Learning rate at the start; it falls to 0.", rich_help_panel=TUNING),
    ] = 5e-3,
    batch_size: Annotated[
        int, typer.Option("--batch-size", metavar="N", min=1, help="Rows of a step.", rich_help_panel=TUNING)
    ] = 2048,
    distillation: Annotated[
        float,
        typer.Option(
            "--distillation",
            metavar="SHARE",
            help="Share of the checkpoint's predictions in the targets, 0 to 1.",
            rich_help_panel=TUNING,
        ),
    ] = 1.0,
    device: DeviceOption = Device.AUTO,
    seed: SeedOption = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan only: print the exact size, write nothing.")] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with a run that was broken off; its state is in FILE.resume of --output.",
            rich_help_panel=TUNING,
        ),
    ] = False,
    history: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--history",
            metavar="FILE",
            help="Write JSON lines that tell how the tuning goes.",
            rich_help_panel=TUNING,
        ),
    ] = None,
    force: ForceOption = False,
    subspaces: SubspacesOption = None,
    codewords: CodewordsOption = None,
    linear_codewords: LinearCodewordsOption = None,
    candidates: CandidatesOption = None,
    search_scope: SearchScopeOption = None,
    search_steps: SearchStepsOption = None,
    codes: CodesOption = None,
    prior: PriorOption = None,
    distance: DistanceOption = None,
    distance_weight: DistanceWeightOption = None,
    temperature: TemperatureOption = None,
    latent_lr: LatentLrOption = None,
) -> None:
    """Compress CHECKPOINT into one file of at most SIZE bytes.

    With --train, it is tuned on rows, and predicts better for the same size.
    """
    how = method_from(
        method,
        {
            "subspaces": subspaces,
            "codewords": codewords,
            "linear_codewords": linear_codewords,
            "candidates": candidates,
            "search_scope": search_scope,
            "search_steps": search_steps,
        },
    )
    moving, reassign = codes_from(
        codes,
        method,
        {
            "prior": prior,
            "distance": distance,
            "distance_weight": distance_weight,
            "temperature": temperature,
            "latent_lr": latent_lr,
        },
    )
    from fmcompress.checkpoints import load_checkpoint
    from fmcompress.files import check_apart, check_writable
    from fmcompress.sizes import parse_size

    budget_bytes = None if budget is None else parse_size(budget)
    target = output or default_output(checkpoint)
    check_apart(target, [checkpoint, *filter(None, (vocab, dataset))])
    if history is not None:
        _check_history(history, checkpoint, target)
    if not dry_run:
        check_writable(target, force=force)
    given = reading(fields=fields, link=link, keys=map_, vocab=vocab, instance_norm=instance_norm, dataset=dataset)
    source = load_checkpoint(checkpoint, **given)

    from fmcompress import pipeline
    from fmcompress.api import open_job
    from fmcompress.data.options import DataOptions
    from fmcompress.finetune.options import TuneOptions
    from fmcompress.training.run_state import RunFiles

    progress = progress_of(context)
    tuning = TuneOptions(
        distillation=distillation, lr=lr, batch_size=batch_size, epochs=epochs, moving=moving, reassign=reassign
    )
    job = open_job(
        source,
        budget_bytes,
        method=how,
        train=train,
        valid=valid,
        options=DataOptions(label, match.value, oov.value, first_index),
        seed=seed,
        device=device.value,
        tuning=tuning,
        files=RunFiles() if dry_run else RunFiles(state_of(target), history, resume=resume, force=force),
        with_vocabulary=with_vocab,
        progress=progress,
    )
    if job.data is not None:
        check_apart(target, job.data.files)
    with interruptible(lambda: job.run_state.position and f"--resume goes on from {job.run_state.position}"):
        measured = pipeline.measure(job)
        plan = pipeline.make_plan(job, measured)
        _note_surplus(progress, budget_bytes, plan.largest_bytes)
        if dry_run:
            print(f"{target} would have {_planned(plan, source.fp32_bytes)}")
            return
        model = pipeline.quantize(job, plan, measured)
        model.save(target, force=force)
    job.run_state.clear()
    print(f"{target} has {_size(model.file_bytes, source.fp32_bytes)}")


def _check_history(history: Path, checkpoint: Path, output: Path) -> None:
    from fmcompress.files import check_apart

    check_apart(history, [checkpoint])
    if history.resolve() in (output.resolve(), state_of(output).resolve()):
        raise UsageError(f"--history is {history}, which this job writes otherwise", hint="name another file")


def _planned(plan: Plan, fp32_bytes: int) -> str:
    if plan.quantizers is not None:
        return _size(plan.file_bytes, fp32_bytes)
    return f"at most {_size(plan.file_bytes, fp32_bytes)}; the search decides"


def _note_surplus(progress: Progress, budget_bytes: int | None, largest_bytes: int) -> None:
    from fmcompress.sizes import format_size

    if budget_bytes is not None and budget_bytes > largest_bytes:
        progress.note(f"the budget is larger than needed: the best artifact has {format_size(largest_bytes)}")


def _size(file_bytes: int, fp32_bytes: int) -> str:
    from fmcompress.sizes import format_size

    return f"{format_size(file_bytes)}; the checkpoint in fp32 has {fp32_bytes / file_bytes:.2f} times as much"


def default_output(checkpoint: Path) -> Path:
    """Return where the artifact of a checkpoint goes: in the current folder, never the checkpoint itself."""
    return Path(f"{checkpoint.absolute().stem}.fmc.safetensors")


def state_of(output: Path) -> Path:
    """Return where the state of a run is kept while its output is made."""
    return output.with_name(f"{output.name}.resume")
