"""Few rooms at the root, and functions that one sees whole."""

import ast

from .sources import FUNCTIONS, ROOT, modules

MODULES_AT_ROOT = 10
LINES = 60


def test_few_modules_stand_at_the_root():
    found = [path.name for path in (ROOT / "fmcompress").glob("*.py")]
    assert len(found) - ("__init__.py" in found) <= MODULES_AT_ROOT, found


def test_no_function_is_long():
    long = {
        f"{name}:{node.lineno} {node.name}": lines
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, FUNCTIONS) and (lines := node.end_lineno - node.lineno + 1) > LINES
    }
    assert not long
