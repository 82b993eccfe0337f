"""``fmcompress sweep``: the size-quality curve."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from .method_options import MethodOption
from .options import (
    CheckpointArgument,
    CheckpointGroup,
    EpochsOption,
    FormatOption,
    LayoutOption,
    MachineGroup,
    RowsGroup,
    TuningRowsGroup,
    shown,
    with_groups,
)
from .progress import progress_of


@dataclass(frozen=True)
class _MeasuredGroup:
    """What artifacts are measured on, and compared with."""

    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA", help="Labelled rows to measure on. Default: those that the best state is chosen by."
        ),
    ] = None
    baselines: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,…",
            help="Compare with these, made from --train: smaller-fm, smaller-fm-int8, smaller-fm-int4, rowwise-int4, "
            "pruning, shared-tail, mpe, mec, shaver, dfm, qr, md, dhe, uniform-pq, authors, lightfm, xlightfm.",
        ),
    ] = None


@dataclass(frozen=True)
class _OutputGroup:
    """What is written."""

    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the curve: .svg, .png or .pdf. Needs matplotlib.")
    ] = None
    output_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Keep the artifacts here: fm-20000.safetensors for fm.pt and 20KB. Else they are thrown away.",
        ),
    ] = None
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace artifacts and a plot that exist.")] = False


@with_groups
def sweep(
    *,
    context: typer.Context,
    checkpoint: CheckpointArgument,
    budgets: Annotated[
        str,
        typer.Option(
            "--budgets",
            "-b",
            metavar="SIZE,…",
            help="What files may take: sizes such as 20KB, or ratios such as 10x, by which the checkpoint's fp32 bytes "
            "are divided.",
        ),
    ],
    rows: TuningRowsGroup,
    measured: _MeasuredGroup,
    given: CheckpointGroup,
    reading: RowsGroup,
    method: MethodOption = "auto",
    epochs: EpochsOption = 15,
    layout: LayoutOption = "compact",
    machine: MachineGroup,
    format_: FormatOption = "text",
    output: _OutputGroup,
) -> None:
    """Compress CHECKPOINT to several sizes, and compare them.

    With --train, each is tuned as quantize tunes it. Without labelled rows, the predicted rise of LogLoss is shown.
    """
    from fmcompress.methods.registry import method_of
    from fmcompress.sweeping.sweep import SweepFiles, parse_budgets
    from fmcompress.sweeping.sweep import sweep as make_curve

    source = given.load(checkpoint)
    sizes = parse_budgets(budgets, source.fp32_bytes)
    SweepFiles.of(source, output.output_dir, output.plot, force=output.force).check(sizes, [checkpoint])
    curve = make_curve(
        source,
        sizes,
        method=method,
        train=rows.train,
        valid=rows.valid,
        data=measured.data,
        baselines=measured.baselines.split(",") if measured.baselines else (),
        seed=machine.seed,
        device=machine.device,
        tuning=replace(method_of(method).default_tuning(), epochs=epochs),
        output_dir=output.output_dir,
        plot=output.plot,
        force=output.force,
        progress=progress_of(context),
        layout=layout,
        **asdict(reading),
    )
    print(shown(curve, format_))
