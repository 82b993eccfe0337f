"""What configuration can set: the options of a command, their types and their choices."""

import inspect
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from typer.models import OptionInfo

from fmcompress.files import is_uri

# Each run is asked for these anew: a file that sets them would take away what they guard.
ASKED_FOR = ("dry-run", "exit-zero", "force", "help", "resume")

_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off")
_GLOB = "*?["


@dataclass(frozen=True)
class Key:
    """An option that a file or an environment variable can set.

    Attributes:
        name: of the option, without its dashes: ``batch-size``.
        parameter: of the command's function: ``batch_size``.
        kind: ``bool``, ``int``, ``float``, ``str`` or ``Path``.
        choices: its possible values; empty where all values of its kind are.
        low: smallest number, or None.
        high: largest number, or None.
        path: whether it names files.
        comma: whether it is a text that lists several things, with commas.
    """

    name: str
    parameter: str
    kind: type
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    path: bool = False
    comma: bool = False

    @property
    def expected(self) -> str:
        """Say what its value must be."""
        if self.choices:
            return f"{', '.join(self.choices[:-1])} or {self.choices[-1]}"
        if self.kind in (int, float):
            return ("a whole number" if self.kind is int else "a number") + self._bounds
        return "true or false" if self.kind is bool else "a path" if self.path else "a text"

    @property
    def _bounds(self) -> str:
        if self.low is None or self.high is None:
            return "" if self.low is None else f", {self.low} or more"
        return f" from {self.low} to {self.high}"

    def read(self, value: object, folder: Path | None = None) -> object:
        """Return the option's value for a value of TOML.

        Args:
            value: as it stands in the file.
            folder: that paths are relative to; None leaves them as they are.

        Raises:
            ValueError: it is of the wrong type, or none of the choices.
        """
        if self.comma and isinstance(value, list):
            value = ",".join(str(self._one(item, None)) for item in value)
        return self._one(value, folder)

    def read_text(self, text: str) -> object:
        """Return the option's value for the text of an environment variable.

        Raises:
            ValueError: it is of the wrong type, or none of the choices.
        """
        if self.kind is bool:
            if text.lower() not in _TRUE + _FALSE:
                raise ValueError(text)
            return text.lower() in _TRUE
        number = self.kind(text) if self.kind in (int, float) else text
        return self.read(number)

    def _one(self, value: object, folder: Path | None) -> object:
        if isinstance(value, bool) != (self.kind is bool) or not isinstance(value, (bool, int, float, str)):
            raise ValueError(value)
        if self.kind in (int, float):
            return self._number(value)
        if self.kind is bool:
            return value
        text = str(value)  # ``budget = 4096`` is as good as ``budget = "4096"``
        if (self.choices and text not in self.choices) or (self.path and not text):
            raise ValueError(text)
        return _in_folder(text, folder) if self.path and folder is not None else text

    def _number(self, value: bool | int | float | str) -> int | float:
        if isinstance(value, str) or (self.kind is int and not isinstance(value, int)):
            raise ValueError(value)
        if (self.low is not None and value < self.low) or (self.high is not None and value > self.high):
            raise ValueError(value)
        return self.kind(value)  # type: ignore[no-any-return]


def keys_of(command: Any) -> dict[str, Key]:
    """Return what configuration can set of a command, by name.

    Args:
        command: of typer.
    """
    declared = inspect.signature(command.callback, eval_str=True).parameters
    keys: dict[str, Key] = {}
    for parameter in command.params:
        kind, *extras = get_args(declared[parameter.name].annotation) if parameter.name in declared else (None,)
        name = next((option[2:] for option in parameter.opts if option.startswith("--")), "")
        if extras and isinstance(extras[0], OptionInfo) and name and name not in ASKED_FOR:
            keys[name] = _key(name, parameter.name, kind, extras[0])
    return keys


def _key(name: str, parameter: str, kind: Any, info: OptionInfo) -> Key:
    if get_origin(kind) in (Union, UnionType):
        kind = next(one for one in get_args(kind) if one is not NoneType)
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    return Key(
        name,
        parameter,
        str if choices else kind,
        choices,
        info.min,
        info.max,
        path=kind is Path or info.metavar == "DATA",
        comma="," in (info.metavar or ""),
    )


def _in_folder(text: str, folder: Path) -> str:
    """Return a path that is relative to a folder; it may be a glob, which the folder is not, or a URI, which stays."""
    if is_uri(text):
        return text
    path = Path(text).expanduser()
    if any(c in text for c in _GLOB) and not (folder / path).exists():
        import glob

        folder = Path(glob.escape(str(folder)))
    return str(folder / path)
