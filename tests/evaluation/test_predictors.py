"""What scores rows with each kind of model, and batch predictions, streamed into a Parquet file."""

from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fmcompress.artifact import PackedFM, with_vocabulary
from fmcompress.checkpoints import load_checkpoint
from fmcompress.data.batch import Batch
from fmcompress.data.click_model import write_rows
from fmcompress.data.rows import open_rows
from fmcompress.errors import DataError, OutputError, UsageError
from fmcompress.evaluation.predictors import predictor, write_predictions
from fmcompress.evaluation.scores import open_rows_for
from fmcompress.fm.field_specs import parse_fields
from fmcompress.fm.field_vocabulary import FieldVocabulary
from fmcompress.fm.scorer import FMScorer
from fmcompress.fm.vocabulary import Vocabulary
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


ARROW = {
    "key": pa.array([f"row {number}" if number % 7 else None for number in range(130)]),
    "when": pa.array(range(130), pa.timestamp("us", tz="UTC")),
    "tags": pa.array([[{"name": "a", "weight": float(number)}] * (number % 3) for number in range(130)]),
    "raw": pa.array([bytes([number]) for number in range(130)], pa.binary()),
    "price": pa.array([Decimal(number) / 8 for number in range(130)], pa.decimal128(9, 3)),
    "shop": pa.array([f"s{number % 4}" for number in range(130)]).dictionary_encode(),
}


@pytest.fixture
def keyed(tmp_path):
    """Return a table of ids, tokens and columns of any type; it is written in small row groups, in two files."""
    ids = np.arange(130)
    table = pa.table({"f0": ids % 10, **ARROW, "f1": [f"t{number % 4}" for number in ids]})
    folder = tmp_path / "rows"
    folder.mkdir()
    pq.write_table(table[:70], folder / "a.parquet", row_group_size=16)
    pq.write_table(table[70:], folder / "b.parquet", row_group_size=16)
    return folder, table


TOKENS = Vocabulary({"f1": FieldVocabulary.of({f"t{number}": number for number in range(4)})})
TWO = with_vocabulary(packed(4, "10 2x4 4", "4 raw raw"), TOKENS)


def test_columns_of_any_type_are_carried_along_in_their_order(tmp_path, keyed):
    folder, table = keyed
    names = ["when", "key", *ARROW.keys() - {"when", "key"}, "f1"]
    rows = open_rows_for(TWO, folder, labelled=False, keep=names)
    write_predictions(TWO, rows, tmp_path / "out.parquet", threads=1)
    found = pq.read_table(tmp_path / "out.parquet")
    assert found.column_names == [*names, "prediction"]
    expected = table.select(names)
    assert found.drop_columns("prediction").equals(expected)
    assert found.schema.remove(len(names)).equals(expected.schema)
    ids = np.arange(130)
    np.testing.assert_array_equal(found["prediction"].to_numpy(), TWO.predict(np.column_stack([ids % 10, ids % 4])))


def test_what_cannot_be_carried_along_is_said(tmp_path, keyed):
    folder, table = keyed
    with pytest.raises(DataError, match="column to keep 'nothing' is missing, found f0"):
        open_rows_for(TWO, folder, labelled=False, keep=["nothing"])
    pq.write_table(table.append_column("prediction", table["key"]), tmp_path / "one.parquet")
    rows = open_rows_for(TWO, tmp_path / "one.parquet", labelled=False, keep=["key", "prediction"])
    with pytest.raises(UsageError, match="'prediction' cannot be kept"):
        write_predictions(TWO, rows, tmp_path / "out.parquet")
    pq.write_table(table.set_column(1, "key", table["f0"]), folder / "b.parquet")
    with pytest.raises(DataError, match=r"b\.parquet: the columns to keep are of other types than in .*a\.parquet"):
        open_rows_for(TWO, folder, labelled=False, keep=["key"])
    loaded = load_checkpoint(LIBFM / "model_clf_sgd.txt", fields=parse_fields("user:7,item:5,cat:11"), link="sigmoid")
    with pytest.raises(UsageError, match="is libsvm text, which has no columns"):
        open_rows_for(loaded, LIBFM / "test.libfm", labelled=False, keep=["key"])


def test_predictions_do_not_depend_on_the_number_of_threads(tmp_path, data):
    for threads in (1, 3):
        write_predictions(MODEL, data[1], tmp_path / f"{threads}.parquet", threads=threads)
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "3.parquet").read_bytes()


def test_batches_carry_their_columns_through_any_choice_of_rows():
    kept = pa.record_batch({"key": ARROW["key"]})
    batch = Batch(np.zeros((130, 1), np.int32), np.zeros(130, np.float32), kept=kept)
    for rows in (slice(3, 9), np.arange(130) % 20 == 19, np.array([5, 0, 7])):
        expected = [kept["key"][row].as_py() for row in np.arange(130)[rows].tolist()]
        assert batch.take(rows).kept["key"].to_pylist() == expected
