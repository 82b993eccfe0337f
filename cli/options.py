"""Options that several commands share, and groups of options.

A group is a dataclass whose fields are options of typer: a command that takes it as a parameter has these options in
its place, and gets them as one object. In help they stand under the group's ``PANEL``, unless they name another.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args, get_type_hints

import typer

from fmcompress.errors import UsageError
from fmcompress.training.device import Device

if TYPE_CHECKING:
    from fmcompress.data.options import DataOptions
    from fmcompress.fm.checkpoint import FMCheckpoint
    from fmcompress.fm.vocabulary import Vocabulary

CONFIG_VARIABLE = "FMCOMPRESS_CONFIG"
TUNING = "Tuning, with --train"
_CHECKPOINT = "Checkpoints of other tools"
_DATA = "Data"

Format = Literal["text", "json", "markdown"]

CheckpointArgument = Annotated[
    Path, typer.Argument(metavar="CHECKPOINT", help="A trained factorization machine.", show_default=False)
]
LabelOption = Annotated[
    str,
    typer.Option(
        metavar="COLUMN", help="Column of the labels, 0 and 1; numbers for a regression.", rich_help_panel=_DATA
    ),
]
PoolingOption = Annotated[
    str,
    typer.Option(
        metavar="HOW",
        help="What becomes of lists where --fields is not given: mean, sum, sqrtn, or each value a term.",
        rich_help_panel=_DATA,
    ),
]
FirstIndexOption = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=0,
        max=1,
        help="Where indices in libsvm text begin: 0 as libFM counts, or 1.",
        rich_help_panel=_DATA,
    ),
]
EpochsOption = Annotated[int, typer.Option(metavar="N", min=0, help="Passes over --train.", rich_help_panel=TUNING)]
ForceOption = Annotated[bool, typer.Option("--force", "-f", help="Replace an output that exists.")]
FormatOption = Annotated[Format, typer.Option("--format", help="How to report, to standard output.")]
VocabOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Ids of tokens, as JSON: {field: {token: id}}; of 64-bit keys, as Parquet: field, key, id.",
        rich_help_panel=_CHECKPOINT,
    ),
]


def with_groups(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command take groups of options: its parameters whose type is a dataclass.

    Args:
        command: a function as typer takes it, but for these parameters.

    Returns:
        What typer takes: it has the options of the groups in their place, and is called by keyword.
    """
    own = inspect.signature(command, eval_str=True).parameters
    groups: dict[str, Any] = {name: one.annotation for name, one in own.items() if is_dataclass(one.annotation)}
    options = [
        option
        for name, one in own.items()
        for option in (_options(groups[name]) if name in groups else [one.replace(kind=inspect.Parameter.KEYWORD_ONLY)])
    ]

    @wraps(command)
    def collected(**given: Any) -> Any:
        filled = {
            name: group(**{field.name: given.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        return command(**given, **filled)

    collected.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    return collected


def _options(group: Any) -> Iterator[inspect.Parameter]:
    """Yield the options of a group as parameters; one without a default must be given."""
    hints = get_type_hints(group, include_extras=True)
    for field in fields(group):
        kind, option = get_args(hints[field.name])
        option = copy(option)
        option.rich_help_panel = option.rich_help_panel or getattr(group, "PANEL", None)
        yield inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=Annotated[kind, option],
        )


@dataclass(frozen=True)
class GlobalOptions:
    """Options of the program, which stand before the command or behind it."""

    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where an error comes from, and which configuration is in force.")
    ] = False
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            envvar=CONFIG_VARIABLE,
            show_envvar=False,
            help="Read this file of configuration, not the nearest fmcompress.toml or pyproject.toml.",
        ),
    ] = None
    no_config: Annotated[bool, typer.Option("--no-config", help="Read no file of configuration.")] = False


@dataclass(frozen=True)
class RowsGroup:
    """How rows are read: the fields of ``DataOptions``."""

    PANEL: ClassVar[str] = _DATA
    label: LabelOption = "label"
    match: Annotated[
        Literal["name", "order"],
        typer.Option(help="Find the columns of fields by name, or take them as they stand, in order."),
    ] = "name"
    oov: Annotated[
        Literal["error", "zero"],
        typer.Option(
            help="Ids out of range and unknown tokens are errors, or are counted and contribute nothing (zero)."
        ),
    ] = "error"
    first_index: FirstIndexOption = 0

    def options(self) -> DataOptions:
        """Return how rows are read."""
        from fmcompress.data.options import DataOptions

        return DataOptions(self.label, self.match, self.oov, self.first_index)


