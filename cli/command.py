"""Commands: their help has headings, and configuration sets what the command line leaves open."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from typer.core import TyperCommand

from fmcompress.errors import FMCompressError, UsageError
from fmcompress.text import printable

from .config import Configuration, Setting, configure
from .config_files import shown_path
from .examples import EXAMPLES
from .plain_values import read_plainly
from .state import State, is_configured
from .usage import ParseError, one_dash_too_few


class Command(TyperCommand):
    """A command whose options stand under headings in its help; it takes nothing from configuration."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line; every error knows the command, whose help its hint names."""
        read_plainly(self.get_params(ctx))
        short = one_dash_too_few(args, [option for one in self.get_params(ctx) for option in one.opts])
        if short is not None and not ctx.resilient_parsing:
            raise UsageError(f"No such option: {short}", hint=f"did you mean -{short}?")
        try:
            return super().parse_args(ctx, args)
        except ParseError as error:
            error.ctx = getattr(error, "ctx", None) or ctx  # type: ignore[attr-defined]
            raise

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options, those of a panel together under its name."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            kind = "Arguments" if parameter.param_type_name == "argument" else "Options"
            if record is not None and kind == "Arguments":
                record = (parameter.metavar or record[0], record[1])  # typer adds a type of Python's
            if record is not None:
                sections.setdefault(getattr(parameter, "rich_help_panel", None) or kind, []).append(record)
        for name, records in sections.items():
            with formatter.section(name):
                formatter.write_dl(records)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write examples, each on a line of its own, whole."""
        examples = EXAMPLES.get(ctx.info_name, ())
        if examples:
            with formatter.section("Examples"):
                indent = " " * formatter.current_indent
                formatter.write("".join(f"{indent}{example}\n" for example in examples))


class ConfiguredCommand(Command):
    """A command whose options configuration can set."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line; what it leaves open comes from configuration."""
        state = ctx.find_object(State)
        if state is not None and not ctx.resilient_parsing and not _asks_for_help(ctx, args):
            found = configuration_of(ctx.parent)
            state.quiet = state.quiet or bool(found.quiet and found.quiet.value)
            state.settings = found.commands.get(ctx.info_name, {})
            ctx.default_map = {name: setting.value for name, setting in state.settings.items()}
            if state.debug:
                _tell(found, state.settings)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an error that a setting may have caused says where that setting stands."""
        try:
            return super().invoke(ctx)
        except FMCompressError as error:
            state = ctx.find_object(State)
            hints = [error.hint, *_causes(error, ctx, state.settings if state else {})]
            error.hint = "; ".join(filter(None, hints)) or None
            raise


def configuration_of(group: Any) -> Configuration:
    """Return the configuration that is in force.

    Args:
        group: context of the command line, of typer.

    Raises:
        UsageError: it makes no sense.
    """
    state = group.find_object(State) or State()
    return configure(
        {name: command for name, command in group.command.commands.items() if isinstance(command, ConfiguredCommand)},
        _here(),
        os.environ,
        file=state.config,
        use_file=not state.no_config,
    )


def _here() -> Path:
    try:
        return Path.cwd()
    except OSError:
        return Path()  # somebody has deleted the current folder


def _asks_for_help(ctx: Any, args: list[str]) -> bool:
    end = args.index("--") if "--" in args else len(args)
    return any(name in args[:end] for name in ctx.help_option_names)


def _tell(found: Configuration, settings: Mapping[str, Setting]) -> None:
    lines = [f"configuration: {shown_path(found.file) if found.file else 'no file'}"]
    for setting in [*filter(None, [found.quiet]), *settings.values()]:
        lines.append(f"configuration: {setting.key.name} = {setting.value}, from {setting.place}")
    print("\n".join(map(printable, lines)), file=sys.stderr)


def _causes(error: FMCompressError, ctx: Any, settings: Mapping[str, Setting]) -> Iterator[str]:
    """Yield where the settings stand that an error is about."""
    said = f"{error} {error.hint or ''}"
    for name, setting in settings.items():
        if is_configured(ctx, name) and _is_about(said, setting):
            yield f"{setting.key.name} is set in {setting.place}"


def _is_about(said: str, setting: Setting) -> bool:
    key = setting.key
    names = [f"--{key.name}", f"the {key.name}", f"{key.parameter} is"]
    if isinstance(setting.value, str):  # errors are full of numbers that have nothing to do with the setting
        names.append(re.escape(setting.value if key.path else repr(setting.value)))
    return bool(re.search(rf"(?<![\w-])({'|'.join(names)})(?![\w-])", said))
