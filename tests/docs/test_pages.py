"""Pages say what they are for before anything else, and name only code that is there."""

import re

import pytest

from tests.docs.pages import BLOCK, PAGES, ROOT, blocks, name_of

MODULES = {
    path.relative_to(ROOT).as_posix()
    for folder in ("fmcompress", "cli", "examples", "tests")
    for path in ROOT.glob(f"{folder}/**/*.py")
}
MODULE = re.compile(r"`((?:\w+/)*\w+\.py)`")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_begins_with_what_it_is_for(page):
    title, blank, first, *_ = page.read_text(encoding="utf-8").splitlines()
    assert (title[:2], blank) == ("# ", "")
    assert re.match(r"[\w`]", first), first


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_modules_that_are_named_exist(page):
    for name in MODULE.findall(page.read_text(encoding="utf-8")):
        assert any(f"/{path}".endswith(f"/{name}") for path in MODULES), name


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_stand_where_they_are_run(page):
    """Whoever shows a command in another kind of block would have it run by nobody."""
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    assert re.search(r"^ *(```|\$ )|^ +fmcompress ", text, re.MULTILINE) is None
    for block in (*blocks(page, ""), *blocks(page, "sh"), *blocks(page, "bash"), *blocks(page, "shell")):
        assert "fmcompress" not in block
