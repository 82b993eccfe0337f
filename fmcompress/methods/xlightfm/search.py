"""The search for the sizes of codebooks, by either recipe; it ends within the budget, and can be resumed."""

from __future__ import annotations

import numpy as np

from fmcompress.data.rows import Rows
from fmcompress.finetune.options import TuneOptions
from fmcompress.methods.xlightfm.darts import begin_darts
from fmcompress.methods.xlightfm.options import SearchOptions
from fmcompress.methods.xlightfm.sampled import begin_sampled
from fmcompress.methods.xlightfm.supernet import SearchedModel, SearchStart
from fmcompress.progress import SILENT, Progress
from fmcompress.training.loop import Schedule, fit
from fmcompress.training.run_state import RunState
from fmcompress.types import Int64Array

PHASE = "search"
"""Name of this phase of a run."""

_BEGIN = {"sampled": begin_sampled, "darts": begin_darts}


def search(
    start: SearchStart,
    rows: Rows,
    valid: Rows,
    options: SearchOptions,
    *,
    tuning: TuneOptions,
    progress: Progress = SILENT,
    run_state: RunState | None = None,
) -> Int64Array:
    """Return the architecture that the search likes best within the budget, int64 (searched fields, subspaces).

    Args:
        start: where to start from.
        rows: training data.
        valid: validation data.
        options: how to search.
        tuning: how codes move, batch size, share of distillation, seed and device.
        progress: told of each epoch.
        run_state: keeps the state and the history of the run; a search that it knows to be done is not repeated.

    Raises:
        DataError: the rows cannot be used.
        OutputError: a file of the run cannot be written.
        StateError: the saved state is of another model.
    """
    run_state = run_state or RunState()
    done = run_state.result(PHASE)
    if done is None:
        epoch = -(-rows.rows // tuning.batch_size)
        steps = options.steps_of(tuning.epochs * epoch)
        begun = begin_search(start, valid, options, tuning, steps=steps)
        schedule = Schedule(tuning.batch_size, -(-steps // epoch), None, tuning.seed, steps=steps)
        fit(begun, rows, valid, schedule, title=PHASE, progress=progress, run_state=run_state)
        selected = begun.found()
        names = [start.checkpoint.schema.names[column] for column in start.space.columns]
        done = {
            "choices": selected.tolist(),
            "codewords": dict(zip(names, start.space.codewords(selected), strict=True)),
            "bytes": start.space.file_bytes(selected),
        }
        run_state.finish(PHASE, done)
    return np.array(done["choices"], dtype=np.int64).reshape(start.space.smallest.shape)


def begin_search(
    start: SearchStart, valid: Rows, options: SearchOptions, tuning: TuneOptions, *, steps: int
) -> SearchedModel:
    """Return a search by the recipe of the options, ready to run.

    Args:
        start: where to start from.
        valid: validation data.
        options: how to search.
        tuning: how codes move, batch size, share of distillation, seed and device.
        steps: how many there will be.
    """
    return _BEGIN[options.recipe](start, valid, options, tuning, steps=steps)
