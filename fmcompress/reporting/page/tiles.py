"""What stands at the top of the page: a sentence, and the figures that people ask for first."""

from __future__ import annotations

import math
from collections.abc import Iterator

from fmcompress.reporting.page.markup import Markup, element, figure, joined, named
from fmcompress.reporting.render import score_text, scores, times_smaller
from fmcompress.reporting.report import Report
from fmcompress.sizes import short_size


def summary(report: Report) -> Markup:
    """Return one sentence that says what was done."""
    source = [named(report.source[1])] if len(report.source) == 3 and report.source[1] else ["A model in memory"]
    words = (
        f", {short_size(report.source_fp32_bytes)} in fp32, became one file of {short_size(report.file_bytes)}: "
        f"{times_smaller(report)}. It has {len(report.fields):,} field{'s' if len(report.fields) > 1 else ''} "
        f"and embeddings of {report.dim}."
    )
    return element("p", *source, words, class_="lead")


def tiles(report: Report) -> Markup:
    """Return the figures that people ask for first."""
    return element("dl", *_tiles(report), class_="tiles")


def _tiles(report: Report) -> Iterator[Markup]:
    yield _tile("File", _bytes("file_bytes", report.file_bytes), f"{report.file_bytes:,} bytes")
    used = f"{report.file_bytes / report.budget_bytes:.1%} used" if report.budget_bytes > 0 else ""
    yield _tile("Budget", _bytes("budget_bytes", report.budget_bytes), used)
    source = figure("source_fp32_bytes", report.source_fp32_bytes, f"{report.source_fp32_bytes:,}")
    ratio = figure("ratio", report.ratio, f"{report.ratio:.2f}×")
    yield _tile("Ratio", ratio, joined(["of ", source, " bytes in fp32"]))
    bits = figure("bits_per_weight", report.bits_per_weight, f"{report.bits_per_weight:.3f}")
    yield _tile("Bits per weight", bits, "32 before")
    yield from _quality(report)
    resident = report.resident_bytes
    yield _tile("In memory, scoring", _bytes("resident_bytes", resident), f"{resident:,} bytes")


def _quality(report: Report) -> Iterator[Markup]:
    """Yield the scores of the artifact, or where nothing was measured the rise of the loss that is expected."""
    artifact, source = report.quality.get("artifact"), report.quality.get("source")
    if artifact is None:
        loss = "squared error / 2" if report.regression else "LogLoss"
        shown = f"{report.predicted_rise:{'+.3g' if report.regression else '+.5f'}}"
        yield _tile(
            f"Expected rise of {loss}", figure("predicted_rise", report.predicted_rise, shown), "not measured: no data"
        )
        return
    for score, label in scores(report).items():
        value = getattr(artifact, score)
        was = getattr(source, score) if source else math.nan
        told = (
            f"{value - was:+.5f}, was {score_text(report, was)}" if math.isfinite(value - was) else "on validation data"
        )
        yield _tile(label, figure(f"quality.artifact.{score}", value, score_text(report, value)), told)


def _bytes(key: str, size: int) -> Markup:
    return figure(key, size, short_size(size))


def _tile(name: str, value: Markup, beside: str) -> Markup:
    return element(
        "div", element("dt", name), element("dd", value, class_="value"), element("dd", beside, class_="beside")
    )
