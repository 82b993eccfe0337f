"""The formats of a memory report, by name. A new one is a function in a module of its own, and a row here."""

from collections.abc import Callable
from dataclasses import asdict

from fmcompress.reporting.card import to_card
from fmcompress.reporting.document import json_document, markdown_document, plain_document, workflow_command
from fmcompress.reporting.page import to_html
from fmcompress.reporting.report_data import ReportData
from fmcompress.reporting.sections import (
    LONGEST_NAME,
    Options,
    blocks,
    quality_text,
    rises,
    score_text,
    scores,
    times_smaller,
)
from fmcompress.sizes import format_size
from fmcompress.text import shortened


def to_json(report: ReportData, options: Options) -> str:
    """Return the report as JSON, two spaces a level; figures that do not exist are null."""
    return json_document("report", asdict(report))


def to_text(report: ReportData, options: Options) -> str:
    """Return the report as plain text, with every field and nothing cut short."""
    return plain_document(blocks(report)) + "\n"


def to_markdown(report: ReportData, options: Options) -> str:
    """Return the report as Markdown, with the largest fields."""
    return markdown_document(blocks(report, top=options.top, longest=LONGEST_NAME), "Memory report") + "\n"


def to_github(report: ReportData, options: Options) -> str:
    """Return the report as a workflow command of GitHub, which shows it as an annotation."""
    left = report.budget_bytes - report.file_bytes
    size = format_size(report.file_bytes) + (f", {left:,} bytes left of the budget" if report.method else "")
    title = f"Memory report of {shortened(options.name, 200)}" if options.name else "Memory report"
    sentences = [size, f"{times_smaller(report)} than in fp32", _scores_in_words(report), *report.warnings]
    return workflow_command("warning" if report.warnings else "notice", title, "; ".join(sentences))


def _scores_in_words(report: ReportData) -> str:
    """Return the scores of the artifact beside those of the checkpoint."""
    artifact, before = report.quality.get("artifact"), report.quality.get("source")
    if artifact is None:
        return f"rise of the loss: {rises(report)}"
    found = [f"{label} {quality_text(report, 'artifact', score)}" for score, label in scores(report).items()]
    if before is not None:
        pairs = zip(found, scores(report), strict=True)
        found = [f"{now} ({score_text(report, getattr(before, score))} before)" for now, score in pairs]
    return f"on {artifact.rows:,} rows of validation data {', '.join(found)}"


FORMATS: dict[str, Callable[[ReportData, Options], str]] = {
    "text": to_text,
    "json": to_json,
    "markdown": to_markdown,
    "html": to_html,
    "github": to_github,
    "card": to_card,
}
