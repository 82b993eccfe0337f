"""How well a model predicts: AUC, LogLoss, calibration; RMSE of a regression."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import singledispatch
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fmcompress.artifact import PackedFM
from fmcompress.data.batch import Batch
from fmcompress.data.numbers import Labels
from fmcompress.data.options import DataOptions
from fmcompress.data.rows import Rows, open_rows
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.links import Link, parse_link
from fmcompress.fm.vocabulary import Vocabulary
from fmcompress.serve.compressed_fm import CompressedFM


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


class Predictor(Protocol):
    """A model that scores rows of category ids and of values of numeric fields."""

    def predict(
        self, ids: npt.NDArray[np.int32], values: npt.NDArray[np.float32] | None = None
    ) -> npt.NDArray[np.float32]:
        """Return the predictions of rows; ``values`` is None where no field is numeric."""


Model = FMCheckpoint | PackedFM


@singledispatch
def predictor(model: Any) -> Predictor:
    """Return what scores rows with a model: a checkpoint, or a packed or compressed factorization machine."""
    raise TypeError(f"{type(model).__name__} is no model")


@predictor.register
def _(model: FMCheckpoint) -> Predictor:
    from fmcompress.fm.scorer import FMScorer

    return FMScorer(model)


@predictor.register
def _(model: PackedFM) -> Predictor:
    from fmcompress.serve.scorer import Scorer

    return Scorer(model)


@predictor.register
def _(model: CompressedFM) -> Predictor:
    return model  # its scorer is made once, and kept


def link_of(model: Model) -> Link:
    """Return the link of a model."""
    return parse_link(model.link)


def labels_for(model: Model) -> Labels:
    """Return what the labels of rows for a model are."""
    return "number" if link_of(model).regression else "binary"


def open_rows_for(
    model: Model,
    data: str | Path,
    options: DataOptions | None = None,
    *,
    labelled: bool = True,
    vocabulary: Vocabulary | None = None,
) -> Rows:
    """Open rows of the fields, the tokens and the kind of labels that a model takes.

    Args:
        model: a checkpoint or a compressed factorization machine.
        data: a file, a folder or a glob.
        options: how the rows are read.
        labelled: whether labels are wanted.
        vocabulary: tokens of the categories, in place of the model's.

    Raises:
        UsageError: the vocabulary is not one of the model's fields.
        DataError: the files cannot be used.
    """
    if vocabulary is None:
        vocabulary = model.vocabulary
    else:
        vocabulary.check(model.schema)
    labels = labels_for(model) if labelled else None
    return open_rows(data, model.schema, options, labels=labels, vocabulary=vocabulary)


def predictions_of(scorer: Predictor, batch: Batch) -> npt.NDArray[np.float32]:
    """Return the predictions for a batch, float32 (rows,)."""
    return scorer.predict(batch.ids, batch.values) if batch.values.shape[1] else scorer.predict(batch.ids)


def score_rows(model: Model, rows: Rows) -> Scores:
    """Return the scores of a model on labelled rows, which are streamed.

    Args:
        model: a checkpoint or a compressed factorization machine, of the same schema as the rows.
        rows: labelled rows.
    """
    scorer = predictor(model)
    predictions, labels = [], []
    for batch in rows.batches():
        predictions.append(predictions_of(scorer, batch))
        labels.append(batch.labels)
    return scores_of(np.concatenate(predictions), np.concatenate(labels), regression=link_of(model).regression)


def scores_of(
    predictions: npt.NDArray[np.float32], labels: npt.NDArray[np.float32], *, regression: bool = False
) -> Scores:
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
