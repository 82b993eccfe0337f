"""How well a model predicts: AUC, LogLoss, calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from fmcompress.artifact import CompressedFM
from fmcompress.checkpoints.checkpoint import FMCheckpoint
from fmcompress.data import ParquetRows


@dataclass(frozen=True)
class Scores:
    """Scores of a model on labelled rows.

    Attributes:
        rows: number of rows.
        auc: area under the ROC curve; NaN where all labels are the same.
        logloss: mean binary cross entropy, in nats.
        calibration: sum of the predictions over the number of positive labels; NaN where there is none.
    """

    rows: int
    auc: float
    logloss: float
    calibration: float

    @property
    def selection(self) -> float:
        """What states of a model are chosen by, on validation data: AUC − LogLoss."""
        return -self.logloss if np.isnan(self.auc) else self.auc - self.logloss

    def __str__(self) -> str:
        return f"AUC {self.auc:.5f}, LogLoss {self.logloss:.5f}"


class Predictor(Protocol):
    """A model that scores rows of category ids."""

    def predict(self, ids: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """Return the predicted probabilities of rows."""


Model = FMCheckpoint | CompressedFM


def predictor(model: Model) -> Predictor:
    """Return what scores rows with this model."""
    if isinstance(model, CompressedFM):
        return model
    from fmcompress.fm.scorer import FMScorer

    return FMScorer(model)


def score_rows(model: Model, rows: ParquetRows) -> Scores:
    """Return the scores of a model on labelled rows, which are streamed.

    Args:
        model: a checkpoint or a compressed factorization machine, of the same schema as the rows.
        rows: labelled rows.
    """
    scorer = predictor(model)
    predictions, labels = [], []
    for batch in rows.batches():
        predictions.append(scorer.predict(batch.ids))
        labels.append(batch.labels)
    return scores_of(np.concatenate(predictions), np.concatenate(labels))


def scores_of(predictions: npt.NDArray[np.float32], labels: npt.NDArray[np.float32]) -> Scores:
    """Return the scores of predicted probabilities, float32 (rows,), against labels 0 and 1, float32 (rows,)."""
    from sklearn.metrics import log_loss, roc_auc_score

    positives = float(labels.sum(dtype=np.float64))
    both = 0 < positives < len(labels)
    return Scores(
        rows=len(labels),
        auc=float(roc_auc_score(labels, predictions)) if both else float("nan"),
        logloss=float(log_loss(labels, predictions.astype(np.float64), labels=[0, 1])),
        calibration=float(predictions.sum(dtype=np.float64)) / positives if positives else float("nan"),
    )
