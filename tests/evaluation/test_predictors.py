"""What scores rows with each kind of model, and batch predictions, streamed into a Parquet file."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from fmcompress.artifact import PackedFM
from fmcompress.checkpoints import load_checkpoint
from fmcompress.data.batch import Batch
from fmcompress.data.click_model import write_rows
from fmcompress.data.rows import open_rows
from fmcompress.errors import DataError, OutputError
from fmcompress.evaluation.predictors import predictor, write_predictions
from fmcompress.evaluation.scores import open_rows_for
from fmcompress.fm.field_specs import parse_fields
from fmcompress.fm.scorer import FMScorer
from fmcompress.serve.scorer import open_scorer
from tests.models import SHAPES, packed, random_ids

MODEL = packed(*SHAPES["mixed"])
LIBFM = Path(__file__).parents[1] / "checkpoints" / "genuine" / "libfm"


def test_each_kind_of_model_has_its_predictor(files):
    packed_alone = PackedFM(MODEL.header, MODEL.bias, MODEL.values, MODEL.codes, MODEL.numeric)
    assert predictor(MODEL) is MODEL
    assert type(predictor(packed_alone)) is type(open_scorer(packed_alone))
    assert type(predictor(load_checkpoint(files.fm))) is FMScorer
    ids = random_ids(MODEL.schema, 20)
    np.testing.assert_array_equal(predictor(packed_alone).predict(ids), MODEL.predict(ids))
    with pytest.raises(TypeError, match="str is no model"):
        predictor("fm.pt")


@pytest.fixture
def data(tmp_path):
    ids = random_ids(MODEL.schema, 500)
    write_rows(Batch(ids, np.zeros(len(ids), np.float32)), MODEL.schema, tmp_path / "rows.parquet")
    return ids, open_rows(tmp_path / "rows.parquet", MODEL.schema, labels=None)


def test_each_row_gets_its_prediction(tmp_path, data):
    ids, rows = data
    write_predictions(MODEL, rows, tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column_names == ["prediction"]
    np.testing.assert_array_equal(table["prediction"].to_numpy(), MODEL.predict(ids))


def test_an_existing_file_is_kept_unless_forced(tmp_path, data):
    target = tmp_path / "out.parquet"
    target.write_text("precious")
    with pytest.raises(OutputError, match="exists"):
        write_predictions(MODEL, data[1], target)
    assert target.read_text() == "precious"
    write_predictions(MODEL, data[1], target, force=True)
    assert pq.read_table(target).num_rows == 500


def test_a_bad_row_leaves_nothing_behind(tmp_path, data):
    small = packed(8, *["2 raw raw"] * len(MODEL.schema))
    rows = open_rows(tmp_path / "rows.parquet", small.schema, labels=None)
    with pytest.raises(DataError, match="out of range"):
        write_predictions(small, rows, tmp_path / "out.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["rows.parquet"]


@pytest.mark.parametrize(("model", "link"), [("clf_sgd", "sigmoid"), ("reg_als", "clip:0:1")])
def test_text_is_scored_as_the_tool_does(tmp_path, model, link):
    loaded = load_checkpoint(LIBFM / f"model_{model}.txt", fields=parse_fields("user:7,item:5,cat:11"), link=link)
    rows = open_rows_for(loaded, LIBFM / "test.libfm", labelled=False)
    write_predictions(loaded, rows, tmp_path / "out.parquet")
    found = pq.read_table(tmp_path / "out.parquet")["prediction"].to_numpy()
    np.testing.assert_allclose(found, np.loadtxt(LIBFM / f"pred_{model}.txt"), atol=1e-5)
