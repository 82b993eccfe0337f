"""Tables and models in tuning: what they look up is what they store."""

import numpy as np
import pytest
import torch

from fmcompress.backbones.vanilla_fm import RowNumbers
from fmcompress.baselines.integers import INT4, INT8
from fmcompress.baselines.smaller import integer_module, pruned_module
from fmcompress.baselines.task import BaselineOptions, Task, Trial
from fmcompress.baselines.tuning import begin_tuning_stored
from fmcompress.data.batch import Batch
from fmcompress.fm.scorer import FMScorer
from fmcompress.progress import SILENT
from fmcompress.training import trainable
from tests import pooled
from tests.models import random_checkpoint, random_ids

SOURCE = random_checkpoint((60, 9, 1), dim=5)
IDS = random_ids(SOURCE.schema, 300)
MODULES = {
    "int4": lambda: integer_module(SOURCE, SOURCE.counts, INT4),
    "int8": lambda: integer_module(SOURCE, SOURCE.counts, INT8),
    "pruned": lambda: pruned_module(SOURCE, SOURCE.counts, 20),
    "all pruned": lambda: pruned_module(SOURCE, SOURCE.counts, 0),
}


@pytest.mark.parametrize("kind", MODULES)
@pytest.mark.parametrize("trained", [False, True])
def test_a_module_predicts_what_its_decoded_state_predicts(kind, trained, data):
    module = MODULES[kind]()
    if trained:
        steps(module, 5, data)
    logits = module(RowNumbers(SOURCE.schema)(Batch(IDS, np.zeros(len(IDS), np.float32))))[0].detach()
    expected, _ = FMScorer(module.stored().decode()).logits_and_sums(IDS)
    np.testing.assert_allclose(logits, expected, atol=3e-3 if "pruned" in kind else 1e-5)  # kept rows become float16


@pytest.mark.parametrize(
    "make",
    [lambda ckpt, counts: integer_module(ckpt, counts, INT8), lambda ckpt, counts: pruned_module(ckpt, counts, 90)],
    ids=["int8", "pruned"],
)
def test_shared_tables_and_several_values_are_looked_up_as_they_are_stored(make):
    ckpt = pooled.checkpoint()
    rows = pooled.batch(ckpt, 40)
    module = make(ckpt, np.ones(ckpt.schema.categories, np.int64))
    logits = module(RowNumbers(ckpt.schema)(rows))[0].detach()
    expected, _ = FMScorer(module.stored().decode()).logits_and_sums(rows.ids, rows.values, rows.bags)
    np.testing.assert_allclose(logits, expected, atol=1e-2)


@pytest.mark.parametrize("kind", ["int4", "pruned"])
def test_steps_change_all_parts_and_not_the_size(kind, data):
    module = MODULES[kind]()
    before, start = module.stored(), [part.detach().clone() for part in module.parameters()]
    steps(module, 5, data)
    assert all(not torch.equal(one, other) for one, other in zip(start, module.parameters(), strict=True))
    assert module.stored().file_bytes == before.file_bytes


def test_missing_values_stay_zero(monkeypatch, data):
    for dense_values in (0, 10**6):  # sparse gradients, dense ones
        monkeypatch.setattr(trainable, "_MOST_DENSE_VALUES", dense_values)
        module = MODULES["int4"]()
        steps(module, 3, data)
        assert not module.embeddings.values[-1].any()
        assert not module.linear.values[-1].any()


def test_sparse_gradients_train_as_well(monkeypatch, data):
    dense = MODULES["int4"]()
    monkeypatch.setattr(trainable, "_MOST_DENSE_VALUES", 0)
    sparse = MODULES["int4"]()
    assert steps(sparse, 20, data)[-1] == pytest.approx(steps(dense, 20, data)[-1], rel=0.02)


def test_l2_pulls_numbers_to_zero(data):
    small, large = (MODULES["int8"]() for _ in range(2))
    for module, l2 in ((small, 1.0), (large, 0.0)):
        steps(module, 20, data, l2=l2)
    for pulled, free in zip(small.tables(), large.tables(), strict=True):
        assert pulled.square().sum() < free.square().sum()


def steps(module, count, data, *, l2=0.0):
    """Make some steps on labels, and return their losses."""
    labels = np.random.default_rng(1).integers(0, 2, len(IDS)).astype(np.float32)
    run = begin_tuning_stored(module, Trial(0.0, 5e-3, l2), Task(SOURCE, data, (), BaselineOptions(), SILENT))
    return [run.step(Batch(IDS, labels)).item() for _ in range(count)]
