"""Values that need no reading: typer reads all with pydantic, whose import takes longer than a small job."""

from __future__ import annotations

from collections.abc import Iterable
from enum import EnumMeta
from pathlib import Path
from typing import Any

from typer.core import TyperGroup


class Group(TyperGroup):
    """The command line, whose own options are read at once where that is easy."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse what stands before the command."""
        read_plainly(self.get_params(ctx))
        return super().parse_args(ctx, args)


def read_plainly(parameters: Iterable[Any]) -> None:
    """Let parameters take texts, paths and their own defaults as they are; whatever else is given, typer reads.

    Args:
        parameters: parameters of typer; those of a version that does not tell their types stay as they are.
    """
    for parameter in parameters:
        kind = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
        if kind is not None:
            parameter.process_value = _Plainly(parameter, kind, parameter.process_value)


class _Plainly:
    """Reads the values of one parameter."""

    def __init__(self, parameter: Any, kind: Any, read: Any) -> None:
        self._parameter, self._kind, self._read = parameter, kind, read

    def __call__(self, context: Any, value: Any) -> Any:
        """Return the value of the parameter; typer complains of those that are wrong or missing."""
        if not self._is_plain(value):
            return self._read(context, value)
        if isinstance(value, tuple | list):
            return [Path(item) for item in value]
        if isinstance(value, str) and type(value) is not self._kind:
            value = self._kind(value)
        return value if self._parameter.callback is None else self._parameter.callback(context, self._parameter, value)

    def _is_plain(self, value: Any) -> bool:
        parameter = self._parameter
        if isinstance(value, tuple | list):
            return bool(value) and self._kind == list[Path] and parameter.callback is None
        if parameter.nargs != 1 or parameter.multiple:
            return False
        if value is None:
            return not parameter.required
        if type(value) is type(parameter.default) and value == parameter.default:
            return True
        if not isinstance(value, str):
            return False
        return self._kind in (str, Path) or (
            isinstance(self._kind, EnumMeta) and value in self._kind.__members__.values()
        )
