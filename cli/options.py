"""Options that several commands share, in groups."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

if TYPE_CHECKING:
    from fmcompress.data.options import DataOptions
    from fmcompress.fm.checkpoint import FMCheckpoint
    from fmcompress.fm.vocabulary import Vocabulary

# typer reads Optional[…] on Python 3.10 too, hence the noqa: UP045 of each.

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
LabelOption = Annotated[
    str,
    typer.Option(
        "--label",
        metavar="COLUMN",
        help="Column of the labels, 0 and 1; numbers for a regression.",
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
EpochsOption = Annotated[
    int, typer.Option("--epochs", metavar="N", min=0, help="Passes over --train.", rich_help_panel=TUNING)
]
ForceOption = Annotated[bool, typer.Option("--force", "-f", help="Replace an output that exists.")]
FormatOption = Annotated[Format, typer.Option("--format", help="How to report, to standard output.")]
VocabOption = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        "--vocab",
        metavar="FILE",
        help="Ids of tokens, as JSON: {field: {token: id}}.",
        rich_help_panel=_CHECKPOINT,
    ),
]


@dataclass(frozen=True)
class RowsGroup:
    """How rows are read."""

    label: LabelOption = "label"
    match: Annotated[
        Match,
        typer.Option(
            "--match",
            help="Find the columns of fields by name, or take them as they stand, in order.",
            rich_help_panel=_DATA,
        ),
    ] = Match.NAME
    oov: Annotated[
        Oov,
        typer.Option(
            "--oov",
            help="Ids out of range and unknown tokens are errors, or are counted and contribute nothing (zero).",
            rich_help_panel=_DATA,
        ),
    ] = Oov.ERROR
    first_index: FirstIndexOption = 0

    @property
    def given(self) -> dict[str, Any]:
        """These options as arguments of the Python API."""
        return {
            "label": self.label,
            "match": self.match.value,
            "oov": self.oov.value,
            "first_index": self.first_index,
        }

    def options(self) -> DataOptions:
        """Return how rows are read."""
        from fmcompress.data.options import DataOptions

        return DataOptions(**self.given)


@dataclass(frozen=True)
class CheckpointGroup:
    """What a checkpoint of another tool does not tell."""

    fields: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--fields",
            metavar="NAME:SIZE,…",
            help="Fields and cardinalities, where the file does not say.",
            rich_help_panel=_CHECKPOINT,
        ),
    ] = None
    link: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--link",
            metavar="LINK",
            help="From logit to prediction, where the file does not say: sigmoid, probit, identity, clip:LOW:HIGH.",
            rich_help_panel=_CHECKPOINT,
        ),
    ] = None
    map_: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--map",
            metavar="v=KEY,w=KEY,b=KEY",
            help="Keys of embeddings, linear weights and bias of a model of your own; ignore=KEY is no part of it.",
            rich_help_panel=_CHECKPOINT,
        ),
    ] = None
    vocab: VocabOption = None
    instance_norm: Annotated[
        Optional[bool],  # noqa: UP045
        typer.Option(
            "--instance-norm/--no-instance-norm",
            help="Whether an xLearn model was trained with instance-wise normalisation, which is xLearn's default.",
            rich_help_panel=_CHECKPOINT,
        ),
    ] = None
    dataset: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--dataset",
            metavar="FILE",
            help="File that tells the fields of a RecBole or FuxiCTR model, where it is not beside it.",
            rich_help_panel=_CHECKPOINT,
        ),
    ] = None

    @property
    def files(self) -> list[Path]:
        """The files that are read beside a checkpoint."""
        return [path for path in (self.vocab, self.dataset) if path is not None]

    def given(self) -> dict[str, Any]:
        """Return these options as arguments of ``load_checkpoint`` and ``load_model``.

        Raises:
            UsageError: an option makes no sense.
            DataError: the vocabulary cannot be read.
        """
        given: dict[str, Any] = {"instance_norm": self.instance_norm, "dataset": self.dataset}
        if self.fields is not None:  # what reads them takes longer to import than a small job
            from fmcompress.fm.field_specs import parse_fields

            given["fields"] = parse_fields(self.fields)
        if self.link is not None:
            from fmcompress.fm.links import parse_link

            given["link"] = str(parse_link(self.link))
        if self.map_ is not None:
            from fmcompress.checkpoints.tools.by_keys import parse_keys

            given["keys"] = parse_keys(self.map_)
        return {**given, "vocabulary": vocabulary_of(self.vocab)}

    def load(self, path: Path) -> FMCheckpoint:
        """Return the checkpoint in a file.

        Raises:
            UsageError: an option makes no sense.
            CheckpointError: the file cannot be read.
        """
        from fmcompress.checkpoints import load_checkpoint

        return load_checkpoint(path, **self.given())


@dataclass(frozen=True)
class TuningRowsGroup:
    """Rows to tune on."""

    train: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--train", metavar="DATA", help="File, folder or glob of rows to tune on: Parquet, or libsvm text."
        ),
    ] = None
    valid: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--valid", metavar="DATA", help="Rows to choose the best state by. Default: every 20th row of --train."
        ),
    ] = None


@dataclass(frozen=True)
class MachineGroup:
    """What decides the bytes of a result, beside the input."""

    device: Annotated[Device, typer.Option("--device", help="Where to train: auto is a GPU where there is one.")] = (
        Device.AUTO
    )
    seed: Annotated[
        int,
        typer.Option(
            "--seed", metavar="N", min=0, max=2**31 - 1, help="The same bytes again on the same machine and device."
        ),
    ] = 0


def vocabulary_of(path: Path | None) -> Vocabulary | None:
    """Return the vocabulary in a file; None where there is none.

    Raises:
        DataError: it cannot be read.
    """
    if path is None:
        return None
    from fmcompress.fm.vocabulary import read_vocabulary

    return read_vocabulary(path)


def shown(found: Any, format_: Enum) -> str:
    """Return a result in a format: what its method ``to_text``, ``to_json`` and so on returns."""
    text: str = getattr(found, f"to_{format_.value}")()
    return text.rstrip("\n")
