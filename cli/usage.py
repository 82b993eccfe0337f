"""What is wrong with a command line, in one line."""

from __future__ import annotations

from collections.abc import Collection, Sequence
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
    message = _wrong_value(error, context) or _unknown_option(error, context) or _missing(error) or _plain(error)
    if not message:
        return ""
    path = getattr(context, "command_path", "fmcompress")
    return f"error: {message} ({path} --help shows the usage)"


def one_dash_too_few(args: Sequence[str], options: Collection[str]) -> str | None:
    """Return an option that is written with one dash, ``-budget``: typer would read ``-b udget``."""
    end = args.index("--") if "--" in args else len(args)
    names = (arg.partition("=")[0] for arg in args[:end])
    return next((name for name in names if len(name) > 2 and f"-{name}" in options), None)


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


def _missing(error: Any) -> str:
    """Say what is missing, and what it is."""
    parameter = getattr(error, "param", None)
    if parameter is None or not hasattr(error, "param_type"):
        return ""
    help_ = getattr(parameter, "help", None) or ""
    return f"{_plain(error)}: {help_[:1].lower()}{help_[1:].split('. ')[0].removesuffix('.')}" if help_ else ""


def _unknown_option(error: Any, context: Any) -> str:
    name = getattr(error, "option_name", "")
    if not hasattr(error, "possibilities") or context is None:
        return ""
    message = f"No such option: {name}"
    others = _commands_with(name, context)
    if others:
        return f"{message}; {' and '.join(others)} {'has' if len(others) == 1 else 'have'} it"
    return f"{message}. Did you mean {' or '.join(sorted(error.possibilities))}?" if error.possibilities else message


def _commands_with(option: str, context: Any) -> list[str]:
    commands = getattr(context.find_root().command, "commands", {})
    return [name for name, command in commands.items() if any(option in one.opts for one in command.params)]