@dataclass(frozen=True)
class CheckpointGroup:
    """What a checkpoint of another tool does not tell."""

    PANEL: ClassVar[str] = _CHECKPOINT
    fields: Annotated[
        str | None, typer.Option(metavar="NAME:SIZE,…", help="Fields and cardinalities, where the file does not say.")
    ] = None
    link: Annotated[
        str | None,
        typer.Option(
            metavar="LINK",
            help="From logit to prediction, where the file does not say: sigmoid, probit, identity, clip:LOW:HIGH.",
        ),
    ] = None
    key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="Where the weights are in a file that holds several models, such as net or ema.",
        ),
    ] = None
    map_: Annotated[
        str | None,
        typer.Option(
            "--map",
            metavar="v=KEY,w=KEY,b=KEY",
            help="Keys of embeddings, linear weights and bias of a model of your own; ignore=KEY is no part of it. "
            "Or columns of a Parquet table: key=, field= and count= too.",
        ),
    ] = None
    vocab: VocabOption = None
    instance_norm: Annotated[
        bool | None,
        typer.Option(
            help="Whether an xLearn model was trained with instance-wise normalisation, which is xLearn's default."
        ),
    ] = None
    dataset: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="File that tells the fields of a RecBole or FuxiCTR model, where it is not beside it."
        ),
    ] = None
    activation: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,…",
            help="Activation of the hidden layers of a DeepFM or an NFM, where the file does not say: relu, "
            "leaky_relu, sigmoid, tanh, elu, identity; one of all, or one of each. Default: relu.",
        ),
    ] = None

    @property
    def of_machine(self) -> dict[str, object]:
        """Options that only factorization machines have use for, as they are given."""
        plain = {"--fields": self.fields, "--link": self.link, "--map": self.map_, "--vocab": self.vocab}
        return {**plain, "--instance-norm": self.instance_norm is not None, "--dataset": self.dataset}

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
        given: dict[str, Any] = {"instance_norm": self.instance_norm, "dataset": self.dataset, "key": self.key}
        given["activation"] = self.activation
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


LayoutOption = Annotated[
    Literal["compact", "plain"],
    typer.Option(help="Compact, or plain: larger, for older readers, and to be used where the file lies."),
]


@dataclass(frozen=True)
class LayoutGroup:
    """What the bytes of an artifact are."""

    layout: LayoutOption = "compact"
    no_provenance: Annotated[
        bool, typer.Option("--no-provenance", help="Do not say where it comes from: checkpoint, versions, quality.")
    ] = False

    @property
    def asked(self) -> dict[str, Any]:
        """The same as arguments of ``quantize`` and ``sweep``."""
        return {"layout": self.layout, "provenance": not self.no_provenance}


@dataclass(frozen=True)
class TuningRowsGroup:
    """Rows to tune on."""

    train: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="File, folder, glob or URI of rows to tune on: Parquet, CSV or libsvm text."),
    ] = None
    valid: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="Rows to choose the best state by. Default: every 20th row of --train."),
    ] = None


@dataclass(frozen=True)
class BackboneGroup:
    """What is trained."""

    backbone: Annotated[
        Literal["fm", "deepfm", "nfm"],
        typer.Option(help="A factorization machine alone, or one with a network on top: DeepFM or NFM."),
    ] = "fm"
    hidden: Annotated[
        str, typer.Option(metavar="N,…", help="Sizes of a network's hidden layers; none with an empty text.")
    ] = "64,32"
    dropout: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of a network's hidden numbers that a step leaves out.")
    ] = 0.3

    calibrate: Annotated[bool, typer.Option(help="End with a · logit + b that are best on validation rows.")] = True

    def settings(self) -> tuple[str, tuple[int, ...], float, bool]:
        """Return backbone, sizes of hidden layers, dropout, and whether logits are calibrated.

        Raises:
            UsageError: the sizes are no whole numbers.
        """
        try:
            hidden = tuple(int(size) for size in self.hidden.split(",") if size.strip())
        except ValueError as error:
            raise UsageError(f"--hidden is {self.hidden!r}, expected whole numbers such as 64,32") from error
        return self.backbone, hidden, self.dropout, self.calibrate


@dataclass(frozen=True)
class MachineGroup:
    """What decides the bytes of a result, beside the input."""

    device: Annotated[Device, typer.Option(help="Where the heavy work is done: auto is a GPU where there is one.")] = (
        "auto"
    )
    seed: Annotated[
        int,
        typer.Option(metavar="N", min=0, max=2**31 - 1, help="The same bytes again on the same machine and device."),
    ] = 0


def vocabulary_of(path: Path | None) -> Vocabulary | None:
    """Return the vocabulary in a file; None where there is none.

    Raises:
        DataError: it cannot be read.
    """
    if path is None:
        return None
    from fmcompress.data.vocabulary_file import read_vocabulary

    return read_vocabulary(path)


def shown(found: Any, format_: str) -> str:
    """Return a result in a format: what its method ``to_text``, ``to_json`` and so on returns."""
    text: str = getattr(found, f"to_{format_}")()
    return text.rstrip("\n")
