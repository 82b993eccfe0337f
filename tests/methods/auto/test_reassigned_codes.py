"""When codes are assigned anew in tuning, and on which rows."""

import numpy as np
import pytest

from fmcompress.data.batch import Batch
from fmcompress.finetune.objective import Targets
from fmcompress.finetune.options import ReassignOptions
from fmcompress.fm.scorer import FMScorer
from fmcompress.methods.auto import reassigned_codes
from fmcompress.methods.auto.reassigned_codes import ReassignedCodes
from fmcompress.quantization.sensitivity import from_moments
from tests.data.rows import RowsInMemory
from tests.models import random_checkpoint, random_ids

CHECKPOINT = random_checkpoint((20, 6), dim=3)


class Rows(RowsInMemory):
    """One batch in place of a file."""

    def __init__(self, rows):
        self.schema, self.rows = CHECKPOINT.schema, rows
        self._batch = Batch(random_ids(CHECKPOINT.schema, rows), np.zeros(rows, np.float32))

    def batches(self, *, order=None):
        yield self._batch


class Module:
    """Stands for a quantized module: what is asked of it."""

    def __init__(self):
        self.recoded = []

    def store(self, model):
        return model

    def recode(self, model):
        self.recoded.append(model)


@pytest.fixture
def assigned(monkeypatch):
    """Return the samples and targets that codes were assigned on."""
    found = []
    monkeypatch.setattr(
        reassigned_codes, "reassign", lambda model, sample, targets, **costs: found.append((sample, targets)) or "new"
    )
    return found


def epochs(assigned, *, share, seed=0):
    update = ReassignedCodes(CHECKPOINT, from_moments(CHECKPOINT, None), Rows(500), ReassignOptions(share=share), seed)
    module, targets = Module(), Targets(CHECKPOINT, 1.0, "cpu")
    for epoch in range(1, 6):
        update.begin_epoch(module, "old", targets, epoch, 5)
    assert module.recoded == ["new"] * len(assigned)
    return assigned


@pytest.mark.parametrize(("share", "times"), [(0.0, 0), (0.6, 3), (0.5, 2), (1.0, 5)])
def test_codes_are_assigned_anew_in_the_first_epochs(assigned, share, times):
    assert len(epochs(assigned, share=share)) == times


def test_samples_are_shuffled_rows_with_the_targets_of_tuning(assigned):
    (first, targets), (second, _) = epochs(assigned, share=0.4)
    assert len(first) == len(second) == 500
    assert not np.array_equal(first.ids, second.ids)
    np.testing.assert_array_equal(np.unique(first.ids, axis=0), np.unique(second.ids, axis=0))
    np.testing.assert_allclose(targets, FMScorer(CHECKPOINT).predict(first.ids), rtol=1e-6)


def test_large_data_are_sampled(assigned, monkeypatch):
    monkeypatch.setattr(reassigned_codes, "_SAMPLE_ROWS", 300)
    monkeypatch.setattr(reassigned_codes, "_CHUNK_ROWS", 100)
    for sample, targets in epochs(assigned, share=1.0):
        assert len(sample) == len(targets) == 300
