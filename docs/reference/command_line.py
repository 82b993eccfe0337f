"""The reference of the command line: what ``--help`` shows, command by command."""

from __future__ import annotations

import typer
from fmcompress_cli.main import app

_WIDTH = 78  # what --help takes on a terminal of 80 columns or more

_HEAD = """\
# Command line

All commands and all options, as `fmcompress COMMAND --help` shows them. The [quickstart](quickstart.md) shows them at
work, and [configuration](configuration.md) how a project sets options once. This page is made by `make docs`.
"""


def command_line_page() -> str:
    """Return ``docs/cli.md``."""
    group = typer.main.get_command(app)
    root = group.make_context("fmcompress", [], resilient_parsing=True, terminal_width=_WIDTH)
    helps = {"fmcompress": group.get_help(root)}
    rows = ["| command | |", "| --- | --- |"]
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        title = f"fmcompress {name}"
        context = command.make_context(name, [], parent=root, resilient_parsing=True, terminal_width=_WIDTH)
        helps[title] = command.get_help(context)
        rows.append(f"| [`{title}`](#{title.replace(' ', '-')}) | {command.get_short_help_str(limit=200)} |")
    sections = [f"## {title}\n\n```text\n{text.rstrip()}\n```" for title, text in helps.items()]
    return "\n\n".join([_HEAD.rstrip(), "\n".join(rows), *sections]) + "\n"
