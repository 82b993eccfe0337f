"""A packed model that is calibrated: scales and linear weights change, codes and bytes stay."""

from collections.abc import Callable

from fmcompress.artifact import PackedFM, pack_model, unpack_model
from fmcompress.evaluation.scores import Scores
from fmcompress.fm.rescaling import can_be_rescaled, rescaled_quantized


def calibrated_model(model: PackedFM, scores: Scores, score: Callable[[PackedFM], Scores]) -> tuple[PackedFM, Scores]:
    """Return a packed model calibrated by its scores, and its scores then; it stays as it is where that gains nothing.

    Its numbers are rounded anew. Where that costs more than the calibration gains, or would take more bytes than the
    budget, the model stays, too.

    Args:
        model: the packed model.
        scores: of it, on validation data.
        score: scores a model on the same data.
    """
    by = scores.calibration_gained
    if by.identity or not can_be_rescaled(model.network):
        return model, scores
    origin = model.header.origin
    found = pack_model(rescaled_quantized(unpack_model(model), by.scale, by.offset), origin)
    if found.file_bytes > max(model.file_bytes, origin.budget_bytes):
        return model, scores
    after = score(found)
    return (found, after) if after.logloss < scores.logloss else (model, scores)
