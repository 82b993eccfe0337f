"""Groups of options: several commands share them, each is declared once, and arrives in a command as one object.

A group is a dataclass whose fields are options of typer. A command that takes it as a parameter has these options in
its place.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_type_hints


def with_groups(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command take groups of options: its parameters whose type is a dataclass.

    Args:
        command: a function as typer takes it, but for these parameters.

    Returns:
        What typer takes: it has the options of the groups in their place, and is called by keyword.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if name != "return" and is_dataclass(hint)}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        own = _options(groups[name]) if name in groups else [parameter.replace(annotation=hints[name])]
        parameters += [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own]

    def collected(**given: Any) -> Any:
        filled = {
            name: group(**{field.name: given.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        return command(**given, **filled)

    collected.__name__, collected.__doc__, collected.__module__ = command.__name__, command.__doc__, command.__module__
    collected.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    collected.__annotations__ = {one.name: one.annotation for one in parameters}
    return collected


def _options(group: Any) -> Iterator[inspect.Parameter]:
    """Yield the options of a group as parameters; one without a default must be given."""
    hints = get_type_hints(group, include_extras=True)
    for field in fields(group):
        default = inspect.Parameter.empty if field.default is MISSING else field.default
        yield inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hints[field.name]
        )
