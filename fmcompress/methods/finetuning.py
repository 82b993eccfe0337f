"""Fine-tuning a compressed model, with codes that change as its options say."""

from __future__ import annotations

import numpy as np

from fmcompress.artifact import PackedFM
from fmcompress.data.rows import Rows
from fmcompress.errors import UsageError
from fmcompress.evaluation.scores import Scores
from fmcompress.finetune.options import TuneOptions
from fmcompress.finetune.tuner import CodeUpdate, tune
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.tiers import Tiers
from fmcompress.methods.auto.reassigned_codes import ReassignedCodes
from fmcompress.methods.lightfm.straight_through_codes import StraightThrough
from fmcompress.progress import SILENT, Progress
from fmcompress.quantization.sensitivity import Sensitivity
from fmcompress.training.loop import Fit
from fmcompress.training.run_state import RunState
from fmcompress.types import Int64Array


def finetune(
    model: PackedFM,
    rows: Rows,
    valid: Rows,
    *,
    teacher: FMCheckpoint,
    start: Scores,
    options: TuneOptions,
    progress: Progress = SILENT,
    run_state: RunState | None = None,
    counts: Int64Array | None = None,
    sensitivity: Sensitivity | None = None,
) -> Fit[PackedFM]:
    """Tune a compressed factorization machine end to end; its size stays as it is.

    Args:
        model: the model to start from.
        rows: training data.
        valid: validation data, which choose the model that is returned.
        teacher: the factorization machine that was compressed, in the coordinates of the codebooks.
        start: scores of ``model`` on the validation data; what is returned is not worse.
        options: how to tune.
        progress: told of each epoch.
        run_state: keeps the state and the history of the run.
        counts: rows in which each category is active, int64 (categories,), for codes that move.
        sensitivity: what errors cost, for codes that are assigned anew between epochs.

    Raises:
        UsageError: codes are to be assigned anew, but what errors cost is not given.
        DataError: the rows cannot be used.
        OutputError: a file of the run cannot be written.
        StateError: the saved state is of another model.
    """
    codes = CodeUpdate()
    if options.moving is not None:
        codes = straight_through(teacher, counts, model.tiers, options)
    elif options.reassign is not None:
        if sensitivity is None:
            raise UsageError("codes are to be assigned anew, but what errors cost is not given")
        codes = ReassignedCodes(teacher, sensitivity, model.tiers, rows, options.reassign, options.seed)
    return tune(
        model,
        rows,
        valid,
        teacher=teacher,
        start=start,
        options=options,
        codes=codes,
        progress=progress,
        run_state=run_state,
    )


def straight_through(
    teacher: FMCheckpoint, counts: Int64Array | None, tiers: Tiers, options: TuneOptions
) -> CodeUpdate:
    """Return codes that move with each step; their latents start from the teacher's embeddings.

    Args:
        teacher: the factorization machine that was compressed.
        counts: rows in which each category is active, int64 (categories,); None takes all as equally frequent.
        tiers: how its fields are split.
        options: how to tune; codes stand still where they do not say how they move.
    """
    if options.moving is None:
        return CodeUpdate()
    seen = np.ones(teacher.schema.categories, dtype=np.int64) if counts is None else counts
    return StraightThrough(
        tiers.as_fields.split(teacher.embeddings[tiers.order]), tiers.as_fields.split(seen[tiers.order]), options.moving
    )
