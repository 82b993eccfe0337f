"""What changed from one artifact to another, as data, text, Markdown and JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from fmcompress.arguments import checked_arguments
from fmcompress.reporting.document import (
    NOTHING,
    Block,
    Paragraph,
    Table,
    json_document,
    markdown_document,
    plain_document,
)
from fmcompress.reporting.report_data import FieldReport, ReportData
from fmcompress.reporting.sections import LONGEST_NAME, TOP, categories, limited
from fmcompress.sizes import format_size
from fmcompress.text import shortened, with_error

if TYPE_CHECKING:
    from fmcompress.artifact import Quality
    from fmcompress.evaluation.scores import Scores

Change = Literal["added", "removed", "kind", "cardinality", "pad", "table", "pooling", "quantizer", "weights"]
"""What is another at a field; ``weights`` only where all the rest is the same."""

_WORDS = {
    "added": "added",
    "removed": "removed",
    "kind": "another kind",
    "cardinality": "resized",
    "pad": "another PAD",
    "table": "another table",
    "pooling": "another pooling",
    "quantizer": "re-quantized",
    "weights": "other weights",
}
_SETTING_NAMES = {"dim": "embedding size", "libraries": "made with"}
_SCORES = {
    "auc": ("AUC", ".5f"),
    "logloss": ("LogLoss", ".5f"),
    "calibrated_logloss": ("calibrated LogLoss", ".5f"),
    "rmse": ("RMSE", ".6g"),
}
"""Scores, what they are called, and the digits that they have."""


@dataclass(frozen=True)
class ComparedArtifact:
    """One of two artifacts.

    Attributes:
        name: its file.
        report: its report.
        scores: how well it predicts the data; None where none are given.
    """

    name: str
    report: ReportData
    scores: Scores | None


@dataclass(frozen=True)
class PartChange:
    """A part of the file.

    Attributes:
        name: what it is called, as in reports; the last one is the ``total``.
        old_bytes: its bytes before.
        new_bytes: its bytes now.
    """

    name: str
    old_bytes: int
    new_bytes: int

    @property
    def bytes_change(self) -> int:
        """Bytes more; fewer are negative."""
        return self.new_bytes - self.old_bytes


@dataclass(frozen=True)
class SettingChange:
    """Something that holds for the whole artifact, and is another.

    Attributes:
        name: what it is.
        old: what it was.
        new: what it is now.
    """

    name: str
    old: str
    new: str


@dataclass(frozen=True)
class FieldChange:
    """A field of one of the artifacts or of both.

    Attributes:
        name: its name.
        changes: what is another; empty where nothing is.
        old: its report before; None where it was not there.
        new: its report now; None where it is not there.
    """

    name: str
    changes: tuple[Change, ...]
    old: FieldReport | None
    new: FieldReport | None

    @property
    def bytes_change(self) -> int:
        """Bytes more; fewer are negative."""
        return (self.new.bytes if self.new else 0) - (self.old.bytes if self.old else 0)


@checked_arguments
@dataclass(frozen=True)
class Comparison:
    """What changed from one artifact to another.

    Attributes:
        old: the one before.
        new: the one now.
        identical: whether they are the same in every byte.
        vocabulary_changed: whether the tokens of the categories are others.
        parts: the parts of the file, and the total.
        settings: what holds for the whole artifact and is another.
        fields: all fields, in the order of the new artifact; those that are gone come last.
        auc_change_error: standard error of the difference of both AUCs on the data given, which are the same rows; None
            without data, and where one has no AUC.
    """

    old: ComparedArtifact
    new: ComparedArtifact
    identical: bool
    vocabulary_changed: bool
    parts: tuple[PartChange, ...]
    settings: tuple[SettingChange, ...]
    fields: tuple[FieldChange, ...]
    auc_change_error: float | None = None

    @property
    def bytes_change(self) -> int:
        """Bytes more of the whole file; fewer are negative."""
        return self.parts[-1].bytes_change

    @property
    def changed_fields(self) -> tuple[FieldChange, ...]:
        """The fields at which anything is another."""
        return tuple(field for field in self.fields if field.changes)

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as plain data, ready for JSON."""
        return {
            "identical": self.identical,
            "bytes_change": self.bytes_change,
            "vocabulary_changed": self.vocabulary_changed,
            "auc_change_standard_error": self.auc_change_error,
            "old": _summary(self.old),
            "new": _summary(self.new),
            "parts": [{**asdict(part), "bytes_change": part.bytes_change} for part in self.parts],
            "settings": [asdict(setting) for setting in self.settings],
            "fields": [{**asdict(field), "bytes_change": field.bytes_change} for field in self.fields],
        }

    def to_json(self) -> str:
        """Return the comparison as JSON."""
        return json_document("compare", self.to_dict())

    def to_text(self) -> str:
        """Return the comparison as plain text, with every field that changed."""
        return plain_document(self._blocks(self.changed_fields, None)) + "\n"

    @checked_arguments
    def to_markdown(self, *, top: int | None = TOP) -> str:
        """Return the comparison as Markdown, with the ``top`` fields that changed most; None shows all."""
        shown = self.changed_fields
        if top is not None and len(shown) > top:
            shown = tuple(sorted(shown, key=lambda field: -abs(field.bytes_change))[:top])
        return markdown_document(self._blocks(shown, LONGEST_NAME), "Comparison") + "\n"

    def _blocks(self, shown: Sequence[FieldChange], longest: int | None) -> Iterator[Block]:
        """Yield sentences and tables, with the fields that are shown, and names of at most so many characters."""
        yield from (Paragraph([sentence]) for sentence in self._sentences())
        if self.identical:
            return
        yield Table(("part", "old", "new", "Δ bytes", "Δ"), [_part(part) for part in self.parts])
        if self.settings:
            yield Table(("setting", "old", "new"), [_setting(setting) for setting in self.settings], left=3)
        kept = [each.report.quality.get("artifact") for each in (self.old, self.new)]
        given = _scores("the data given", [self.old.scores, self.new.scores], self.auc_change_error)
        scores = [*_scores("validation data", kept), *given]
        if scores:
            yield Table(("quality", "old", "new", "Δ"), scores)
        if shown:
            head = ("field", "change", "embedding", "linear", "categories", "bytes", "Δ bytes", "error")
            yield Table(head, [_field(field, longest) for field in shown], left=4)
        yield from (Paragraph([sentence]) for sentence in self._rest(shown))

    def _sentences(self) -> Iterator[str]:
        old, new = (shortened(each.name, LONGEST_NAME) for each in (self.old, self.new))
        was, is_now = (format_size(each.report.file_bytes) for each in (self.old, self.new))
        change = self.bytes_change
        if self.identical:
            yield f"{new} is {old}, byte for byte: {is_now}."
        elif change == 0:
            yield f"{new} is as large as {old}: {is_now}."
        else:
            amount = f"{abs(change):,} bytes ({abs(change) / self.old.report.file_bytes:.1%})"
            yield f"{new} is {amount} {'larger' if change > 0 else 'smaller'} than {old}: {was} became {is_now}."
        if self.vocabulary_changed:
            yield "Its vocabulary is another."

    def _rest(self, shown: Sequence[FieldChange]) -> Iterator[str]:
        """Yield what there is to say of the fields that are not in the table."""
        names = {field.name for field in shown}
        hidden = [field for field in self.changed_fields if field.name not in names]
        if hidden:
            change = sum(field.bytes_change for field in hidden)
            plural = "" if len(hidden) == 1 else "s"
            yield f"and {len(hidden):,} more field{plural} that changed, {_more(change)} bytes"
        left = [field.new.bytes for field in self.fields if not field.changes and field.new is not None]
        if left:
            fields = "field is" if len(left) == 1 else "fields are"
            yield f"{len(left):,} {fields} the same in every byte, {sum(left):,} bytes"


