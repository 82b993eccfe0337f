"""What becomes of codes in tuning, as options say: they move with each step, are assigned anew, or stand still."""

import numpy as np

from fmcompress.data.rows import Rows
from fmcompress.errors import UsageError
from fmcompress.finetune.options import TuneOptions
from fmcompress.finetune.tuner import CodeUpdate
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.disk_table import whole
from fmcompress.fm.tiers import Tiers
from fmcompress.methods.auto.code_budget import Room
from fmcompress.methods.auto.reassigned_codes import ReassignedCodes
from fmcompress.methods.lightfm.code_assignment import LatentStart
from fmcompress.methods.lightfm.straight_through_codes import StraightThrough
from fmcompress.quantization.sensitivity import Sensitivity
from fmcompress.types import Int64Array


def code_update(
    options: TuneOptions,
    teacher: FMCheckpoint,
    tiers: Tiers,
    *,
    rows: Rows | None = None,
    counts: Int64Array | None = None,
    sensitivity: Sensitivity | None = None,
    room: Room | None = None,
) -> CodeUpdate:
    """Return what becomes of codes.

    Args:
        options: how to tune.
        teacher: the factorization machine that was compressed, in the coordinates of the codebooks.
        tiers: how its fields are split.
        rows: training data, for codes that are assigned anew.
        counts: rows in which each category is active, int64 (categories,), for codes that move; None takes all as
            equally frequent.
        sensitivity: what errors cost, for codes that are assigned anew.
        room: what the artifact may take, for codes that are entropy coded; None elsewhere.

    Raises:
        UsageError: codes are to be assigned anew, but rows or what errors cost are not given.
    """
    if options.moving is not None:
        seen = np.ones(teacher.schema.categories, dtype=np.int64) if counts is None else counts
        latents, of_tiers = (tiers.as_fields.split(own[tiers.order]) for own in (whole(teacher.embeddings), seen))
        return StraightThrough(LatentStart(latents, of_tiers, options.moving))
    if options.reassign is not None:
        if rows is None or sensitivity is None:
            raise UsageError("codes are to be assigned anew, but rows or what errors cost are not given")
        return ReassignedCodes(teacher, sensitivity, rows, options.reassign, options.seed, room)
    return CodeUpdate()
