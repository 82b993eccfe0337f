"""A cell is made, scored once on the test rows, and kept."""

from __future__ import annotations

import time
import traceback
from typing import Any

from cells import Cell, Place
from work import Work

from fmcompress.data.rows import open_rows
from fmcompress.evaluation.predictors import Model, predictor
from fmcompress.evaluation.scores import score_rows

BATCH_ROWS = 2048
_REPEATS = 100


def carry_out(place: Place, cell: Cell) -> None:
    """Make a cell and keep its result; or keep why that failed, and raise it."""
    work = Work(place, cell)
    try:
        place.keep(cell, _made(work))
    except Exception as error:
        work.watch.note(traceback.format_exc())
        place.fail(cell, f"{type(error).__name__}: {error}")
        raise SystemExit(1) from error


def _made(work: Work) -> dict[str, Any]:
    start = time.process_time()
    made = work.cell.recipe.make(work)
    result = {**made.figures, "seconds": time.process_time() - start, "stages": work.watch.stages}
    if made.model is not None:
        result["inference_seconds"] = _time_inference(work, made.model)
        for part in ("valid", "test"):
            scores = score_rows(made.model, open_rows(work.part(part), made.model.schema))
            result[part] = {
                "auc": scores.auc,
                "logloss": scores.logloss,
                "auc_standard_error": scores.auc_standard_error,
            }
    return result


def _time_inference(work: Work, model: Model) -> float:
    """Return the mean seconds that a model takes for the first batch of validation rows."""
    scorer = predictor(model)
    batch = next(open_rows(work.part("valid"), model.schema).batches()).take(slice(0, BATCH_ROWS))
    scorer.predict(batch.ids, None)
    start = time.process_time()
    for _ in range(_REPEATS):
        scorer.predict(batch.ids, None)
    return (time.process_time() - start) / _REPEATS
