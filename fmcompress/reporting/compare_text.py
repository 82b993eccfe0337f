"""What changed from one artifact to another, as text and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from fmcompress.reporting.comparison import Comparison, FieldChange, PartChange, SettingChange
from fmcompress.reporting.fields import FieldReport
from fmcompress.reporting.render import LONGEST_NAME, NOTHING
from fmcompress.reporting.table import Table, markdown_table, markdown_text, plain_table
from fmcompress.sizes import format_size
from fmcompress.text import inert, printable, shortened

if TYPE_CHECKING:
    from fmcompress.artifact import Quality
    from fmcompress.evaluation.scores import Scores

_WORDS = {
    "added": "added",
    "removed": "removed",
    "kind": "another kind",
    "cardinality": "resized",
    "pad": "another PAD",
    "table": "another table",
    "quantizer": "re-quantized",
    "weights": "other weights",
}
_SETTINGS = {"dim": "embedding size", "libraries": "made with"}
_SCORES = {"auc": ("AUC", ".5f"), "logloss": ("LogLoss", ".5f"), "rmse": ("RMSE", ".6g")}
"""Scores, what they are called, and the digits that they have."""


def to_text(found: Comparison) -> str:
    """Return the comparison as plain text, with every field that changed."""
    sections = [inert(printable(sentence)) for sentence in _sentences(found)]
    sections += map(plain_table, _tables(found, list(found.changed_fields)))
    return "\n\n".join([*sections, *_rest(found, list(found.changed_fields))]) + "\n"


def to_markdown(found: Comparison, *, top: int | None) -> str:
    """Return the comparison as Markdown, with the ``top`` fields that changed most; None shows all."""
    shown = list(found.changed_fields)
    if top is not None and len(shown) > top:
        shown = sorted(shown, key=lambda field: -abs(field.bytes_change))[:top]
    sections = ["## Comparison", *(markdown_text(shortened(sentence, 400)) for sentence in _sentences(found))]
    sections += map(markdown_table, _tables(found, shown, longest=LONGEST_NAME))
    return "\n\n".join([*sections, *_rest(found, shown)]) + "\n"


def _sentences(found: Comparison) -> Iterator[str]:
    old, new = (shortened(each.name, LONGEST_NAME) for each in (found.old, found.new))
    if found.identical:
        yield f"{new} is {old}, byte for byte: {format_size(found.new.report.file_bytes)}."
        return
    sizes = f"{format_size(found.old.report.file_bytes)} became {format_size(found.new.report.file_bytes)}"
    change = found.bytes_change
    if change == 0:
        yield f"{new} is as large as {old}: {format_size(found.new.report.file_bytes)}."
    else:
        amount = f"{abs(change):,} bytes ({abs(change) / found.old.report.file_bytes:.1%})"
        yield f"{new} is {amount} {'larger' if change > 0 else 'smaller'} than {old}: {sizes}."
    if found.vocabulary_changed:
        yield "Its vocabulary is another."


def _tables(found: Comparison, shown: list[FieldChange], *, longest: int | None = None) -> Iterator[Table]:
    if found.identical:
        return
    yield _parts(found)
    if found.settings:
        yield Table(("setting", "old", "new"), [*map(_setting, found.settings)], left=3)
    yield from _quality(found)
    if shown:
        head = ("field", "change", "embedding", "linear", "categories", "bytes", "Δ bytes", "error")
        yield Table(head, [_field(field, longest) for field in shown], left=4)


def _parts(found: Comparison) -> Table:
    return Table(("part", "old", "new", "Δ bytes", "Δ"), [_part(part) for part in found.parts])


def _part(part: PartChange) -> tuple[str, ...]:
    change = part.bytes_change
    share = f"{change / part.old_bytes:+.1%}" if part.old_bytes else NOTHING
    return (part.name, f"{part.old_bytes:,}", f"{part.new_bytes:,}", _more(change), share)


def _setting(setting: SettingChange) -> tuple[str, ...]:
    if setting.name == "budget_bytes":
        return ("budget", *(f"{int(size):,} bytes" for size in (setting.old, setting.new)))
    return (_SETTINGS.get(setting.name, setting.name), setting.old, setting.new)


def _quality(found: Comparison) -> Iterator[Table]:
    """Yield the table of scores: those in the headers, and those on the data that were given."""
    kept = [each.report.quality.get("artifact") for each in (found.old, found.new)]
    rows = [*_scores("validation data", *kept), *_scores("the data given", found.old.scores, found.new.scores)]
    if rows:
        yield Table(("quality", "old", "new", "Δ"), rows)


def _scores(where: str, old: Quality | Scores | None, new: Quality | Scores | None) -> Iterator[tuple[str, ...]]:
    """Yield the rows of the scores that exist before or now."""
    counts = dict.fromkeys(f"{each.rows:,}" for each in (old, new) if each)
    for score, (label, digits) in _SCORES.items():
        was, is_now = (getattr(each, score, math.nan) for each in (old, new))
        if not math.isfinite(was) and not math.isfinite(is_now):
            continue
        rise = is_now - was
        yield (
            f"{label}, {' and '.join(counts)} rows of {where}",
            *(f"{value:{digits}}" if math.isfinite(value) else NOTHING for value in (was, is_now)),
            f"{rise:+{digits}}" if math.isfinite(rise) else NOTHING,
        )


def _field(field: FieldChange, longest: int | None) -> tuple[str, ...]:
    name = field.name if longest is None else shortened(field.name, longest)
    looks: tuple[Callable[[FieldReport], str], ...] = (
        lambda part: part.quantizer if part.table is None else f"table of {_name(part.table, longest)}",
        lambda part: part.linear_quantizer,
        _categories,
        lambda part: f"{part.bytes:,}",
    )
    cells = [_both(field, look) for look in looks]
    changes = ", ".join(_WORDS[change] for change in field.changes)
    return (name, changes, *cells, _more(field.bytes_change), _both(field, lambda part: f"{part.error:.1e}"))


def _name(name: str, longest: int | None) -> str:
    return name if longest is None else shortened(name, longest)


def _categories(part: FieldReport) -> str:
    if part.kind in ("numeric", "linear"):
        return NOTHING
    return f"{part.cardinality:,}" if part.pad is None else f"{part.cardinality:,}, PAD {part.pad}"


def _both(field: FieldChange, look: Callable[[FieldReport], str]) -> str:
    """Return what something was and what it is, or once where that is the same."""
    texts = [look(part) for part in (field.old, field.new) if part is not None]
    return " → ".join(dict.fromkeys(texts))


def _more(change: int) -> str:
    return f"{change:+,}" if change else "0"


def _rest(found: Comparison, shown: list[FieldChange]) -> Iterator[str]:
    """Yield what there is to say of the fields that are not in the table."""
    if found.identical:
        return
    names = {field.name for field in shown}
    hidden = [field for field in found.changed_fields if field.name not in names]
    if hidden:
        change = sum(field.bytes_change for field in hidden)
        yield f"and {len(hidden):,} more field{_s(hidden)} that changed, {_more(change)} bytes"
    left = [field.new.bytes for field in found.fields if not field.changes and field.new is not None]
    if left:
        verb = "is" if len(left) == 1 else "are"
        yield f"{len(left):,} field{_s(left)} {verb} the same in every byte, {sum(left):,} bytes"


def _s(some: list[FieldChange] | list[int]) -> str:
    return "" if len(some) == 1 else "s"
