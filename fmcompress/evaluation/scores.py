"""How well a model predicts: AUC, LogLoss, calibration; RMSE of a regression."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fmcompress.arguments import checked_arguments
from fmcompress.artifact import Quality
from fmcompress.data.options import DataOptions, labels_for
from fmcompress.data.rows import Rows, open_rows
from fmcompress.evaluation.predictors import Model, predicted
from fmcompress.fm.links import parse_link
from fmcompress.fm.vocabulary import Vocabulary
from fmcompress.progress import SILENT, Progress
from fmcompress.types import Float32Array


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
    """

    rows: int
    auc: float
    logloss: float
    calibration: float
    rmse: float = math.nan

    @property
    def regression(self) -> bool:
        """Whether the model predicts numbers, not probabilities."""
        return not math.isnan(self.rmse)

    @property
    def selection(self) -> float:
        """What states of a model are chosen by, on validation data: AUC − LogLoss, or −RMSE."""
        if self.regression:
            return -self.rmse
        return -self.logloss if np.isnan(self.auc) else self.auc - self.logloss

    def __str__(self) -> str:
        return f"RMSE {self.rmse:.5f}" if self.regression else f"AUC {self.auc:.5f}, LogLoss {self.logloss:.5f}"


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
        data: a file, a folder or a glob.
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


def score_rows(model: Model, rows: Rows) -> Scores:
    """Return the scores of a model on labelled rows, which are streamed.

    Args:
        model: a checkpoint or a compressed factorization machine, of the same schema as the rows.
        rows: labelled rows.
    """
    predictions, labels = [], []
    for batch, found in predicted(model, rows):
        predictions.append(found)
        labels.append(batch.labels)
    return scores_of(np.concatenate(predictions), np.concatenate(labels), regression=parse_link(model.link).regression)


def score_data(
    model: Model,
    name: str,
    data: str | Path,
    options: DataOptions,
    vocabulary: Vocabulary | None = None,
    progress: Progress = SILENT,
) -> Scores:
    """Return the scores of a model on labelled rows, and note under its name how many of their ids contribute nothing.

    Args:
        model: a checkpoint or a compressed factorization machine.
        name: what it is called.
        data: a file, a folder or a glob.
        options: how the rows are read.
        vocabulary: tokens of the categories, in place of the model's.
        progress: told of ids that are out of range.

    Raises:
        UsageError: the vocabulary is not one of the model's fields.
        DataError: the files cannot be used.
    """
    rows = open_rows_for(model, data, options, vocabulary=vocabulary)
    scores = score_rows(model, rows)
    if rows.out_of_range:
        progress.note(f"{name}: {rows.out_of_range:,} ids out of range or unknown contribute nothing")
    return scores


def quality_of(scores: Scores) -> Quality:
    """Return what an artifact holds of scores."""
    return Quality(scores.rows, scores.auc, scores.logloss, scores.rmse)


def scores_of(predictions: Float32Array, labels: Float32Array, *, regression: bool = False) -> Scores:
    """Return the scores of predictions against labels.

    Args:
        predictions: probabilities, or for a regression numbers, float32 (rows,).
        labels: 0 and 1, or numbers, float32 (rows,).
        regression: which of both.
    """
    if regression:
        errors = predictions.astype(np.float64) - labels
        return Scores(len(labels), math.nan, math.nan, math.nan, float(np.sqrt(np.mean(np.square(errors)))))
    from sklearn.metrics import log_loss, roc_auc_score

    positives = float(labels.sum(dtype=np.float64))
    both = 0 < positives < len(labels)
    return Scores(
        rows=len(labels),
        auc=float(roc_auc_score(labels, predictions)) if both else math.nan,
        logloss=float(log_loss(labels, predictions.astype(np.float64), labels=[0, 1])),
        calibration=float(predictions.sum(dtype=np.float64)) / positives if positives else math.nan,
    )
