"""The memory report as a page of HTML: one file, no network, no scripts. ``page.html.j2`` has its markup."""

from __future__ import annotations

import hashlib
import math
from base64 import b64encode
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from fmcompress.errors import missing_packages_named
from fmcompress.reporting import charts, sections
from fmcompress.reporting.report_data import ReportData
from fmcompress.reporting.sections import Options, quality_text, score_text
from fmcompress.sizes import short_size
from fmcompress.text import printable, shortened
from fmcompress.version import __version__

if TYPE_CHECKING:
    from jinja2 import Environment

MOST_ROWS = 1_500
"""Rows of the table of fields: where tiers would make it longer, it has fields alone."""

_LONGEST_TITLE = 120


def to_html(report: ReportData, options: Options) -> str:
    """Return the report as a page of HTML that needs nothing else, with pictures of a curve if there is one."""
    style = _read("page.css")
    ranking = sorted(enumerate(report.fields), key=lambda entry: -entry[1].bytes)
    template = environment().get_template("page.html.j2")
    page = template.render(
        title=f"Memory report of {shortened(options.name, _LONGEST_TITLE)}" if options.name else "Memory report",
        digest=b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        style=style,
        version=__version__,
        report=report,
        measured=list(_measured(report)),
        ranking=ranking,
        largest=ranking[: sections.TOP],
        left=[field for _, field in ranking[sections.TOP :]],
        with_tiers=sum(1 + len(field.tiers) for field in report.fields) <= MOST_ROWS,
        spread=charts.spread_chart(report),
        curve=options.curve,
    )
    return page.strip() + "\n"


@cache
@missing_packages_named()
def environment() -> Environment:
    """Return what templates are filled in with: texts are escaped, whatever they hold."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    made = Environment(
        loader=FunctionLoader(_read), autoescape=True, undefined=StrictUndefined, trim_blocks=True, finalize=_shown
    )
    functions = (exact, change_of, format, short_size, shortened, charts.percent, charts.short_name)
    made.globals |= {"charts": charts, "sections": sections} | {each.__name__: each for each in functions}
    made.filters["shortened"] = shortened
    return made


def exact(value: float | None) -> str:
    """Return all digits of a figure; nothing where JSON has null."""
    return "" if value is None or not math.isfinite(value) else repr(value)


def change_of(report: ReportData, name: str, score: str) -> float | None:
    """Return how far a score on validation data is from the checkpoint's; None where one of both is not known."""
    found, source = report.quality[name], report.quality.get("source")
    change = math.nan if source is None else getattr(found, score) - getattr(source, score)
    return change if math.isfinite(change) else None


def _measured(report: ReportData) -> Iterator[tuple[str, str, float, str, str]]:
    """Yield the scores of the artifact, or where nothing was measured the rise of the loss that is expected.

    Of each its name, its place in the report's JSON, the figure, as people see it, and what there is to say of it.
    """
    if "artifact" not in report.quality:
        loss, digits = ("squared error / 2", "+.3g") if report.regression else ("LogLoss", "+.5f")
        rise = report.predicted_rise
        shown = sections.NOT_TOLD if math.isnan(rise) else f"{rise:{digits}}"
        yield f"Expected rise of {loss}", "predicted_rise", rise, shown, "not measured: no data"
        if report.sampled is not None:
            mean, largest = report.sampled.mean, report.sampled.largest
            yield "Logit error, drawn rows", "sampled.mean", mean, f"{mean:.2g}", f"mean; {largest:.2g} at most"
        return
    for score, label in sections.scores(report).items():
        value, change = getattr(report.quality["artifact"], score), change_of(report, "artifact", score)
        told = "on validation data"
        if change is not None:
            told = f"{change:+.5f}, was {score_text(report, getattr(report.quality['source'], score))}"
        yield label, f"quality.artifact.{score}", value, quality_text(report, "artifact", score), told


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _shown(value: Any) -> Any:
    """Return what stands for a value: markup as it is, texts without control characters, few digits of numbers."""
    if hasattr(value, "__html__"):
        return value
    return f"{value:g}" if isinstance(value, float) else printable(str(value))
