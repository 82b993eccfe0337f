"""Reports that the page is made of, and what a parser of HTML finds in it."""

import json
from html.parser import HTMLParser

from fmcompress.reporting import report
from tests.models import packed
from tests.reporting.test_curve import CURVE

_VOID = {"meta", "link"}


def small():
    """Return the report of a model with tiers, shared and raw fields."""
    fields = ("6040 4x256 16 | 30 raw raw", "3706 2x64:8 4", "400 raw 16", "24 raw raw", "7 shared shared")
    return report(packed(8, *fields, names=["user", "item", "city", "hour", "device"], budget_bytes=60_000))


def wide():
    """Return the report of a thousand fields in tiers, whose names are long and full of what must be escaped."""
    tiers = "40 2x8 4 | 100 1x4 raw | 30 raw raw"
    names = [f"<field {number} & \"more\" of 'it'> " + "n" * 300 for number in range(1000)]
    return report(packed(4, *[tiers] * 1000, names=names))


PAGE = {"name": "tuned.safetensors", "curve": CURVE}


class Page(HTMLParser):
    """The elements of a page: each its tag, attributes and text, in their order."""

    def __init__(self, html):
        super().__init__()
        self.elements, self._open = [], []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append([tag, dict(attributes), ""])
        if tag not in _VOID:
            self._open.append(len(self.elements) - 1)

    def handle_startendtag(self, tag, attributes):
        self.elements.append([tag, dict(attributes), ""])

    def handle_endtag(self, tag):
        assert self.elements[self._open.pop()][0] == tag

    def handle_data(self, data):
        for number in self._open:
            self.elements[number][2] += data

    def named(self, tag):
        """Return attributes and texts of all elements with a tag."""
        return [(attributes, text) for name, attributes, text in self.elements if name == tag]


def figures(elements):
    """Return the figures of a page: keys and exact values, of attributes and text of its elements."""
    return [
        (attributes["data-key"], attributes.get("value", attributes.get("data-value")))
        for attributes, _ in elements
        if "data-key" in attributes
    ]


def place(found, key):
    """Return what stands at a key such as ``fields.3.bytes`` of the report's JSON."""
    for step in key.split("."):
        found = found[int(step)] if isinstance(found, list) else found[step]
    return found


def check_figures(shown, report_json):
    """Check that figures are those of the JSON, in every digit."""
    found = json.loads(report_json)
    for key, value in shown:
        expected = place(found, key)
        assert value == ("" if expected is None else repr(expected)), key
