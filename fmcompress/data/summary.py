"""What rows hold, counted in one pass, and what makes it doubtful that anything can be learned from them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from fmcompress.data.batch import Batch
from fmcompress.data.counting import counts_of_rows
from fmcompress.fm.schema import Schema
from fmcompress.processes.world import World, this_process
from fmcompress.text import shortened
from fmcompress.types import Int64Array

LEAST_OF_A_LABEL = 30
"""Rows of the rarer label, or rows of a regression, below which scores say nothing: see ``gates/uncertainty.py``."""

LEAST_TO_TUNE_ON = 1_000
"""Training rows below which tuning is doubtful: that is not half a batch, and most categories do not even occur."""

_SHOWN_NAMES = 3
_LONGEST_NAME = 40


@dataclass(frozen=True)
class RowSummary:
    """What rows hold.

    Attributes:
        rows: number of rows.
        counts: how often each category is active, int64 (categories,). Fields that share a table count together, and
            where a field has several values in a row each of them counts.
        labels: the different labels, 0 and 1, or of a regression two of them at most.
        positives: rows with label 1.
        unseen: fields that have no value in any row, or of numeric fields none but 0.
        nbytes: what they take in memory, all together.
    """

    rows: int
    counts: Int64Array
    labels: tuple[float, ...]
    positives: int
    unseen: tuple[str, ...]
    nbytes: int = 0


@dataclass(frozen=True)
class Doubt:
    """Something about rows that makes what comes of them doubtful.

    Attributes:
        found: what was found.
        follows: what follows from it.
    """

    found: str
    follows: str

    def __str__(self) -> str:
        return f"{self.found}: {self.follows}"


def summarize(schema: Schema, batches: Iterable[Batch]) -> RowSummary:
    """Count what rows hold, in one pass; of several processes each counts a part, and gets the sums.

    Args:
        schema: the fields.
        batches: the rows; of several processes those of this one.
    """
    counts = counts_of_rows(schema)
    seen = dict.fromkeys((*schema.id_names, *schema.numeric_names), False)
    rows, positives, labels, nbytes = 0, 0, set[float](), 0
    for batch in batches:
        for column, (name, table) in enumerate(zip(schema.id_names, schema.tables.tolist(), strict=True)):
            ids = batch.bags[name].ids if name in batch.bags else batch.ids[:, column]
            present = ids[ids >= 0]
            counts.add(table, present)
            seen[name] = seen[name] or bool(len(present))
        for column, name in enumerate(schema.numeric_names):
            seen[name] = seen[name] or bool(batch.values[:, column].any())
        rows += len(batch)
        positives += int((batch.labels == 1).sum())
        if len(batch):
            labels |= {float(batch.labels.min()), float(batch.labels.max())}
            nbytes += batch.nbytes - 8 * len(batch.bags)  # whatever the batches: a bag has a start more than rows
    known = tuple(sorted(label for label in labels if not math.isnan(label)))
    unseen = tuple(name for name, found in seen.items() if not found)
    return _of_all(this_process(), RowSummary(rows, counts.total(), known, positives, unseen, nbytes))


def _of_all(world: World, own: RowSummary) -> RowSummary:
    """Return the summary of the rows of all processes from that of this one's."""
    if world.alone:
        return own
    counts = world.total(own.counts)
    parts = world.gather_objects(replace(own, counts=own.counts[:0]))
    return RowSummary(
        sum(part.rows for part in parts),
        counts,
        tuple(sorted({label for part in parts for label in part.labels})),
        sum(part.positives for part in parts),
        tuple(name for name in own.unseen if all(name in part.unseen for part in parts)),
        sum(part.nbytes for part in parts),
    )


def doubts_of_training(summary: RowSummary) -> list[Doubt]:
    """Return what is doubtful of rows to tune on."""
    doubts = []
    if summary.rows < LEAST_TO_TUNE_ON:
        follows = f"tuning takes {LEAST_TO_TUNE_ON:,} or more, and what is fitted to fewer may be chance"
        doubts.append(Doubt(f"there are {summary.rows:,} training rows", follows))
    if len(summary.labels) == 1:
        doubts.append(Doubt(_one_label(summary, "training"), "what is fitted to them cannot tell labels apart"))
    return [*doubts, *_unseen(summary, "training", "it is stored as if none of its categories mattered")]


def doubts_of_validation(summary: RowSummary, *, regression: bool) -> list[Doubt]:
    """Return what is doubtful of rows that a state is chosen by.

    Args:
        summary: of the rows.
        regression: whether labels are numbers, not 0 and 1.
    """
    rows, follows = summary.rows, "the state that is chosen by them may be chance"
    if len(summary.labels) == 1:
        doubts = [Doubt(_one_label(summary, "validation"), follows)]
    elif regression:
        doubts = [Doubt(f"there are {rows:,} validation rows", follows)] if rows < LEAST_OF_A_LABEL else []
    else:
        label, found = min((1, summary.positives), (0, rows - summary.positives), key=lambda each: each[1])
        told = f"{found:,} of {rows:,} validation rows {'has' if found == 1 else 'have'} label {label}"
        doubts = [Doubt(told, follows)] if found < LEAST_OF_A_LABEL else []
    return [*doubts, *_unseen(summary, "validation", "what is chosen takes no notice of it")]


def _one_label(summary: RowSummary, part: str) -> str:
    rows = f"all {summary.rows:,} {part} rows have" if summary.rows > 1 else f"the only {part} row has"
    return f"{rows} label {summary.labels[0]:g}"


def _unseen(summary: RowSummary, part: str, follows: str) -> list[Doubt]:
    names = [repr(shortened(name, _LONGEST_NAME)) for name in summary.unseen]
    if not names:
        return []
    more = f" and {len(names) - _SHOWN_NAMES:,} more" if len(names) > _SHOWN_NAMES else ""
    fields = "field" if len(names) == 1 else "fields"
    return [Doubt(f"no {part} row has a value of {fields} {', '.join(names[:_SHOWN_NAMES])}{more}", follows)]
