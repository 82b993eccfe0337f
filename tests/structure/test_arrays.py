"""Docstrings say shape and dtype of every public array."""

import ast
import re

import pytest

from .sources import FUNCTIONS, ROOT, modules, public

ARRAY = re.compile(r"\b\w*Array\b")
DTYPE = re.compile(r"\b(?:u?int(?:8|16|32|64)|float(?:16|32|64)|bool|fp16|fp32|dtype)\b")
SHAPE = re.compile(r"\([^()]*,[^()]*\)|(?:\d|bool|dtype)`* +\([^()]+\)|\bscalar\b|\bshapes?\b")


def takes_or_returns_arrays(function):
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    annotations = [one.annotation for one in every if one is not None] + [function.returns]
    return any(ARRAY.search(ast.unparse(one)) for one in annotations if one is not None)


def arrays_held(node):
    """Yield the public attributes of a class that are arrays."""
    for one in node.body:
        if (
            isinstance(one, ast.AnnAssign)
            and not one.target.id.startswith("_")
            and ARRAY.search(ast.unparse(one.annotation))
        ):
            yield one.target.id


def entry(docstring, name):
    """Return what a docstring says of an attribute."""
    found = re.search(rf"^ *{name}: (.*?)(?=^ *[a-z_]\w*: |^$|\Z)", docstring, re.MULTILINE | re.DOTALL)
    return found.group(1) if found else ""


def said_of_arrays():
    for module, tree in modules():
        for name, node in public(tree.body):
            docstring = ast.get_docstring(node) or ""
            if isinstance(node, FUNCTIONS):
                if takes_or_returns_arrays(node):
                    yield f"{module} {name}", docstring
            else:
                for attribute in arrays_held(node):
                    yield f"{module} {name}.{attribute}", entry(docstring, attribute)


@pytest.mark.parametrize("needed", [DTYPE, SHAPE], ids=["dtype", "shape"])
def test_arrays_are_described(needed):
    assert [name for name, text in said_of_arrays() if not needed.search(text)] == []


def test_aliases_of_arrays_stand_in_one_place():
    alias = re.compile(r"\bNDArray\[")
    found = [
        path for path in sorted((ROOT / "fmcompress").rglob("*.py")) if alias.search(path.read_text(encoding="utf-8"))
    ]
    assert [path.name for path in found] == ["types.py"]
