"""How well a model predicts: AUC, LogLoss, calibration; RMSE of a regression."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from fmcompress.arguments import checked_arguments
from fmcompress.artifact import Quality
from fmcompress.data.options import DataOptions, labels_for
from fmcompress.data.rows import Rows, open_rows
from fmcompress.errors import DataError
from fmcompress.evaluation.calibration import CalibrationScores, calibration_scores, worthwhile
from fmcompress.evaluation.placements import auc_with_error, placements
from fmcompress.evaluation.predictors import Model, predicted
from fmcompress.evaluation.spilled_rows import SpilledRows
from fmcompress.fm.links import Link, parse_link
from fmcompress.fm.predictor import Predictor
from fmcompress.fm.rescaling import Calibration
from fmcompress.fm.vocabulary import Vocabulary
from fmcompress.processes.world import World, this_process
from fmcompress.progress import SILENT, Progress
from fmcompress.text import with_error
from fmcompress.types import Float32Array, Float64Array

IN_MEMORY_ROWS = 2**18
"""Rows of which predictions are held in memory; those of more are kept in a temporary file."""

SIGMOID = Link("sigmoid")
"""From logits to probabilities, where nothing else is said."""

_LEAST_PROBABILITY = np.finfo(np.float64).eps


@checked_arguments
@dataclass(frozen=True)
class Scores:
    """Scores of a model on labelled rows.

    Attributes:
        rows: number of rows.
        auc: area under the ROC curve; NaN where all labels are the same.
        logloss: mean binary cross entropy, in nats.
        calibration: sum of the predictions over the number of positive labels; NaN where there is none.
        rmse: square root of the mean squared error of a regression, which has none of the others; NaN for
            probabilities.
        positives: rows with label 1; None for a regression.
        auc_standard_error: DeLong's standard error of the AUC, with rows that do not depend on each other; NaN where a
            label occurs less than twice.
        calibrated_logloss: LogLoss of a · z + b in place of the logits z, with what is best on these rows; NaN for a
            regression.
        calibration_error: expected calibration error of the predictions, see ``evaluation.calibration``; NaN likewise.
        calibrated_error: that of the calibrated ones.
        scale: a.
        offset: b.
    """

    rows: int
    auc: float
    logloss: float
    calibration: float
    rmse: float = math.nan
    positives: int | None = None
    auc_standard_error: float = math.nan
    calibrated_logloss: float = math.nan
    calibration_error: float = math.nan
    calibrated_error: float = math.nan
    scale: float = 1.0
    offset: float = 0.0

    @property
    def regression(self) -> bool:
        """Whether the model predicts numbers, not probabilities."""
        return not math.isnan(self.rmse)

    @property
    def selection(self) -> float:
        """What states of a model are chosen by, on validation data: AUC − calibrated LogLoss, or −RMSE."""
        return self.selection_by("both")

    def selection_by(self, figures: Literal["both", "auc", "logloss"]) -> float:
        """Return what states are chosen by: AUC − calibrated LogLoss, or one of both; of a regression −RMSE."""
        if self.regression:
            return -self.rmse
        loss = self.logloss if math.isnan(self.calibrated_logloss) else self.calibrated_logloss
        if math.isnan(self.auc) or figures == "logloss":
            return -loss
        return self.auc if figures == "auc" else self.auc - loss

    def calibrated(self) -> Scores:
        """Return the scores that the calibrated model has on these rows, but for rounding; the AUC stays."""
        return replace(
            self,
            logloss=self.calibrated_logloss,
            calibration=1.0,
            calibration_error=self.calibrated_error,
            scale=1.0,
            offset=0.0,
        )

    @property
    def calibration_gained(self) -> Calibration:
        """What calibrates the model, where on these rows it gains more than by chance; else the identity."""
        gained = self.rows * (self.logloss - self.calibrated_logloss)
        return worthwhile(Calibration(self.scale, self.offset), gained)

    def __str__(self) -> str:
        if self.regression:
            return f"RMSE {self.rmse:.5f}"
        auc = with_error(f"{self.auc:.5f}", self.auc_standard_error)
        return f"AUC {auc}, LogLoss {self.logloss:.5f}"


def open_rows_for(
    model: Model,
    data: str | Path,
    options: DataOptions | None = None,
    *,
    labelled: bool = True,
    vocabulary: Vocabulary | None = None,
    keep: Sequence[str] = (),
) -> Rows:
    """Open rows of the fields, the tokens and the kind of labels that a model takes.

    Args:
        model: a checkpoint or a compressed factorization machine.
        data: a file, a folder, a glob or a URI.
        options: how the rows are read.
        labelled: whether labels are wanted.
        vocabulary: tokens of the categories, in place of the model's.
        keep: columns that batches carry along as they are.

    Raises:
        UsageError: the vocabulary is not one of the model's fields, or columns of text are to be kept.
        DataError: the files cannot be used.
    """
    if vocabulary is None:
        vocabulary = model.vocabulary
    else:
        vocabulary.check(model.schema)
    labels = labels_for(parse_link(model.link)) if labelled else None
    options = options or DataOptions()
    return open_rows(data, model.schema, options, labels=labels, vocabulary=vocabulary, keep=keep)


def score_rows(model: Model, rows: Rows, scorer: Predictor | None = None) -> Scores:
    """Return the scores of a model on labelled rows, which are streamed.

    Of several processes each scores a part of the rows; what they get is the scores of all.

    Args:
        model: a checkpoint or a compressed factorization machine, of the same schema as the rows.
        rows: labelled rows.
        scorer: of the model, where another one than ``predictor`` gives is to score them.
    """
    world, own = this_process(), scored_rows(model, rows.own_part(), scorer)
    if world.alone:
        return own.scores
    link = parse_link(model.link)
    of_all = _kept(_sent_to_first(world, own), rows.rows if world.first else 0, link)
    return world.first_gives(lambda: of_all.scores)


def scored_rows(model: Model, rows: Rows, scorer: Predictor | None = None) -> ScoredRows:
    """Return the predictions of a model for labelled rows, which are streamed, beside the labels.

    Args:
        model: a checkpoint or a compressed factorization machine, of the same schema as the rows.
        rows: labelled rows.
        scorer: of the model, where another one than ``predictor`` gives is to score them.

    Raises:
        DataError: the rows cannot be used, or a prediction is not finite.
        OutputError: there is no room for predictions in the folder of temporary files.
    """
    return _kept(_finite_predictions(model, rows, scorer), rows.rows, parse_link(model.link))


_Block = tuple[Float32Array, Float32Array]  # predictions and labels


def _finite_predictions(model: Model, rows: Rows, scorer: Predictor | None) -> Iterator[_Block]:
    done = rows.before
    for batch, found in predicted(model, rows, scorer=scorer):
        _check_finite(found, done)
        done += len(found)
        yield found, batch.labels


def _kept(blocks: Iterable[_Block], rows: int, link: Link) -> ScoredRows:
    """Return predictions and labels of so many rows, kept in memory or in a temporary file."""
    if rows > IN_MEMORY_ROWS:
        spilled = SpilledRows()
        for found, labels in blocks:
            spilled.add(found, labels)
        return StreamedRows(spilled, link.regression, link)
    held = [(np.empty(0, np.float32), np.empty(0, np.float32)), *blocks]
    predictions, labels = (np.concatenate(own) for own in zip(*held, strict=True))
    return HeldRows(predictions, labels, link.regression, link)


def _sent_to_first(world: World, own: ScoredRows) -> Iterator[_Block]:
    """Yield the predictions and labels of all processes to the first of them, in the order of the rows."""
    nothing = np.empty((0, 2), np.float32)
    for rank, blocks in enumerate(world.gather_objects(sum(1 for _ in own.blocks()))):
        sending = own.blocks() if rank == world.rank else iter(())
        for _ in range(blocks):
            sent = [np.stack(block, axis=1) for block in islice(sending, 1)] or [nothing]
            found = world.exchange([sent[0], *(nothing for _ in range(world.size - 1))])[rank]
            yield np.ascontiguousarray(found[:, 0]), np.ascontiguousarray(found[:, 1])


def _check_finite(predictions: Float32Array, first_row: int) -> None:
    wrong = np.flatnonzero(~np.isfinite(predictions))
    if wrong.size:
        row = int(wrong[0])
        raise DataError(
            f"the prediction for row {first_row + row:,} is {predictions[row]}, expected a finite number: the model's "
            "weights are too large for its rows"
        )


def score_data(
    model: Model,
    name: str,
    data: str | Path,
    options: DataOptions | None = None,
    vocabulary: Vocabulary | None = None,
    progress: Progress = SILENT,
    scorer: Predictor | None = None,
) -> ScoredRows:
    """Score a model on labelled rows, and note under its name how many of their ids contribute nothing.

    Args:
        model: a checkpoint or a compressed factorization machine.
        name: what it is called.
        data: a file, a folder, a glob or a URI.
        options: how the rows are read.
        vocabulary: tokens of the categories, in place of the model's.
        progress: told of ids that are out of range.
        scorer: of the model, where another one than ``predictor`` gives is to score them.

    Raises:
        UsageError: the vocabulary is not one of the model's fields.
        DataError: the files cannot be used.
    """
    rows = open_rows_for(model, data, options, vocabulary=vocabulary)
    scored = scored_rows(model, rows, scorer)
    if rows.out_of_range:
        progress.note(f"{name}: {rows.out_of_range:,} ids out of range or unknown contribute nothing")
    return scored


def quality_of(scores: Scores) -> Quality:
    """Return what an artifact holds of scores."""
    error = None if scores.regression else scores.auc_standard_error
    return Quality(scores.rows, scores.auc, scores.logloss, scores.rmse, error, scores.calibrated_logloss)


def scores_of(
    predictions: Float32Array, labels: Float32Array, *, regression: bool = False, link: Link = SIGMOID
) -> Scores:
    """Return the scores of predictions against labels.

    Args:
        predictions: probabilities, or for a regression numbers, float32 (rows,).
        labels: 0 and 1, or numbers, float32 (rows,).
        regression: which of both.
        link: from logits to probabilities.
    """
    if regression:
        errors = predictions.astype(np.float64) - labels
        return Scores(len(labels), math.nan, math.nan, math.nan, float(np.sqrt(np.mean(np.square(errors)))))
    from sklearn.metrics import log_loss

    positive = labels > 0
    positives = int(positive.sum())
    auc, error = auc_with_error(predictions[positive], predictions[~positive])
    logloss = float(log_loss(labels, predictions.astype(np.float64), labels=[0, 1]))
    return Scores(
        rows=len(labels),
        auc=auc,
        logloss=logloss,
        calibration=float(predictions.sum(dtype=np.float64)) / positives if positives else math.nan,
        positives=positives,
        auc_standard_error=error,
        **_calibration_figures(calibration_scores([(predictions, labels)], link), logloss),
    )


def _calibration_figures(found: CalibrationScores, logloss: float) -> dict[str, float]:
    return {
        "calibrated_logloss": min(logloss, found.calibrated_logloss),
        "calibration_error": found.error,
        "calibrated_error": found.calibrated_error,
        "scale": found.best.scale,
        "offset": found.best.offset,
    }


def row_losses(predictions: Float32Array, labels: Float32Array) -> Float64Array:
    """Return the binary cross entropy of each row, in nats, float64 (rows,); certain ones stand off as in the LogLoss.

    Args:
        predictions: probabilities, float32 (rows,).
        labels: 0 and 1, float32 (rows,).
    """
    wide = predictions.astype(np.float64)
    likely = np.where(labels > 0, wide, 1 - wide)
    return np.asarray(-np.log(np.maximum(likely, _LEAST_PROBABILITY)))


class ScoredRows(Protocol):
    """What a model predicts for labelled rows, kept so that it can be compared with another one row by row.

    Attributes:
        regression: whether predictions are numbers, not probabilities.
        scores: of the model on these rows.
    """

    @property
    def regression(self) -> bool: ...  # noqa: D102

    @property
    def scores(self) -> Scores: ...  # noqa: D102

    def __len__(self) -> int:
        """Return how many rows there are."""

    def blocks(self) -> Iterator[tuple[Float32Array, Float32Array]]:
        """Yield predictions and labels, float32 (n,) each, in the order of the rows."""

    def placements(self) -> Iterator[Float64Array]:
        """Yield the placements of the rows of each block, float64 (n,), see ``evaluation.placements``."""


@dataclass(frozen=True)
class HeldRows:
    """Predictions in memory, see ``ScoredRows``.

    Attributes:
        predictions: probabilities, or for a regression numbers, float32 (rows,).
        labels: 0 and 1, or numbers, float32 (rows,).
        regression: which of both.
        link: from logits to probabilities.
    """

    predictions: Float32Array
    labels: Float32Array
    regression: bool = False
    link: Link = SIGMOID

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def scores(self) -> Scores:
        """The scores of the model on these rows."""
        return scores_of(self.predictions, self.labels, regression=self.regression, link=self.link)

    def blocks(self) -> Iterator[tuple[Float32Array, Float32Array]]:
        """Yield predictions and labels, float32 (rows,) each, at once."""
        yield self.predictions, self.labels

    def placements(self) -> Iterator[Float64Array]:
        """Yield the placements of the rows, float64 (rows,), at once."""
        positive = self.labels > 0
        found = np.empty(len(positive))
        found[positive], found[~positive] = placements(self.predictions[positive], self.predictions[~positive])
        yield found


@dataclass(frozen=True)
class StreamedRows:
    """Predictions of more rows than are held in memory, see ``ScoredRows``.

    Attributes:
        spilled: the predictions.
        regression: whether they are numbers.
        link: from logits to probabilities.
    """

    spilled: SpilledRows
    regression: bool = False
    link: Link = SIGMOID

    def __len__(self) -> int:
        return len(self.spilled)

    @cached_property
    def scores(self) -> Scores:
        """The scores of the model on these rows: those that ``scores_of`` gives, whatever their number."""
        rows = len(self)
        if self.regression:
            squares = (np.square(each.astype(np.float64) - labels).sum() for each, labels in self.blocks())
            return Scores(rows, math.nan, math.nan, math.nan, math.sqrt(math.fsum(squares) / rows))
        positives, total, losses = 0, 0.0, 0.0
        for predictions, labels in self.blocks():
            positives += int((labels > 0).sum())
            total += float(predictions.sum(dtype=np.float64))
            losses += float(row_losses(predictions, labels).sum())
        auc, error = self.spilled.auc_with_error()
        return Scores(
            rows=rows,
            auc=auc,
            logloss=losses / rows,
            calibration=total / positives if positives else math.nan,
            positives=positives,
            auc_standard_error=error,
            **_calibration_figures(calibration_scores(self.blocks(), self.link), losses / rows),
        )

    def blocks(self) -> Iterator[tuple[Float32Array, Float32Array]]:
        """Yield predictions and labels, float32 (n,) each."""
        return self.spilled.blocks()

    def placements(self) -> Iterator[Float64Array]:
        """Yield the placements of the rows, float64 (n,), from counts that are finer than they need be."""
        return self.spilled.placements()
