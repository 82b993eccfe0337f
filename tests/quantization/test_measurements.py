"""What is measured of a checkpoint: counts and what errors cost, each once."""

from dataclasses import replace

import numpy as np

from fmcompress.progress import Progress
from fmcompress.quantization import measurements
from fmcompress.quantization.measurements import Measurements
from fmcompress.quantization.sensitivity import from_moments
from tests.models import random_checkpoint

CHECKPOINT = random_checkpoint((20, 5), dim=3)


class Notes(Progress):
    def __init__(self):
        self.notes = []

    def note(self, message):
        self.notes.append(message)


def test_without_data_counts_are_those_of_the_checkpoint():
    found = Measurements(CHECKPOINT)
    assert found.counts is CHECKPOINT.counts
    np.testing.assert_array_equal(found.sensitivity.hessians, from_moments(CHECKPOINT, CHECKPOINT.counts).hessians)


def test_each_is_measured_once_and_only_when_asked_for(monkeypatch):
    asked = []
    monkeypatch.setattr(measurements, "from_moments", lambda *args: asked.append(args) or "found")
    found = Measurements(CHECKPOINT)
    assert asked == []
    assert found.sensitivity == found.sensitivity == "found"
    assert len(asked) == 1


def test_what_is_lacking_is_told():
    notes = Notes()
    found = Measurements(replace(CHECKPOINT, counts=None), progress=notes)
    assert found.counts is None
    assert found.sensitivity.frequencies.sum() > 0
    assert notes.notes == ["no data and no counts in the checkpoint: all categories count the same"]
