"""What changed from one artifact to another, found out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmcompress.arguments import checked_arguments
from fmcompress.artifact.header import encode
from fmcompress.artifact.metadata import UNSEALED
from fmcompress.artifact.packed import same_pieces, stored_pieces
from fmcompress.data.options import DataOptions, Match, Oov
from fmcompress.errors import missing_packages_named
from fmcompress.progress import SILENT, Progress
from fmcompress.reporting.comparison import Change, ComparedArtifact, Comparison, FieldChange, PartChange, SettingChange
from fmcompress.reporting.report import machine_report
from fmcompress.reporting.report_data import PARTS, FieldReport, ReportData
from fmcompress.serve.compressed_fm import CompressedFM, load_fm

if TYPE_CHECKING:
    from fmcompress.evaluation.scores import ScoredRows, Scores
    from fmcompress.fm.vocabulary import Vocabulary

_SETTINGS = ("dim", "network", "link", "method", "seed", "budget_bytes", "source", "libraries")


@missing_packages_named()
@checked_arguments
def compare(
    old: str | Path | CompressedFM,
    new: str | Path | CompressedFM,
    *,
    data: str | Path | None = None,
    label: str = "label",
    match: Match = "name",
    oov: Oov = "error",
    first_index: int = 0,
    vocabulary: Vocabulary | None = None,
    progress: Progress = SILENT,
) -> Comparison:
    """Return what changed from one artifact to another; only with data is anything scored.

    Args:
        old: the artifact before: a file, or a model in memory.
        new: the artifact now.
        data: labelled rows to score both on: file, folder, glob or URI.
        label: column of the labels.
        match: columns belong to fields by ``name`` or by ``order``.
        oov: an id out of range or an unknown token is an ``error``, or counts as missing (``zero``).
        first_index: index of the model's first row in data that are libsvm text: 0 as libFM counts, or 1.
        vocabulary: tokens of the categories, in place of the models'.
        progress: told of ids that are out of range.

    Raises:
        ArtifactError: a file is no artifact, or damaged.
        DataError: the rows cannot be used.
        UsageError: the vocabulary is not one of the models' fields.
    """
    models = [each if isinstance(each, CompressedFM) else load_fm(each) for each in (old, new)]
    given = (("old", old), ("new", new))
    names = [name if isinstance(each, CompressedFM) else str(each) for name, each in given]
    scored: list[ScoredRows] = []
    if data is not None:
        from fmcompress.evaluation.scores import score_data

        options = DataOptions(label, match, oov, first_index)
        scored = [score_data(m, n, data, options, vocabulary, progress) for m, n in zip(models, names, strict=True)]
    scores: list[Scores | None] = [*(each.scores for each in scored)] or [None, None]
    before, now = (ComparedArtifact(n, machine_report(m), s) for n, m, s in zip(names, models, scores, strict=True))
    fields = tuple(_fields(models, before.report, now.report))
    vocabularies = [None if m.vocabulary_data is None else m.vocabulary_data.tobytes() for m in models]
    return Comparison(
        before,
        now,
        identical=_identical(models) and not any(field.changes for field in fields) and len(set(vocabularies)) == 1,
        vocabulary_changed=len(set(vocabularies)) > 1,
        parts=tuple(_parts(before.report, now.report)),
        settings=tuple(_settings(before.report, now.report)),
        fields=fields,
        auc_change_error=_auc_change_error(*scored) if scored else None,
    )


def _auc_change_error(old: ScoredRows, new: ScoredRows) -> float | None:
    from fmcompress.evaluation.deviations import auc_change_error

    found = auc_change_error(new, old)
    return None if math.isnan(found) else found


def _identical(models: Sequence[CompressedFM]) -> bool:
    """Return whether what is no field's is the same: with the fields' contents that makes the same bytes."""
    old, new = ((encode(model.header, UNSEALED), model.bias) for model in models)
    layers = [None if model.network_data is None else model.network_data.tobytes() for model in models]
    return old == new and layers[0] == layers[1]


def _parts(old: ReportData, new: ReportData) -> Iterator[PartChange]:
    for key, name in PARTS.items():
        part = PartChange(name, old.parts[key], new.parts[key])
        if part.old_bytes or part.new_bytes:
            yield part
    yield PartChange("total", old.file_bytes, new.file_bytes)


def _settings(old: ReportData, new: ReportData) -> Iterator[SettingChange]:
    for name in _SETTINGS:
        texts = [_setting(getattr(each, name)) for each in (old, new)]
        if texts[0] != texts[1]:
            yield SettingChange(name, *texts)
    orders = [[field.name for field in each.fields] for each in (old, new)]
    if orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1]):
        yield SettingChange("order of fields", *(", ".join(order) for order in orders))


def _setting(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {version}" for name, version in sorted(value.items()))
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _fields(models: Sequence[CompressedFM], old: ReportData, new: ReportData) -> Iterator[FieldChange]:
    before, now = ({field.name: field for field in each.fields} for each in (old, new))
    stored = [stored_pieces(model) for model in models]
    for name in [*now, *(name for name in before if name not in now)]:
        was, is_now = before.get(name), now.get(name)
        if was is None or is_now is None:
            yield FieldChange(name, ("added",) if was is None else ("removed",), was, is_now)
            continue
        changes = tuple(_changes(was, is_now))
        if not changes and not same_pieces(stored[0][name], stored[1][name]):
            changes = ("weights",)
        yield FieldChange(name, changes, was, is_now)


def _changes(old: FieldReport, new: FieldReport) -> Iterator[Change]:
    looks: tuple[Change, ...] = ("kind", "cardinality", "pad", "table", "pooling")
    yield from (name for name in looks if getattr(old, name) != getattr(new, name))
    if _stored_as(old) != _stored_as(new):
        yield "quantizer"


def _stored_as(field: FieldReport) -> tuple[Any, ...]:
    """Return how a field is stored, whatever its number of categories."""
    frequent = [tier.cardinality for tier in field.tiers[:-1]]  # the last tier has what is left
    return field.quantizer, field.linear_quantizer, frequent
