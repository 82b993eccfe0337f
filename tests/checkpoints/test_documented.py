"""The page about checkpoints knows every tool that can be read, and every option for reading."""

import inspect
from pathlib import Path

from fmcompress.checkpoints import load_checkpoint
from fmcompress.checkpoints.load import DIALECTS

PAGE = (Path(__file__).parents[2] / "docs" / "checkpoints.md").read_text(encoding="utf-8")


def test_every_tool_has_a_row():
    rows = [line for line in PAGE.splitlines() if line.startswith("| ")]
    for dialect in DIALECTS:
        assert any(dialect.tool in row.split("|")[1] for row in rows), dialect.tool


def test_every_argument_is_named():
    for name in list(inspect.signature(load_checkpoint).parameters)[1:]:
        assert f"`{name}`" in PAGE
