"""Options that several commands share."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional, TypedDict

import typer

if TYPE_CHECKING:
    from fmcompress.fm.schema import Schema
    from fmcompress.fm.vocabulary import Vocabulary


_DATA = "Data"
_CHECKPOINT = "Checkpoints of other tools"
TUNING = "Tuning, with --train"


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
    typer.Option("--train", metavar="DATA", help="File, folder or glob of rows to tune on: Parquet, or libsvm text."),
]
ValidOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--valid", metavar="DATA", help="Rows to choose the best state by. Default: every 20th row of --train."
    ),
]
EpochsOption = Annotated[
    int, typer.Option("--epochs", metavar="N", min=0, help="Passes over --train.", rich_help_panel=TUNING)
]
LabelOption = Annotated[
    str,
    typer.Option(
        "--label",
        metavar="COLUMN",
        help="Column of the labels, 0 and 1; numbers for a regression.",
        rich_help_panel=_DATA,
    ),
]
MatchOption = Annotated[
    Match,
    typer.Option(
        "--match",
        help="Find the columns of fields by name, or take them as they stand, in order.",
        rich_help_panel=_DATA,
    ),
]
OovOption = Annotated[
    Oov,
    typer.Option(
        "--oov",
        help="Ids out of range and unknown tokens are errors, or are counted and contribute nothing (zero).",
        rich_help_panel=_DATA,
    ),
]
FirstIndexOption = Annotated[
    int,
    typer.Option(
        "--first-index",
        metavar="N",
        min=0,
        max=1,
        help="Where indices in libsvm text begin: 0 as libFM counts, or 1.",
        rich_help_panel=_DATA,
    ),
]
DeviceOption = Annotated[Device, typer.Option("--device", help="Where to train: auto is a GPU where there is one.")]
SeedOption = Annotated[
    int,
    typer.Option(
        "--seed", metavar="N", min=0, max=2**31 - 1, help="The same bytes again on the same machine and device."
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", "-f", help="Replace an output that exists.")]
FormatOption = Annotated[Format, typer.Option("--format", help="How to report, to standard output.")]
FieldsOption = Annotated[
    Optional[str],  # noqa: UP045 -- typer reads it on Python 3.10 too
    typer.Option(
        "--fields",
        metavar="NAME:SIZE,…",
        help="Fields and cardinalities, where the file does not say.",
        rich_help_panel=_CHECKPOINT,
    ),
]
LinkOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--link",
        metavar="LINK",
        help="From logit to prediction, where the file does not say: sigmoid, probit, identity, clip:LOW:HIGH.",
        rich_help_panel=_CHECKPOINT,
    ),
]
MapOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--map",
        metavar="v=KEY,w=KEY,b=KEY",
        help="Keys of embeddings, linear weights and bias of a model of your own; ignore=KEY is no part of it.",
        rich_help_panel=_CHECKPOINT,
    ),
]
VocabOption = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        "--vocab",
        metavar="FILE",
        help="Ids of tokens, as JSON: {field: {token: id}}.",
        rich_help_panel=_CHECKPOINT,
    ),
]
InstanceNormOption = Annotated[
    Optional[bool],  # noqa: UP045
    typer.Option(
        "--instance-norm/--no-instance-norm",
        help="Whether an xLearn model was trained with instance-wise normalisation, which is xLearn's default.",
        rich_help_panel=_CHECKPOINT,
    ),
]
DatasetOption = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        "--dataset",
        metavar="FILE",
        help="File that tells the fields of a RecBole or FuxiCTR model, where it is not beside it.",
        rich_help_panel=_CHECKPOINT,
    ),
]


class Reading(TypedDict):
    """What the command line says about a checkpoint: arguments of ``load_checkpoint``."""

    fields: Schema | None
    link: str | None
    keys: dict[str, str] | None
    vocabulary: Vocabulary | None
    instance_norm: bool | None
    dataset: Path | None


def reading(
    *,
    fields: str | None,
    link: str | None,
    keys: str | None,
    vocab: Path | None,
    instance_norm: bool | None,
    dataset: Path | None,
) -> Reading:
    """Return the arguments of ``load_checkpoint`` that the options for checkpoints name.

    Raises:
        UsageError: an option makes no sense.
        DataError: the vocabulary cannot be read.
    """
    if all(text is None for text in (fields, link, keys, vocab)):  # the modules below take longer than a small job
        return Reading(fields=None, link=None, keys=None, vocabulary=None, instance_norm=instance_norm, dataset=dataset)
    from fmcompress.checkpoints.tools.by_keys import parse_keys
    from fmcompress.fm.field_specs import parse_fields
    from fmcompress.fm.links import parse_link
    from fmcompress.fm.vocabulary import read_vocabulary

    return Reading(
        fields=None if fields is None else parse_fields(fields),
        link=None if link is None else str(parse_link(link)),
        keys=None if keys is None else parse_keys(keys),
        vocabulary=None if vocab is None else read_vocabulary(vocab),
        instance_norm=instance_norm,
        dataset=dataset,
    )
