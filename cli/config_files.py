"""Files of configuration: where they are, and what stands in them."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fmcompress.errors import UsageError

OWN_FILE = "fmcompress.toml"
PROJECT_FILE = "pyproject.toml"


@dataclass(frozen=True)
class ConfigFile:
    """A file of configuration.

    Attributes:
        path: where it is.
        table: what it says.
    """

    path: Path
    table: dict[str, Any] = field(default_factory=dict)

    def place(self, command: str | None = None) -> str:
        """Say where a key stands, in a command's table or above all tables: ``[quantize] of fmcompress.toml``."""
        shown = shown_path(self.path)
        if self.path.name == PROJECT_FILE:
            return f"[tool.fmcompress{'.' + command if command else ''}] of {shown}"
        return f"[{command}] of {shown}" if command else shown


def find_config(start: Path) -> ConfigFile | None:
    """Return the nearest configuration, from a folder upward to the root of its repository, or None.

    A folder has one where it has a ``fmcompress.toml``, or a ``pyproject.toml`` with a table ``[tool.fmcompress]``.

    Raises:
        UsageError: it cannot be read.
    """
    for folder in (start, *start.parents):
        if (folder / OWN_FILE).is_file():
            return read_config(folder / OWN_FILE)
        found = _of_project(folder / PROJECT_FILE) if (folder / PROJECT_FILE).is_file() else None
        if found is not None:
            return found
        if (folder / ".git").exists():
            return None
    return None


def read_config(path: Path) -> ConfigFile:
    """Return what a file says; of a ``pyproject.toml``, what its table ``[tool.fmcompress]`` says.

    Raises:
        UsageError: it cannot be read, or has no such table.
    """
    if path.name != PROJECT_FILE:
        return ConfigFile(path, _parsed(path, _content(path)))
    found = _of_project(path)
    if found is None:
        raise UsageError(f"{shown_path(path)} has no table [tool.fmcompress]")
    return found


def shown_path(path: Path) -> str:
    """Return a path as short as it can be said: from the current folder where it is in there."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (OSError, ValueError):
        return str(path)


def _of_project(path: Path) -> ConfigFile | None:
    content = _content(path)
    if b"fmcompress" not in content:
        return None  # most projects: there is nothing to parse, and nothing that could be wrong with it
    tool = _parsed(path, content).get("tool")
    table = tool.get("fmcompress") if isinstance(tool, dict) else None
    return ConfigFile(path, table) if isinstance(table, dict) else None


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
