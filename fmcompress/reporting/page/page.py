"""The page: its head, its sections, and what stands above them."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

from fmcompress.reporting.curve import Curve
from fmcompress.reporting.page.bytes_chart import fields_chart, parts_chart
from fmcompress.reporting.page.curve_chart import curve_charts, legend
from fmcompress.reporting.page.markup import Markup, element, joined
from fmcompress.reporting.page.spread_chart import spread_chart
from fmcompress.reporting.page.tables import all_fields, errors_of, facts_of, parts_of, plain, scores_of
from fmcompress.reporting.page.tiles import summary, tiles
from fmcompress.reporting.render import largest, left_out
from fmcompress.reporting.report import TOP, Report
from fmcompress.text import shortened
from fmcompress.version import __version__

_LONGEST_TITLE = 120
_SCALES = (
    "The thin bar is what a field was of the checkpoint in fp32, the bar below what it is of the file: both are "
    "shares, on one scale, so a field whose lower bar is the longer one was worth more bytes than its size."
)
_SPREAD = (
    "Each dot is a field. Its error is the rise of the loss per row that quantizing it was expected to cause, before "
    "tuning; below zero, quantizing was expected to help. Fields high up cost the most quality, fields far right the "
    "most bytes."
)


def to_html(report: Report, *, name: str = "", curve: Curve | None = None) -> str:
    """Return the report as a page of HTML that needs nothing else: no network, no scripts.

    Args:
        report: the report.
        name: what the artifact is called.
        curve: sizes and quality of the same model, for a picture.
    """
    title = f"Memory report of {shortened(name, _LONGEST_TITLE)}" if name else "Memory report"
    body = element(
        "main",
        element("header", element("h1", title), summary(report)),
        tiles(report),
        *_sections(report, curve),
        element("footer", element("p", f"Made by fmcompress {__version__} from the header of the artifact.")),
    )
    return f"<!DOCTYPE html>\n{element('html', _head(title), element('body', body), lang='en')}\n"


def _head(title: str) -> Markup:
    style = _style()
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("meta", name="generator", content=f"fmcompress {__version__}"),
        element("link", rel="icon", href="data:,"),
        element("title", title),
        element("style", style),
    )


@cache
def _style() -> Markup:
    return Markup(files(__package__).joinpath("page.css").read_text(encoding="utf-8"))


def _sections(report: Report, curve: Curve | None) -> Iterator[Markup]:
    shown, left = largest(sorted(report.fields, key=lambda field: -field.bytes), TOP)
    more = [element("p", f"{left_out(left)}: the table below has all.", class_="note")] if left else []
    yield _section("Where the bytes are", parts_chart(report), parts_of(report))
    yield _section("Fields by bytes", element("p", _SCALES), fields_chart(report, shown), *more)
    spread = spread_chart(report)
    if spread is not None:
        yield _section("Bytes and error", element("p", _SPREAD), spread, errors_of(report))
    if report.quality:
        yield _section("Quality", scores_of(report))
    if curve is not None:
        table = plain("Points of the curve", curve.table())
        caption = element("p", curve.caption())
        yield _section("Size and quality", caption, legend(curve), *curve_charts(curve, report.file_bytes), table)
    yield _section("All fields", all_fields(report))
    yield _section("What it is", facts_of(report))


def _section(title: str, *content: Markup) -> Markup:
    return element("section", element("h2", title), joined(content))
