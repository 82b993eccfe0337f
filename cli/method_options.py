"""Options of ``fmcompress quantize`` that belong to one method, or to codes that change."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import typer

from fmcompress.errors import UsageError
from fmcompress.finetune.options import Distance, MovingOptions, ReassignOptions

if TYPE_CHECKING:
    from fmcompress.methods.base import Method

MethodName = Literal["auto", "lightfm", "xlightfm"]
Codes = Literal["reassigned", "moving", "fixed"]

_SEARCH = "xLightFM's search"
_CODES = "Codes while tuning"

# Which settings of which method an option is.
_SETTINGS: dict[MethodName, tuple[str, ...]] = {
    "auto": (),
    "lightfm": ("subspaces", "codewords", "linear_codewords"),
    "xlightfm": ("subspaces", "linear_codewords", "candidates", "search", "search_scope", "search_steps"),
}

MethodOption = Annotated[
    MethodName,
    typer.Option(
        help="auto shares the bytes out among fields exactly; lightfm gives all codebooks the same size; "
        "xlightfm searches their sizes on data."
    ),
]


@dataclass(frozen=True)
class SizesGroup:
    """Settings of the paper's methods; None where one is not given."""

    PANEL: ClassVar[str] = "LightFM and xLightFM"
    subspaces: Annotated[int | None, typer.Option(metavar="D", help="Codebooks of each field.  [default: 4]")] = None
    codewords: Annotated[
        int | None,
        typer.Option(
            metavar="K", help="Codewords of each codebook, for lightfm; smaller fields stay raw.  [default: 1024]"
        ),
    ] = None
    linear_codewords: Annotated[
        int | None,
        typer.Option(metavar="K", help="Codewords of each field's linear weights; 0 keeps all raw.  [default: 256]"),
    ] = None
    candidates: Annotated[
        str | None,
        typer.Option(
            metavar="K,K,…",
            help="Numbers of codewords to choose from.  [default: 16 to 2048, for darts 64 to 2048, in powers of two]",
            rich_help_panel=_SEARCH,
        ),
    ] = None
    search: Annotated[
        Literal["sampled", "darts"] | None,
        typer.Option(
            help="How sizes are searched: sampled trains one choice of them at a time and measures single ones on "
            "validation data; darts is the paper's search by Gumbel-softmax.  [default: sampled]",
            rich_help_panel=_SEARCH,
        ),
    ] = None
    search_scope: Annotated[
        Literal["codebook", "field"] | None,
        typer.Option(
            help="Search a size for each codebook, or one for all codebooks of a field.  [default: codebook]",
            rich_help_panel=_SEARCH,
        ),
    ] = None
    search_steps: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Steps of the search.  [default: as many as of tuning, for darts 3500]",
            rich_help_panel=_SEARCH,
        ),
    ] = None

    def method(self, name: MethodName) -> Method:
        """Return the method that the command line asks for.

        Raises:
            UsageError: an option belongs to another method, or makes no sense.
        """
        from fmcompress.methods.auto.method import Auto
        from fmcompress.methods.lightfm.method import LightFM
        from fmcompress.methods.xlightfm.method import XLightFM
        from fmcompress.methods.xlightfm.options import SearchOptions, SpaceOptions

        given = _given(self)
        for option in given:
            if option not in _SETTINGS[name]:
                owners = " or ".join(other for other, settings in _SETTINGS.items() if option in settings)
                raise UsageError(f"{_flag(option)} belongs to --method {owners}, not to {name}")
        if name == "auto":
            return Auto()
        if name == "lightfm":
            return LightFM(**given)
        if "candidates" in given:
            given["candidates"] = _candidates(given["candidates"])
        searched = [option for option in given if option.startswith("search_")]
        search = {option.removeprefix("search_"): given.pop(option) for option in searched}
        if "search" in given:
            search["recipe"] = given.pop("search")
        return XLightFM(SpaceOptions(**given), SearchOptions(**search))


@dataclass(frozen=True)
class CodesGroup:
    """What becomes of codes in tuning; None where an option is not given."""

    PANEL: ClassVar[str] = "Codes that move"
    codes: Annotated[
        Codes | None,
        typer.Option(
            help="While tuning, choose codes anew between epochs, let them move with each step, or tune codebooks "
            "only.  [default: reassigned for auto, moving for lightfm and xlightfm]",
            rich_help_panel=_CODES,
        ),
    ] = None
    prior: Annotated[
        float | None,
        typer.Option(
            metavar="ROWS",
            help="For how many rows the checkpoint's own embedding counts where codes are chosen anew.  [default: 100]",
            rich_help_panel=_CODES,
        ),
    ] = None
    distance: Annotated[
        Distance | None,
        typer.Option(help="Weights of categories in the distance loss; none leaves it out.  [default: popularity]"),
    ] = None
    distance_weight: Annotated[
        float | None, typer.Option(metavar="λ", help="Weight of the distance loss.  [default: 0.01]")
    ] = None
    temperature: Annotated[
        float | None,
        typer.Option(
            metavar="T",
            help="Temperature of the softmax that gradients pass, in units of the mean squared distance to a "
            "codeword.  [default: 0.3]",
        ),
    ] = None
    latent_lr: Annotated[
        float | None,
        typer.Option(
            metavar="RATE",
            help="Learning rate of latent embeddings, in units of their distance to a codeword.  [default: 0.03]",
        ),
    ] = None

    def options(self, method: MethodName) -> tuple[MovingOptions | None, ReassignOptions | None]:
        """Return how codes move with each step, and how they are assigned anew between epochs; None where not.

        Args:
            method: how to quantize: it decides where ``codes`` is None.

        Raises:
            UsageError: an option is given for codes that do not change so, or makes no sense.
        """
        codes = self.codes or ("reassigned" if method == "auto" else "moving")
        given = _given(replace(self, codes=None))
        for option in given:
            owner = "reassigned" if option == "prior" else "moving"
            if codes != owner:
                raise UsageError(f"{_flag(option)} belongs to --codes {owner}, not to {codes}")
        moving = MovingOptions(**given) if codes == "moving" else None
        return moving, ReassignOptions(**given) if codes == "reassigned" else None


def _given(group: SizesGroup | CodesGroup) -> dict[str, Any]:
    """Return the options of a group that were given."""
    values = {field.name: getattr(group, field.name) for field in fields(group)}
    return {name: value for name, value in values.items() if value is not None}


def _flag(option: str) -> str:
    return "--" + option.replace("_", "-")


def _candidates(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--candidates is {text!r}, expected numbers such as 64,128,256") from None
