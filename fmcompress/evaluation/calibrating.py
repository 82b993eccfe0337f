"""A model that is calibrated on rows: two numbers, which cost no byte, and which validation data choose well."""

from fmcompress.data.rows import Rows
from fmcompress.evaluation.scores import Scores, score_rows
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.rescaling import Calibration, can_be_rescaled, rescaled


def calibration_by(checkpoint: FMCheckpoint, scores: Scores) -> Calibration:
    """Return what calibrates a model by its scores; the identity where that gains nothing, or no weights can do it.

    Args:
        checkpoint: the model.
        scores: of it, on validation data.
    """
    return scores.calibration_gained if can_be_rescaled(checkpoint.network) else Calibration()


def calibrated_on(checkpoint: FMCheckpoint, valid: Rows) -> FMCheckpoint:
    """Return a model that is calibrated on rows; the model itself where that gains nothing.

    Of several processes each scores a part of the rows.

    Args:
        checkpoint: a factorization machine, with a network on top of it or not.
        valid: labelled rows, which it was not trained on.
    """
    found = calibration_by(checkpoint, score_rows(checkpoint, valid))
    return rescaled(checkpoint, found.scale, found.offset)
