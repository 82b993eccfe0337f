"""Configuration: what files and environment variables say for options that the command line leaves open."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fmcompress.errors import UsageError
from fmcompress.files import without_secrets

from .config_keys import ASKED_FOR, Key, keys_of
from .options import CONFIG_VARIABLE

_PREFIX = "FMCOMPRESS_"
# What the library itself heeds: no option, and no mistake.
_OF_LIBRARY = ("FMCOMPRESS_NATIVE", "FMCOMPRESS_ISA")
_FILE = "fmcompress.toml"
_PROJECT_FILE = "pyproject.toml"

# Several commands have these, and mean something else.
_OWN = ("output",)
_QUIET = Key("quiet", "quiet", bool)

_Keys = Mapping[str, Mapping[str, Key]]


@dataclass(frozen=True)
class Setting:
    """What configuration says for an option.

    Attributes:
        key: the option.
        value: its value.
        place: where that stands: ``[quantize] of fmcompress.toml``, ``FMCOMPRESS_SEED``.
    """

    key: Key
    value: object
    place: str

    def __str__(self) -> str:
        shown = without_secrets(self.value) if isinstance(self.value, str) else self.value
        return f"{self.key.name} = {shown}, from {self.place}"


@dataclass(frozen=True)
class Configuration:
    """What configuration says for all commands.

    Attributes:
        file: that was read, or None.
        commands: for each command, what is set of its options, by parameter.
        quiet: whether progress is kept silent, where that is set.
    """

    file: Path | None = None
    commands: Mapping[str, Mapping[str, Setting]] = field(default_factory=dict)
    quiet: Setting | None = None


@dataclass(frozen=True)
class _File:
    path: Path
    table: dict[str, Any]

    def place(self, command: str | None = None) -> str:
        """Say where a key stands, in a command's table or above all tables: ``[quantize] of fmcompress.toml``."""
        shown = shown_path(self.path)
        if self.path.name == _PROJECT_FILE:
            return f"[tool.fmcompress{'.' + command if command else ''}] of {shown}"
        return f"[{command}] of {shown}" if command else shown


@dataclass(frozen=True)
class _Found:
    """A value before anybody has looked at it; one of a variable is a text, which stands for other types too."""

    value: object
    place: str
    folder: Path | None = None
    variable: bool = False

    def of(self, key: Key) -> Setting:
        read = key.read_text(str(self.value)) if self.variable else key.read(self.value, self.folder)
        return Setting(key, read, self.place)

    def refusal(self, key: Key) -> UsageError:
        name = self.place if self.variable else f"{key.name} in {self.place}"
        return UsageError(f"{name} is {self.value!r}, expected {key.expected}")


def configure(
    commands: Mapping[str, Any], start: Path, environment: Mapping[str, str], *, file: Path | None, use_file: bool
) -> Configuration:
    """Return what the nearest file, or ``file``, and the environment say; the environment wins.

    Args:
        commands: that can be configured, of typer, by name.
        start: folder to look for a file in, and above.
        environment: variables; those named ``FMCOMPRESS_…`` count.
        file: to be read in place of the nearest one, or None.
        use_file: whether a file is read at all.

    Raises:
        UsageError: a file cannot be read, or a key, a table, a variable or a value makes no sense.
    """
    named = {name: value for name, value in environment.items() if name.startswith(_PREFIX) and value}
    for variable in (CONFIG_VARIABLE, *_OF_LIBRARY):
        named.pop(variable, None)
    found = (_read(file) if file else _nearest(start)) if use_file else None
    if found is None and not named:
        return Configuration()
    keys = {name: keys_of(command) for name, command in commands.items()}
    layers = [*(_of_file(found, keys, start) if found else ()), *_of_environment(named, keys)]
    settings: dict[str, dict[str, Setting]] = {command: {} for command in ("", *keys)}
    for command, setting in layers:
        settings[command][setting.key.parameter] = setting
    quiet = settings.pop("").get("quiet")
    return Configuration(found.path if found else None, settings, quiet)


