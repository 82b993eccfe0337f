"""The map of the rooms is true: none is missing, each exists, and they lie in the order that import-linter holds."""

import fnmatch
import importlib
import re

import pytest

from .sources import ROOT

tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no reader of TOML")

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
ROW_OF_ROOM = re.compile(r"^\| ((?:`\w+`(?:, )?)+) \| ", re.MULTILINE)
ROW_OF_TABLE = re.compile(r"in `([A-Z]+)` of `(fmcompress/[\w/]+)\.py`")


def rooms_on_the_map():
    return [room for row in ROW_OF_ROOM.findall(PAGE) for room in re.findall(r"\w+", row)]


def test_each_room_is_on_the_map_and_none_else():
    package = ROOT / "fmcompress"
    folders = {path.parent.name for path in package.glob("*/__init__.py")}
    modules = {path.stem for path in package.glob("*.py")} - {"__init__"}
    rooms = rooms_on_the_map()
    assert set(rooms) == {"cli"} | folders | modules
    assert len(rooms) == len(set(rooms))


def test_rooms_lie_in_the_order_that_imports_keep_to():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    assert rooms_on_the_map()[1:] == [room for layer in layers for room in re.split(r" \| ", layer)]


def test_each_file_of_the_native_core_is_on_the_map():
    named = re.findall(r"`([\w*]+\.[ch])`", PAGE)
    sources = {path.name for path in (ROOT / "native" / "src").glob("*.[ch]")}
    for name in named:
        assert fnmatch.filter(sources, name), name
    for source in sources:
        beside = source.replace(".h", ".c")
        assert any(fnmatch.fnmatch(source, name) or fnmatch.fnmatch(beside, name) for name in named), source


def test_rows_are_added_to_tables_that_exist():
    rows = ROW_OF_TABLE.findall(PAGE)
    assert len(rows) == 4
    for table, module in rows:
        assert len(getattr(importlib.import_module(module.replace("/", ".")), table)) > 1
