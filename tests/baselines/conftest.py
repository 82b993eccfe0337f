"""What the tests of baselines share: generated clicks, a source trained on them, short options."""

import pytest

from fmcompress.backbones.training import TrainOptions, train
from fmcompress.baselines import BaselineOptions, Trial
from fmcompress.baselines.task import Task
from fmcompress.data.click_model import draw_clicks, random_click_model, write_rows
from fmcompress.data.options import DataOptions
from fmcompress.data.rows import TuningData, open_training_rows
from fmcompress.fm.schema import Schema
from fmcompress.progress import SILENT
from tests.conftest import SEED

SCHEMA = Schema.of([("user", 200), ("item", 90), ("hour", 24), ("one", 1)])
TRAINING = TrainOptions(dim=8, l2=1e-3, lr=1e-2, batch_size=512, epochs=5)
OPTIONS = BaselineOptions(
    epochs=2,
    batch_size=512,
    trials=(Trial(1.0, 1e-2, 0.0), Trial(0.0, 1e-2, 1e-3)),
    dims=(2, 4, 16),
    training=TRAINING,
    training_lrs=(1e-2,),
    search_steps=10,
    grid=(Trial(1.0, 1e-2, 1e-4), Trial(0.0, 3e-2, 1e-3)),
)
BUDGETS = (100, 3500, 6000)  # the first cannot be met


@pytest.fixture(scope="package")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clicks")
    model = random_click_model(SCHEMA, dim=8, seed=SEED)
    for seed, (name, rows) in enumerate({"train": 8_000, "valid": 3_000}.items()):
        write_rows(draw_clicks(model, rows, seed=seed), SCHEMA, folder / f"{name}.parquet")
    wider = Schema.of([("user", 210), ("item", 90), ("hour", 24), ("one", 1)])  # ten users are never seen
    rows, valid = open_training_rows(folder / "train.parquet", folder / "valid.parquet", schema=wider)
    return TuningData(rows, valid, DataOptions())


@pytest.fixture(scope="package")
def source(data):
    return train(data.rows, data.valid, TRAINING).checkpoint


@pytest.fixture(scope="package")
def task(source, data):
    return Task(source, data, BUDGETS, OPTIONS, SILENT)
