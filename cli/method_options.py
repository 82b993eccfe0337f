"""Options of ``fmcompress quantize`` that belong to one method, or to codes that change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from fmcompress.errors import UsageError

if TYPE_CHECKING:
    from fmcompress.finetune.options import MovingOptions, ReassignOptions
    from fmcompress.methods.base import Method


class MethodName(str, Enum):
    """How to quantize."""

    AUTO = "auto"
    LIGHTFM = "lightfm"
    XLIGHTFM = "xlightfm"


class Codes(str, Enum):
    """What becomes of codes in tuning."""

    REASSIGNED = "reassigned"
    MOVING = "moving"
    FIXED = "fixed"


class Distance(str, Enum):
    """Weights of the distance loss."""

    NONE = "none"
    MEAN = "mean"
    POPULARITY = "popularity"


class SearchScope(str, Enum):
    """What has architecture weights of its own."""

    CODEBOOK = "codebook"
    FIELD = "field"


_THE_PAPERS = "LightFM and xLightFM"
_SEARCH = "xLightFM's search"
_CODES = "Codes while tuning"
_MOVING = "Codes that move"

MethodOption = Annotated[
    MethodName,
    typer.Option(
        "--method",
        help="auto shares the bytes out among fields exactly; lightfm gives all codebooks the same size; "
        "xlightfm searches their sizes on data.",
    ),
]


@dataclass(frozen=True)
class SizesGroup:
    """Settings of the paper's methods; None where one is not given."""

    subspaces: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            "--subspaces", metavar="D", help="Codebooks of each field.  [default: 4]", rich_help_panel=_THE_PAPERS
        ),
    ] = None
    codewords: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            "--codewords",
            metavar="K",
            help="Codewords of each codebook, for lightfm; smaller fields stay raw.  [default: 1024]",
            rich_help_panel=_THE_PAPERS,
        ),
    ] = None
    linear_codewords: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            "--linear-codewords",
            metavar="K",
            help="Codewords of each field's linear weights; 0 keeps all raw.  [default: 256]",
            rich_help_panel=_THE_PAPERS,
        ),
    ] = None
    candidates: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--candidates",
            metavar="K,K,…",
            help="Numbers of codewords to choose from.  [default: 64,128,256,512,1024,2048]",
            rich_help_panel=_SEARCH,
        ),
    ] = None
    search_scope: Annotated[
        Optional[SearchScope],  # noqa: UP045
        typer.Option(
            "--search-scope",
            help="Search a size for each codebook, or one for all codebooks of a field.  [default: codebook]",
            rich_help_panel=_SEARCH,
        ),
    ] = None
    search_steps: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            "--search-steps", metavar="N", help="Steps of the search.  [default: 3500]", rich_help_panel=_SEARCH
        ),
    ] = None

    def method(self, name: MethodName) -> Method:
        """Return the method that the command line asks for.

        Args:
            name: of the method.

        Raises:
            UsageError: an option belongs to another method, or makes no sense.
        """
        from fmcompress.methods.auto.method import Auto
        from fmcompress.methods.lightfm.method import LightFM
        from fmcompress.methods.xlightfm.method import XLightFM
        from fmcompress.methods.xlightfm.options import SearchOptions, SpaceOptions

        given = _given(self)
        for option in given:
            if option not in _METHODS[name]:
                owners = " or ".join(other.value for other, settings in _METHODS.items() if option in settings)
                raise UsageError(f"{_flag(option)} belongs to --method {owners}, not to {name.value}")
        if name is MethodName.AUTO:
            return Auto()
        if name is MethodName.LIGHTFM:
            return LightFM(**given)
        if "candidates" in given:
            given["candidates"] = _candidates(given["candidates"])
        search = {
            setting: given.pop(option)
            for option, setting in (("search_scope", "scope"), ("search_steps", "steps"))
            if option in given
        }
        return XLightFM(SpaceOptions(**given), SearchOptions(**search))


@dataclass(frozen=True)
class CodesGroup:
    """What becomes of codes in tuning; None where an option is not given."""

    codes: Annotated[
        Optional[Codes],  # noqa: UP045
        typer.Option(
            "--codes",
            help="While tuning, choose codes anew between epochs, let them move with each step, or tune codebooks "
            "only.  [default: reassigned for auto, moving for lightfm and xlightfm]",
            rich_help_panel=_CODES,
        ),
    ] = None
    prior: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(
            "--prior",
            metavar="ROWS",
            help="For how many rows the checkpoint's own embedding counts where codes are chosen anew.  [default: 100]",
            rich_help_panel=_CODES,
        ),
    ] = None
    distance: Annotated[
        Optional[Distance],  # noqa: UP045
        typer.Option(
            "--distance",
            help="Weights of categories in the distance loss; none leaves it out.  [default: popularity]",
            rich_help_panel=_MOVING,
        ),
    ] = None
    distance_weight: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(
            "--distance-weight",
            metavar="λ",
            help="Weight of the distance loss.  [default: 0.01]",
            rich_help_panel=_MOVING,
        ),
    ] = None
    temperature: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(
            "--temperature",
            metavar="T",
            help="Temperature of the softmax that gradients pass, in units of the mean squared distance to a "
            "codeword.  [default: 0.3]",
            rich_help_panel=_MOVING,
        ),
    ] = None
    latent_lr: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(
            "--latent-lr",
            metavar="RATE",
            help="Learning rate of latent embeddings, in units of their distance to a codeword.  [default: 0.03]",
            rich_help_panel=_MOVING,
        ),
    ] = None

    def options(self, method: MethodName) -> tuple[MovingOptions | None, ReassignOptions | None]:
        """Return how codes move with each step, and how they are assigned anew between epochs; None where not.

        Args:
            method: how to quantize: it decides where ``codes`` is None.

        Raises:
            UsageError: an option is given for codes that do not change so, or makes no sense.
        """
        from fmcompress.finetune.options import MovingOptions, ReassignOptions

        codes = self.codes or (Codes.REASSIGNED if method is MethodName.AUTO else Codes.MOVING)
        given = _given(replace(self, codes=None))
        for option in given:
            owner = Codes.REASSIGNED if option == "prior" else Codes.MOVING
            if codes is not owner:
                raise UsageError(f"{_flag(option)} belongs to --codes {owner.value}, not to {codes.value}")
        moving = MovingOptions(**given) if codes is Codes.MOVING else None
        return moving, ReassignOptions(**given) if codes is Codes.REASSIGNED else None


# Which settings of which method an option is.
_METHODS: Mapping[MethodName, tuple[str, ...]] = {
    MethodName.AUTO: (),
    MethodName.LIGHTFM: ("subspaces", "codewords", "linear_codewords"),
    MethodName.XLIGHTFM: ("subspaces", "linear_codewords", "candidates", "search_scope", "search_steps"),
}


def _given(group: SizesGroup | CodesGroup) -> dict[str, Any]:
    """Return the options of a group that were given, as plain values."""
    values = {field.name: getattr(group, field.name) for field in fields(group)}
    return {name: getattr(value, "value", value) for name, value in values.items() if value is not None}


def _flag(option: str) -> str:
    return "--" + option.replace("_", "-")


def _candidates(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--candidates is {text!r}, expected numbers such as 64,128,256") from None
