"""Options that several commands share."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Optional

import typer


class Match(str, Enum):
    """How columns of the data find their fields."""

    NAME = "name"
    ORDER = "order"


class Oov(str, Enum):
    """What becomes of an id that is out of range."""

    ERROR = "error"
    ZERO = "zero"


class Device(str, Enum):
    """Where training runs."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Format(str, Enum):
    """How a command reports."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


CheckpointArgument = Annotated[
    Path, typer.Argument(metavar="CHECKPOINT", help="A trained factorization machine.", show_default=False)
]
TrainOption = Annotated[
    Optional[str],  # noqa: UP045 -- typer reads these on Python 3.10 too
    typer.Option("--train", metavar="DATA", help="Parquet file, folder or glob to tune on."),
]
ValidOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--valid", metavar="DATA", help="Data to choose the best state by; else a part of --train."),
]
EpochsOption = Annotated[int, typer.Option("--epochs", metavar="N", min=0, help="Passes over --train.")]
LabelOption = Annotated[str, typer.Option("--label", metavar="COLUMN", help="Column of the labels, 0 and 1.")]
MatchOption = Annotated[
    Match,
    typer.Option("--match", help="Find the columns of fields by name, or take them as they stand, in order."),
]
OovOption = Annotated[
    Oov,
    typer.Option("--oov", help="An id out of range is an error, or is counted and contributes nothing (zero)."),
]
DeviceOption = Annotated[Device, typer.Option("--device", help="Where to train: auto is a GPU where there is one.")]
SeedOption = Annotated[
    int,
    typer.Option("--seed", metavar="N", min=0, max=2**31 - 1, help="The same seed and device give the same bytes."),
]
ForceOption = Annotated[bool, typer.Option("--force", "-f", help="Replace an output that exists.")]
FormatOption = Annotated[Format, typer.Option("--format", help="How to report, to standard output.")]
FieldsOption = Annotated[
    Optional[str],  # noqa: UP045 -- typer reads it on Python 3.10 too
    typer.Option("--fields", metavar="NAME:SIZE,…", help="Fields and cardinalities, where the file does not say."),
]
