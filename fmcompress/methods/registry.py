"""The ways to quantize a factorization machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from fmcompress.errors import UsageError
from fmcompress.finetune.options import MovingOptions, ReassignOptions, SearchOptions, TuneOptions
from fmcompress.methods.lightfm.method import LightFM
from fmcompress.methods.xlightfm.search_space import SpaceOptions

__all__ = ["Auto", "LightFM", "Method", "XLightFM", "default_tuning", "method_of"]


@dataclass(frozen=True)
class Auto:
    """Quantizers of each field are chosen by exact allocation; errors cost what they cost the factorization machine."""

    name: ClassVar[str] = "auto"


@dataclass(frozen=True)
class XLightFM:
    """Section 3.4 of the paper: numbers of codewords are searched under the memory limit, on data.

    Attributes:
        space: what is searched.
        search: how.
    """

    name: ClassVar[str] = "xlightfm"
    space: SpaceOptions = field(default_factory=SpaceOptions)
    search: SearchOptions = field(default_factory=SearchOptions)


Method = Auto | LightFM | XLightFM
"""How to quantize."""


def default_tuning(method: Method) -> TuneOptions:
    """Return how a method's model is tuned by default: codes move in the paper's, in ``auto`` they are chosen anew."""
    if isinstance(method, Auto):
        return TuneOptions(reassign=ReassignOptions())
    return TuneOptions(moving=MovingOptions())


def method_of(method: Method | str) -> Method:
    """Return the method that a name stands for, with its defaults.

    Raises:
        UsageError: there is no such method.
    """
    if not isinstance(method, str):
        return method
    known: dict[str, type[Auto] | type[LightFM] | type[XLightFM]] = {m.name: m for m in (Auto, LightFM, XLightFM)}
    if method not in known:
        raise UsageError(f"method is {method!r}, expected {', '.join(known)}")
    return known[method]()
