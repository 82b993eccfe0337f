"""Codes that are assigned anew stay within the room that the file has."""

import numpy as np
import pytest

from fmcompress.artifact import Origin, pack_model
from fmcompress.data.batch import Batch
from fmcompress.fm.quantizer import Quantizer
from fmcompress.methods.auto.code_budget import CodeBudget, Room, rates_of
from fmcompress.methods.auto.reassignment import reassign
from fmcompress.quantization.codebooks import fit_codebooks
from fmcompress.quantization.sensitivity import from_moments
from tests.models import random_checkpoint

CHECKPOINT = random_checkpoint((900, 300), dim=4)
COSTS = from_moments(CHECKPOINT, CHECKPOINT.counts)
ORIGIN = Origin(budget_bytes=1, method="auto", seed=0, layout="compact")


@pytest.fixture(scope="module")
def coarse():
    return fit_codebooks(CHECKPOINT, COSTS, (Quantizer((32, 16), 16), Quantizer((16, 8), 8)), seed=0)


def sample():
    rng = np.random.default_rng(0)
    ids = np.stack([rng.integers(0, 900, 20_000), rng.integers(0, 300, 20_000)], axis=1).astype(np.int32)
    return Batch(ids, rng.integers(0, 2, 20_000).astype(np.float32))


@pytest.mark.parametrize("share", [0.85, 0.95, 1.0])
def test_files_stay_within_their_room(coarse, share):
    batch = sample()
    budget = int(share * pack_model(coarse, ORIGIN).file_bytes)
    found = reassign(
        coarse,
        batch,
        batch.labels,
        teacher=CHECKPOINT,
        sensitivity=COSTS,
        prior=100.0,
        budget=CodeBudget(Room(ORIGIN, budget)),
    )
    assert pack_model(found, ORIGIN).file_bytes <= budget
    assert any((new.codes != old.codes).any() for new, old in zip(found.fields, coarse.fields, strict=True))


def test_rates_are_those_of_the_codes(coarse):
    for rates, column in zip(rates_of(coarse.fields[0]), coarse.fields[0].codes.T, strict=False):
        counts = np.bincount(column, minlength=len(rates))
        assert np.exp2(-rates).sum() == pytest.approx(1, abs=1e-4)
        assert np.corrcoef(rates, np.log2(counts + 0.5))[0, 1] < -0.999
