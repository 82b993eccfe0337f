"""``fmcompress train``: a vanilla factorization machine, the yardstick, or a DeepFM or an NFM."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmcompress.errors import UsageError
from fmcompress.processes.world import this_process

from .folds import FoldsGroup
from .options import BackboneGroup, FirstIndexOption, ForceOption, LabelOption, MachineGroup, PoolingOption, with_groups
from .processes import together
from .progress import progress_of

if TYPE_CHECKING:
    from fmcompress.backbones.training import TrainedFM, TrainOptions
    from fmcompress.data.options import DataOptions
    from fmcompress.data.rows import Rows
    from fmcompress.progress import Progress

_MAX_DIM = 65_536


@with_groups
@together
def train(
    *,
    context: typer.Context,
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="File, folder, glob or URI of training rows: Parquet, CSV or libsvm text.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Checkpoint to write, .pt or .safetensors.")
    ],
    valid: Annotated[
        str | None, typer.Option(metavar="DATA", help="Validation rows. Default: every 20th row of DATA is held out.")
    ] = None,
    fields: Annotated[
        str | None,
        typer.Option(metavar="NAME:SIZE,…", help="Fields and cardinalities. Default: columns, and what occurs."),
    ] = None,
    pooling: PoolingOption = "mean",
    label: LabelOption = "label",
    first_index: FirstIndexOption = 0,
    dim: Annotated[int, typer.Option(metavar="N", min=1, max=_MAX_DIM, help="Embedding size l.")] = 32,
    l2: Annotated[
        str, typer.Option(metavar="WEIGHT", help="L2 weight; auto finds one by short trainings, on validation rows.")
    ] = "auto",
    lr: Annotated[str, typer.Option(metavar="RATE", help="Learning rate of Adam at the start; or auto.")] = "auto",
    batch_size: Annotated[int, typer.Option(metavar="N", min=1, help="Rows of a step.")] = 4096,
    epochs: Annotated[int, typer.Option(metavar="N", min=1, help="Passes over the data at most.")] = 100,
    patience: Annotated[int, typer.Option(metavar="N", min=1, help="Epochs to wait for a better state.")] = 2,
    out_of_fold: FoldsGroup,
    network: BackboneGroup,
    machine: MachineGroup,
    force: ForceOption = False,
) -> None:
    """Train a factorization machine, a DeepFM or an NFM on DATA.

    Validation rows choose the state that is kept, the learning rate and the L2 weight unless they are given, and two
    numbers that calibrate it. Checkpoints of other tools serve as well. With --folds, more models predict rows that
    they were not trained on: targets for quantize to learn from.
    """
    from fmcompress.checkpoints import check_saveable
    from fmcompress.data.options import DataOptions

    if this_process().first:
        check_saveable(output, force=force)
        out_of_fold.check(output, force=force)
    weight, rate, model = _number("--l2", l2), _number("--lr", lr), network.settings()
    reading = DataOptions(label, first_index=first_index)
    rows, held_out = _rows(data, valid, fields, pooling, reading)
    written = out_of_fold.opened(data, rows, reading)
    from fmcompress.backbones.training import TrainOptions
    from fmcompress.training.device import resolve_device

    learning = dim, weight, rate, batch_size, epochs, patience, machine.seed, resolve_device(machine.device)
    progress, options = _warned(progress_of(context), rows, held_out), TrainOptions(*learning, *model)
    found = _train(rows, held_out, options, output, force=force, progress=progress)
    out_of_fold.write(found, (rows, held_out, written), options, force=force, to=progress)


def _rows(data: str, valid: str | None, fields: str | None, pooling: str, options: DataOptions) -> tuple[Rows, Rows]:
    """Return training and validation rows."""
    from fmcompress.data.rows import open_training_rows
    from fmcompress.fm.field_specs import parse_fields
    from fmcompress.fm.pooling import parse_pooling

    schema = parse_fields(fields) if fields else None
    return open_training_rows(data, valid, schema=schema, options=options, pooling=parse_pooling(pooling))


def _warned(progress: Progress, rows: Rows, valid: Rows) -> Progress:
    """Tell what is doubtful of training and validation rows, and return what it was told to."""
    from fmcompress.data.rows import doubts_of

    for doubt in doubts_of(rows, valid):
        progress.warn(str(doubt))
    return progress


def _train(
    rows: Rows, valid: Rows, options: TrainOptions, output: Path, *, force: bool, progress: Progress
) -> TrainedFM:
    """Train, write the checkpoint, tell of it, and return what was found."""
    from fmcompress.backbones.training import train as train_fm
    from fmcompress.checkpoints import save_checkpoint

    found = train_fm(rows, valid, options, progress=progress)
    if this_process().first:
        save_checkpoint(found.checkpoint, output, force=force)
        calibrated = "" if found.calibration.identity else f", calibrated: {found.calibration}"
        print(f"{output}: learning rate {found.lr:.1e}, L2 {found.l2:.1e}, validation {found.scores}{calibrated}")
    return found


def _number(option: str, text: str) -> float | None:
    if text == "auto":
        return None
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(f"{option} is {text!r}, expected auto or a number") from error
