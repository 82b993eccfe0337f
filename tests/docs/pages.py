"""What the pages hold: commands with what they show, Python, links."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)\n?((?:^(?!\$ ).*\n?)*)", re.MULTILINE)
_INLINE = re.compile(r"`(fmcompress [a-z]+ [^`\n]+)`")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Shown:
    """A command of a page.

    Attributes:
        page: name of the page.
        command: as it stands behind the prompt, with its continuation lines.
        output: what the page says that it shows; empty where the page does not say.
    """

    page: str
    command: str
    output: str = ""


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def blocks(page, language):
    """Return the code blocks of a page in one language."""
    return [text for found, text in BLOCK.findall(page.read_text(encoding="utf-8")) if found == language]


def commands(page):
    """Return the commands of the console blocks, and those with arguments that stand in the text or in a table."""
    text = page.read_text(encoding="utf-8")
    found = [found for block in blocks(page, "console") for found in _COMMAND.findall(block)]
    inline = [command.replace("\\|", "|") for command in _INLINE.findall(BLOCK.sub("", text))]
    return [Shown(name_of(page), *pair) for pair in found] + [Shown(name_of(page), command) for command in inline]


def anchors(page):
    """Return the anchors of a page's headings, as GitHub makes them."""
    found = set()
    for heading in _HEADING.findall(BLOCK.sub("", page.read_text(encoding="utf-8"))):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        slug = re.sub(r"[^\w\- ]", "", plain).strip().replace(" ", "-")
        number = sum(re.fullmatch(rf"{re.escape(slug)}(-\d+)?", other) is not None for other in found)
        found.add(f"{slug}-{number}" if number else slug)
    return found
