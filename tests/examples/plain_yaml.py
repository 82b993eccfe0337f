"""Reads the plain YAML of our recipes: mappings, lists, texts and literal blocks; anything else is an error."""

import re

_KEY = re.compile(r"([^\s:#'\"\[{&*!|>%@`-][^:#]*|\.[^:#]*):(?:\s+(.*))?")


def parse(text):
    """Return the value of a YAML text; all scalars are texts, nothing is None."""
    lines = _Lines(text.split("\n"))
    found = _node(lines, 0)
    assert lines.peek() is None, f"line {lines.at + 1} belongs nowhere"
    return found


class _Lines:
    def __init__(self, lines):
        self.lines, self.at = lines, 0

    def peek(self):
        """Return indentation and text of the next line that says something; None at the end."""
        while self.at < len(self.lines) and re.fullmatch(r"\s*(#.*)?", self.lines[self.at]):
            self.at += 1
        if self.at == len(self.lines):
            return None
        line = re.sub(r"\s+#.*$", "", self.lines[self.at])
        return len(line) - len(line.lstrip(" ")), line.strip()

    def block(self, indent):
        """Return the text of a literal block whose key is indented so far."""
        found = []
        while self.at < len(self.lines) and (
            not self.lines[self.at].strip() or len(self.lines[self.at]) - len(self.lines[self.at].lstrip(" ")) > indent
        ):
            found.append(self.lines[self.at])
            self.at += 1
        least = min(len(line) - len(line.lstrip(" ")) for line in found if line.strip())
        return "\n".join(line[least:] for line in found).rstrip("\n") + "\n"


def _node(lines, least):
    """Return a mapping, a list or nothing: what is indented at least so far."""
    indent, text = lines.peek() or (-1, "")
    if indent < least:
        return None
    return _list(lines, indent) if text.startswith("- ") else _mapping(lines, indent)


def _list(lines, indent):
    found = []
    while (head := lines.peek()) and head[0] == indent and head[1].startswith("- "):
        item = head[1][2:].lstrip()
        if _KEY.fullmatch(item):  # a mapping that begins on the line of its dash
            lines.lines[lines.at] = " " * (indent + 2) + item
            found.append(_mapping(lines, indent + 2))
        else:
            lines.at += 1
            found.append(_scalar(lines, item, indent))
    return found


def _mapping(lines, indent):
    found = {}
    while (head := lines.peek()) and head[0] == indent and not head[1].startswith("- "):
        key = _KEY.fullmatch(head[1])
        assert key, f"line {lines.at + 1} is no key: {head[1]}"
        assert key[1] not in found, f"{key[1]} occurs twice"
        lines.at += 1
        found[key[1]] = _scalar(lines, key[2], indent) if key[2] else _node(lines, indent + 1)
    return found


def _scalar(lines, text, indent):
    if text == "|":
        return lines.block(indent)
    if text.startswith("[") and text.endswith("]"):
        return [_scalar(lines, item.strip(), indent) for item in text[1:-1].split(",")]
    if text[0] in "\"'":
        assert re.fullmatch(r"(\"[^\"\\\\]*\")|('[^'\\\\]*')", text), text
        return text[1:-1]
    assert not re.match(r"[][{}&*!|>%@`]|.*: ", text), text
    return text
