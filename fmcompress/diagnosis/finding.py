"""One thing that was looked at, and how it stands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Status = Literal["ok", "warning", "problem"]

_ORDER: tuple[Status, ...] = ("ok", "warning", "problem")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: of what was looked at: ``torch``, ``GPU``, ``memory``.
        text: what was found.
        status: ``warning`` where something will be slow or amiss, ``problem`` where a command cannot work.
        hint: what to do about it, or None.
    """

    name: str
    text: str
    status: Status = "ok"
    hint: str | None = None


def worst(findings: Iterable[Finding]) -> Status:
    """Return how things stand altogether."""
    return max((finding.status for finding in findings), key=_ORDER.index, default="ok")


def home_as_tilde(text: str) -> str:
    """Return a text in which the home folder, which often has a person's name, is ``~``."""
    home = str(Path("~").expanduser())
    return text.replace(home, "~") if len(home) > 1 else text