def _summary(artifact: ComparedArtifact) -> dict[str, Any]:
    """Return what there is to know of one artifact, but for its fields."""
    found = asdict(artifact.report)
    del found["fields"]
    return {"name": artifact.name, **found, "scores": artifact.scores and asdict(artifact.scores)}


def _part(part: PartChange) -> tuple[str, ...]:
    change = part.bytes_change
    share = f"{change / part.old_bytes:+.1%}" if part.old_bytes else NOTHING
    return (part.name, f"{part.old_bytes:,}", f"{part.new_bytes:,}", _more(change), share)


def _setting(setting: SettingChange) -> tuple[str, ...]:
    if setting.name == "budget_bytes":
        return ("budget", *(f"{int(size):,} bytes" for size in (setting.old, setting.new)))
    return (_SETTING_NAMES.get(setting.name, setting.name), setting.old, setting.new)


def _scores(
    where: str, both: Sequence[Quality | Scores | None], auc_change_error: float | None = None
) -> Iterator[tuple[str, ...]]:
    """Yield the rows of the scores that exist before or now, of the AUC with standard errors where these are known."""
    counts = dict.fromkeys(f"{each.rows:,}" for each in both if each)
    for score, (label, digits) in _SCORES.items():
        was, is_now = (getattr(each, score, math.nan) for each in both)
        if not math.isfinite(was) and not math.isfinite(is_now):
            continue
        cells = [_figure(was, digits), _figure(is_now, digits), _figure(is_now - was, f"+{digits}")]
        if score == "auc":
            errors = [*(getattr(each, "auc_standard_error", None) for each in both), auc_change_error]
            cells = [with_error(cell, error) for cell, error in zip(cells, errors, strict=True)]
        yield (f"{label}, {' and '.join(counts)} rows of {where}", *cells)


def _figure(value: float, digits: str) -> str:
    return f"{value:{digits}}" if math.isfinite(value) else NOTHING


def _field(field: FieldChange, longest: int | None) -> tuple[str, ...]:
    looks: tuple[Callable[[FieldReport], str], ...] = (
        lambda part: part.quantizer if part.table is None else f"table of {limited(part.table, longest)}",
        lambda part: part.linear_quantizer,
        categories,
        lambda part: f"{part.bytes:,}",
    )
    cells = [_both(field, look) for look in looks]
    changes = ", ".join(_WORDS[change] for change in field.changes)
    error = _both(field, lambda part: f"{part.error:.1e}")
    return (limited(field.name, longest), changes, *cells, _more(field.bytes_change), error)


def _both(field: FieldChange, look: Callable[[FieldReport], str]) -> str:
    """Return what something was and what it is, or once where that is the same."""
    texts = [look(part) for part in (field.old, field.new) if part is not None]
    return " → ".join(dict.fromkeys(texts))


def _more(change: int) -> str:
    return f"{change:+,}" if change else "0"
