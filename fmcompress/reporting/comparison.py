"""What changed from one artifact to another, as data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from fmcompress.reporting.fields import FieldReport
from fmcompress.reporting.report import TOP, Report

if TYPE_CHECKING:
    from fmcompress.evaluation.scores import Scores

Change = Literal["added", "removed", "kind", "cardinality", "pad", "table", "quantizer", "weights"]
"""What is another at a field; ``weights`` only where all the rest is the same."""


@dataclass(frozen=True)
class ComparedArtifact:
    """One of two artifacts.

    Attributes:
        name: its file.
        report: its report.
        scores: how well it predicts the data; None where none are given.
    """

    name: str
    report: Report
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
    """

    old: ComparedArtifact
    new: ComparedArtifact
    identical: bool
    vocabulary_changed: bool
    parts: tuple[PartChange, ...]
    settings: tuple[SettingChange, ...]
    fields: tuple[FieldChange, ...]

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
            "old": _summary(self.old),
            "new": _summary(self.new),
            "parts": [{**asdict(part), "bytes_change": part.bytes_change} for part in self.parts],
            "settings": [asdict(setting) for setting in self.settings],
            "fields": [{**asdict(field), "bytes_change": field.bytes_change} for field in self.fields],
        }

    def to_json(self) -> str:
        """Return the comparison as JSON."""
        from fmcompress.reporting.schema import json_document

        return json_document("compare", self.to_dict())

    def to_text(self) -> str:
        """Return the comparison as plain text, with every field that changed."""
        from fmcompress.reporting.compare_text import to_text

        return to_text(self)

    def to_markdown(self, *, top: int | None = TOP) -> str:
        """Return the comparison as Markdown, with the ``top`` fields that changed most; None shows all."""
        from fmcompress.reporting.compare_text import to_markdown

        return to_markdown(self, top=top)


def _summary(artifact: ComparedArtifact) -> dict[str, Any]:
    """Return what there is to know of one artifact, but for its fields."""
    found = artifact.report.to_dict()
    del found["fields"]
    return {"name": artifact.name, **found, "scores": artifact.scores and asdict(artifact.scores)}
