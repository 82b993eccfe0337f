"""``fmcompress sweep``: the size-quality curve."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Optional

import typer

from .methods import MethodName, MethodOption
from .options import (
    CheckpointArgument,
    DatasetOption,
    Device,
    DeviceOption,
    EpochsOption,
    FieldsOption,
    FirstIndexOption,
    Format,
    FormatOption,
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


def sweep(
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
    train: TrainOption = None,
    valid: ValidOption = None,
    data: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--data",
            metavar="DATA",
            help="Labelled rows to measure on. Default: those that the best state is chosen by.",
        ),
    ] = None,
    baselines: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--baselines",
            metavar="NAME,…",
            help="Compare with these, made from --train: smaller-fm, smaller-fm-int8, smaller-fm-int4, rowwise-int4, "
            "pruning, uniform-pq, authors, lightfm, xlightfm.",
        ),
    ] = None,
    fields: FieldsOption = None,
    link: LinkOption = None,
    map_: MapOption = None,
    vocab: VocabOption = None,
    instance_norm: InstanceNormOption = None,
    dataset: DatasetOption = None,
    label: LabelOption = "label",
    match: MatchOption = Match.NAME,
    oov: OovOption = Oov.ERROR,
    first_index: FirstIndexOption = 0,
    method: MethodOption = MethodName.AUTO,
    epochs: EpochsOption = 15,
    device: DeviceOption = Device.AUTO,
    seed: SeedOption = 0,
    format_: FormatOption = Format.TEXT,
    plot: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--plot", metavar="FILE", help="Draw the curve: .svg, .png or .pdf. Needs matplotlib."),
    ] = None,
    output_dir: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--output-dir",
            metavar="FOLDER",
            help="Keep the artifacts here: fm-20000.safetensors for fm.pt and 20KB. Else they are thrown away.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace artifacts and a plot that exist.")] = False,
) -> None:
    """Compress CHECKPOINT to several sizes, and compare them.

    With --train, each is tuned as quantize tunes it. Without labelled rows, the predicted rise of LogLoss is shown.
    """
    from fmcompress.checkpoints import load_checkpoint
    from fmcompress.methods.registry import method_of
    from fmcompress.sweeping.files import CurveFiles
    from fmcompress.sweeping.sweep import parse_budgets, stem_of
    from fmcompress.sweeping.sweep import sweep as make_curve

    given = reading(fields=fields, link=link, keys=map_, vocab=vocab, instance_norm=instance_norm, dataset=dataset)
    source = load_checkpoint(checkpoint, **given)
    sizes = parse_budgets(budgets, source.fp32_bytes)
    CurveFiles(output_dir, stem_of(source), plot, force).check(sizes, [checkpoint])
    curve = make_curve(
        source,
        sizes,
        method=method.value,
        train=train,
        valid=valid,
        data=data,
        baselines=baselines.split(",") if baselines else (),
        label=label,
        match=match.value,
        oov=oov.value,
        first_index=first_index,
        seed=seed,
        device=device.value,
        tuning=replace(method_of(method.value).default_tuning(), epochs=epochs),
        output_dir=output_dir,
        plot=plot,
        force=force,
        progress=progress_of(context),
    )
    text = {Format.TEXT: curve.to_text, Format.JSON: curve.to_json, Format.MARKDOWN: curve.to_markdown}[format_]()
    print(text)
