"""What baselines are asked for: smaller FMs are trained when needed, options that make no sense are refused."""

from dataclasses import replace

import numpy as np
import pytest

from fmcompress.backbones.training import train
from fmcompress.baselines import BaselineOptions, Trial
from fmcompress.baselines import task as module
from fmcompress.baselines.task import Task
from fmcompress.errors import UsageError
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.fm.schema import NumericField
from fmcompress.progress import SILENT
from tests.models import random_checkpoint

from .conftest import OPTIONS


def test_smaller_fms_are_trained_once_and_only_where_asked_for(source, data, monkeypatch):
    trained = []

    def counted(rows, valid, options, *, progress):
        trained.append((options.dim, options.lr))
        return train(rows, valid, replace(options, epochs=1), progress=progress)

    train = module.train
    monkeypatch.setattr(module, "train", counted)
    options = replace(OPTIONS, training_lrs=(1e-2, 1e-3))
    task = Task(source, data, (), options, SILENT)
    first = next(task.smaller_fms())
    assert trained == [(2, 1e-2), (2, 1e-3)]
    again, other = task.smaller_fms()
    assert again is first
    assert (first.dim, other.dim) == (2, 4)  # 16 is not below the source's
    assert trained == [(2, 1e-2), (2, 1e-3), (4, 1e-2), (4, 1e-3)]


def test_of_the_ways_to_train_the_best_on_validation_data_is_kept(source, data):
    training = replace(OPTIONS.training, epochs=1)
    options = replace(OPTIONS, dims=(2,), training=training, training_lrs=(1e-5, 1e-2))
    (found,) = Task(source, data, (), options, SILENT).smaller_fms()
    better = train(data.rows, data.valid, replace(training, dim=2)).checkpoint
    np.testing.assert_array_equal(found.embeddings, better.embeddings)


def test_counts_are_those_of_the_training_rows(task, data):
    assert task.counts.sum() == data.rows.rows * len(task.source.schema)


def test_regressions_and_numeric_fields_are_refused(data):
    source = random_checkpoint((60, 9, 1), dim=5)
    numeric = NumericWeights(np.zeros(1, np.float32), np.zeros((1, 5), np.float32))
    schema = replace(source.schema, numeric=(NumericField("age"),), order=())
    for odd in (replace(source, link="identity"), replace(source, schema=schema, numeric=numeric)):
        with pytest.raises(UsageError, match="categorical fields and sigmoid links alone"):
            Task(odd, data, (), OPTIONS, SILENT)


@pytest.mark.parametrize(
    "wrong", [{"trials": ()}, {"training_lrs": ()}, {"training_lrs": (2.0,)}, {"dims": (0,)}, {"epochs": -1}]
)
def test_options_that_make_no_sense_are_refused(wrong):
    with pytest.raises(UsageError, match="expected"):
        BaselineOptions(**wrong)


@pytest.mark.parametrize("wrong", [{"distillation": 1.5}, {"lr": 0.0}, {"l2": -1.0}, {"l2": float("nan")}])
def test_trials_that_make_no_sense_are_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Trial(**({"distillation": 1.0, "lr": 1e-2, "l2": 0.0} | wrong))
