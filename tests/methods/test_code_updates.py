"""What becomes of codes, by the options of tuning."""

import numpy as np
import pytest

from fmcompress.errors import UsageError
from fmcompress.finetune.options import MovingOptions, ReassignOptions, TuneOptions
from fmcompress.finetune.tuner import CodeUpdate
from fmcompress.fm.tiers import Tiers
from fmcompress.methods.auto.reassigned_codes import ReassignedCodes
from fmcompress.methods.code_updates import code_update
from fmcompress.methods.lightfm.straight_through_codes import StraightThrough
from fmcompress.quantization.sensitivity import from_moments
from tests.models import random_checkpoint

CHECKPOINT = random_checkpoint((6, 4), dim=2)
TIERS = Tiers(CHECKPOINT.schema, np.array([1, 0, 1, 0, 0, 0, 0, 0, 0, 0], np.uint8))


def test_codes_stand_still_where_nothing_else_is_said():
    assert type(code_update(TuneOptions(), CHECKPOINT, TIERS)) is CodeUpdate


def test_codes_that_move_start_from_the_checkpoint_tier_by_tier():
    found = code_update(TuneOptions(moving=MovingOptions()), CHECKPOINT, TIERS, counts=CHECKPOINT.counts)
    assert isinstance(found, StraightThrough)
    rows = [[1, 3, 4, 5], [0, 2], [6, 7, 8, 9]]
    for own, embeddings, counts in zip(rows, found.start.embeddings, found.start.counts, strict=True):
        np.testing.assert_array_equal(embeddings, CHECKPOINT.embeddings[own])
        np.testing.assert_array_equal(counts, CHECKPOINT.counts[own])


def test_without_counts_all_categories_count_the_same():
    found = code_update(TuneOptions(moving=MovingOptions()), CHECKPOINT, TIERS)
    assert all((counts == 1).all() for counts in found.start.counts)


def test_codes_that_are_assigned_anew_need_rows_and_what_errors_cost():
    options = TuneOptions(reassign=ReassignOptions(prior=7.0), seed=3)
    costs = from_moments(CHECKPOINT, None)
    found = code_update(options, CHECKPOINT, TIERS, rows="rows", sensitivity=costs)
    assert found == ReassignedCodes(CHECKPOINT, costs, "rows", ReassignOptions(prior=7.0), 3)
    for given in ({"rows": "rows"}, {"sensitivity": costs}):
        with pytest.raises(UsageError, match="rows or what errors cost are not given"):
            code_update(options, CHECKPOINT, TIERS, **given)
