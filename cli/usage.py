"""What is wrong with a command line, in one line."""

from __future__ import annotations

from typing import Any

import typer

from .config_keys import keys_of

# typer has click inside in some versions and beside it in others; their base of usage errors is found here.
ParseError: type[Exception] = typer.BadParameter.__mro__[1]


def usage_message(error: Any) -> str:
    """Return what to say of a usage error, with a hint; nothing where the help has been shown instead.

    Args:
        error: of typer.
    """
    context = getattr(error, "ctx", None)
    message = _wrong_value(error, context) or _unknown_option(error, context) or _plain(error)
    if not message:
        return ""
    path = getattr(context, "command_path", "fmcompress")
    return f"error: {message} ({path} --help shows the usage)"


def _plain(error: Any) -> str:
    message = str(getattr(error, "format_message", error.__str__)())
    return " ".join(message.split()).removesuffix(".")


def _wrong_value(error: Any, context: Any) -> str:
    """Say which value an option cannot have, and what it expects."""
    parameter = getattr(error, "param", None)
    errors = getattr(error.__cause__, "errors", None)  # of what reads values for typer
    if context is None or parameter is None or errors is None:
        return ""
    key = next((key for key in keys_of(context.command).values() if key.parameter == parameter.name), None)
    return "" if key is None else f"--{key.name} is {str(errors()[0]['input'])!r}, expected {key.expected}"


def _unknown_option(error: Any, context: Any) -> str:
    name = getattr(error, "option_name", "")
    if not hasattr(error, "possibilities") or context is None:
        return ""
    message = f"No such option: {name}"
    if error.possibilities:
        return f"{message}. Did you mean {' or '.join(sorted(error.possibilities))}?"
    others = _commands_with(name, context)
    return f"{message}; {', '.join(others)} {'has' if len(others) == 1 else 'have'} it" if others else message


def _commands_with(option: str, context: Any) -> list[str]:
    commands = getattr(context.find_root().command, "commands", {})
    return [name for name, command in commands.items() if any(option in one.opts for one in command.params)]