def shown_path(path: Path) -> str:
    """Return a path as short as it can be said: from the current folder where it is in there."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (OSError, ValueError):
        return str(path)


def _nearest(start: Path) -> _File | None:
    """Return the nearest file, from a folder upward to the root of its repository, or None.

    A folder has one where it has a ``fmcompress.toml``, or a ``pyproject.toml`` with a table ``[tool.fmcompress]``.
    """
    for folder in (start, *start.parents):
        if (folder / _FILE).is_file():
            return _read(folder / _FILE)
        found = _of_project(folder / _PROJECT_FILE) if (folder / _PROJECT_FILE).is_file() else None
        if found is not None:
            return found
        if (folder / ".git").exists():
            return None
    return None


def _read(path: Path) -> _File:
    """Return what a file says; of a ``pyproject.toml``, what its table ``[tool.fmcompress]`` says."""
    if path.name != _PROJECT_FILE:
        return _File(path, _parsed(path, _content(path)))
    found = _of_project(path)
    if found is None:
        raise UsageError(f"{shown_path(path)} has no table [tool.fmcompress]")
    return found


def _of_project(path: Path) -> _File | None:
    content = _content(path)
    if b"fmcompress" not in content:
        return None  # most projects: there is nothing to parse, and nothing that could be wrong with it
    tool = _parsed(path, content).get("tool")
    table = tool.get("fmcompress") if isinstance(tool, dict) else None
    return _File(path, table) if isinstance(table, dict) else None


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", hint="--no-config reads no file") from error


def _parsed(path: Path, content: bytes) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{shown_path(path)} is not TOML: {error}") from error


def _of_file(file: _File, keys: _Keys, start: Path) -> Iterator[tuple[str, Setting]]:
    folder = Path() if file.path.parent == start else file.path.parent
    shared = _shared(keys)
    tables = {name: value for name, value in file.table.items() if isinstance(value, dict)}
    for name, value in file.table.items():
        if name in tables:
            continue
        if name not in shared:
            raise _unknown(name, file.place(), keys, [*shared, *keys])
        yield from _for_all(shared[name], _Found(value, file.place(), folder))
    for command, table in tables.items():
        if command not in keys:
            raise UsageError(f"unknown table [{command}] in {file.place()}", hint=_did_you_mean(command, keys))
        for name, value in table.items():
            if name not in keys[command]:
                raise _unknown(name, file.place(command), keys, keys[command])
            yield from _for_all([(command, keys[command][name])], _Found(value, file.place(command), folder))


def _of_environment(named: Mapping[str, str], keys: _Keys) -> Iterator[tuple[str, Setting]]:
    shared = {_variable(name): owners for name, owners in _shared(keys).items()}
    own = {_variable(command, name): [(command, key)] for command, table in keys.items() for name, key in table.items()}
    for variable in named:
        if variable not in shared and variable not in own:
            asked_for = [name for name in ASKED_FOR if variable.endswith(_variable(name)[len(_PREFIX) :])]
            raise UsageError(
                f"unknown environment variable {variable}",
                hint=_at_each_run(asked_for[0]) if asked_for else _did_you_mean(variable, [*shared, *own]),
            )
    for known in (shared, own):  # a variable for one command wins over one for all
        for variable in known:
            if variable in named:
                yield from _for_all(known[variable], _Found(named[variable], variable, variable=True))


def _variable(*names: str) -> str:
    return _PREFIX + "_".join(names).replace("-", "_").upper()


def _shared(keys: _Keys) -> dict[str, list[tuple[str, Key]]]:
    """Return the options that several commands have, each with its commands: they can be set for all at once."""
    owners: dict[str, list[tuple[str, Key]]] = {}
    for command, of_command in keys.items():
        for name, key in of_command.items():
            owners.setdefault(name, []).append((command, key))
    several = {name: found for name, found in owners.items() if len(found) > 1 and name not in (*_OWN, *keys)}
    return several | {"quiet": [("", _QUIET)]}


def _for_all(owners: list[tuple[str, Key]], found: _Found) -> Iterator[tuple[str, Setting]]:
    """Yield a setting for each command that knows its value: not all have the same formats of reports."""
    taken = False
    for command, key in owners:
        try:
            setting = found.of(key)
        except ValueError:
            continue
        taken = True
        yield command, setting
    if not taken:
        raise found.refusal(owners[0][1])


def _unknown(name: str, place: str, keys: _Keys, names: Iterable[str]) -> UsageError:
    owners = [command for command, of_command in keys.items() if name in of_command]
    hint = _did_you_mean(name, names)
    if name in ASKED_FOR:
        hint = _at_each_run(name)
    elif name in keys:
        hint = f"[{name}] is a table; for --{name}, write it in the table of a command"
    elif owners:
        hint = f"it belongs in [{'], ['.join(owners)}]"
    return UsageError(f"unknown key {name!r} in {place}", hint=hint)


def _did_you_mean(name: str, names: Iterable[str]) -> str | None:
    import difflib

    close = difflib.get_close_matches(name, list(names), n=1)
    return f"did you mean {close[0]}?" if close else None


def _at_each_run(name: str) -> str:
    return f"--{name} is asked for at each run, and cannot be configured"
