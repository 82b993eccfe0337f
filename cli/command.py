"""Commands: their help has headings, and configuration sets what the command line leaves open."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

from typer.core import TyperCommand, TyperGroup

from fmcompress.errors import FMCompressError, UsageError
from fmcompress.files import local_path, without_secrets

from .config import Configuration, Setting, configure, shown_path
from .exits import ParseError, one_dash_too_few, tell
from .options import GlobalOptions

_SETTINGS = f"{__name__}.settings"  # in the context of a command: what configuration says for it, by parameter


class Group(TyperGroup):
    """The program, whose own options are read at once where that is easy."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse what stands before the command."""
        _read_plainly(self.get_params(ctx))
        return super().parse_args(ctx, args)


class Command(TyperCommand):
    """A command whose options stand under headings in its help; it takes nothing from configuration."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line; every error knows the command, whose help its hint names."""
        _read_plainly(self.get_params(ctx))
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
        if self.epilog:
            with formatter.section("Examples"):
                indent = " " * formatter.current_indent
                formatter.write("".join(f"{indent}{line}\n" for line in self.epilog.splitlines()))


class ConfiguredCommand(Command):
    """A command whose options configuration can set."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line; what it leaves open comes from configuration."""
        given = ctx.find_object(GlobalOptions)
        if given is not None and not ctx.resilient_parsing and not _asks_for_help(ctx, args):
            found = configuration_of(ctx.parent)
            settings = ctx.meta[_SETTINGS] = found.commands.get(ctx.info_name, {})
            ctx.obj = replace(given, quiet=given.quiet or bool(found.quiet and found.quiet.value))
            ctx.default_map = {name: setting.value for name, setting in settings.items()}
            if given.debug:
                _tell_settings(found, settings)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an error that a setting may have caused says where that setting stands."""
        try:
            return super().invoke(ctx)
        except FMCompressError as error:
            hints = [error.hint, *_causes(error, ctx, ctx.meta.get(_SETTINGS, {}))]
            error.hint = "; ".join(filter(None, hints)) or None
            raise


def configuration_of(group: Any) -> Configuration:
    """Return the configuration that is in force.

    Args:
        group: context of the program, of typer.

    Raises:
        UsageError: it makes no sense.
    """
    given = group.find_object(GlobalOptions) or GlobalOptions()
    return configure(
        {name: command for name, command in group.command.commands.items() if isinstance(command, ConfiguredCommand)},
        _here(),
        os.environ,
        file=given.config,
        use_file=not given.no_config,
    )


def is_configured(context: Any, parameter: str) -> bool:
    """Return whether an option has its value from configuration, not from the command line."""
    source = context.get_parameter_source(parameter)
    return source is not None and source.name == "DEFAULT_MAP"


def _read_plainly(parameters: Iterable[Any]) -> None:
    """Let values that need no reading pass: typer reads all with pydantic, whose import takes longer than a small job.

    Parameters of a typer that does not tell their types stay as they are: it has no pydantic.
    """
    for parameter in parameters:
        kind = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
        if kind is not None:
            parameter.process_value = partial(_value, parameter, kind, parameter.process_value)


def _value(parameter: Any, kind: Any, read: Any, context: Any, value: Any) -> Any:
    """Return the value of a parameter; typer reads those that are not plain, and complains of wrong or missing ones."""
    if isinstance(value, tuple | list):
        plain = bool(value) and kind == list[Path] and parameter.callback is None
        return [local_path(item) for item in value] if plain else read(context, value)
    if not _is_plain(parameter, kind, value):
        return read(context, value)
    if kind is Path and isinstance(value, str):
        value = local_path(value)
    return value if parameter.callback is None else parameter.callback(context, parameter, value)


def _is_plain(parameter: Any, kind: Any, value: Any) -> bool:
    if parameter.nargs != 1 or parameter.multiple:
        return False
    if value is None:
        return not parameter.required
    if type(value) is type(parameter.default) and value == parameter.default:
        return True
    return isinstance(value, str) and (kind in (str, Path) or value in get_args(kind))


def _here() -> Path:
    try:
        return Path.cwd()
    except OSError:
        return Path()  # somebody has deleted the current folder


def _asks_for_help(ctx: Any, args: list[str]) -> bool:
    end = args.index("--") if "--" in args else len(args)
    return any(name in args[:end] for name in ctx.help_option_names)


def _tell_settings(found: Configuration, settings: Mapping[str, Setting]) -> None:
    lines = [f"configuration: {shown_path(found.file) if found.file else 'no file'}"]
    lines += [f"configuration: {setting}" for setting in [*filter(None, [found.quiet]), *settings.values()]]
    for line in lines:
        tell(line)


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
        names.append(re.escape(without_secrets(setting.value) if key.path else repr(setting.value)))
    return bool(re.search(rf"(?<![\w-])({'|'.join(names)})(?![\w-])", said))
