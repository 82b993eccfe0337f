"""Links between the pages of the repository lead somewhere."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, anchors, name_of

FOLDERS = ("docs", "examples", "tests/checkpoints")
MARKDOWN = [*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in sorted((ROOT / folder).rglob("*.md")))]
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)(#[^)\s]+)?\)")


@pytest.mark.parametrize("page", MARKDOWN, ids=name_of)
def test_links(page):
    for path, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        target = Path(page.parent, path) if path else page
        assert target.exists(), path
        if anchor and target.suffix == ".md":
            assert anchor[1:] in anchors(target), f"{path}{anchor}"


def test_every_page_can_be_reached():
    text = "".join((ROOT / page).read_text(encoding="utf-8") for page in ("README.md", "docs/README.md"))
    for page in (ROOT / "docs").glob("*.md"):
        assert re.search(rf"\((docs/)?{re.escape(page.name)}[)#]", text) or page.name == "README.md", page.name
