"""AUC, LogLoss, calibration and RMSE are those of the plain formulas."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

import fmcompress as fc
from fmcompress.data.options import DataOptions
from fmcompress.data.rows import open_rows
from fmcompress.evaluation.scores import Scores, score_data, score_rows, scores_of
from fmcompress.fm.field_vocabulary import FieldVocabulary
from fmcompress.fm.vocabulary import Vocabulary
from fmcompress.reporting.evaluation import EvaluatedModel, Evaluation
from tests.notes import Notes


def pairwise_auc(predictions, labels):
    """Return the share of (positive, negative) pairs in the right order, ties half."""
    above = predictions[labels == 1][:, None] - predictions[labels == 0][None, :]
    return (above > 0).mean() + 0.5 * (above == 0).mean()


@pytest.mark.parametrize("digits", [1, 8])  # few digits: many ties
def test_plain_formulas(digits):
    rng = np.random.default_rng(0)
    predictions = rng.uniform(0.1, 0.9, 500).round(digits).astype(np.float32)
    labels = (rng.random(500) < predictions).astype(np.float32)
    found = scores_of(predictions, labels)
    wide = predictions.astype(np.float64)
    assert found.rows == 500
    assert found.auc == pytest.approx(pairwise_auc(predictions, labels), abs=1e-9)
    assert found.logloss == pytest.approx(-np.where(labels == 1, np.log(wide), np.log(1 - wide)).mean(), abs=1e-9)
    assert found.calibration == pytest.approx(wide.sum() / labels.sum(), abs=1e-9)
    assert found.selection == found.auc - found.calibrated_logloss
    assert found.positives == labels.sum()
    assert str(found).startswith(f"AUC {found.auc:.5f} ± {found.auc_standard_error:.5f}, LogLoss ")
    assert found.auc == pytest.approx(roc_auc_score(labels, predictions), abs=1e-12)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class(label):
    found = scores_of(np.full(4, 0.25, np.float32), np.full(4, label, np.float32))
    assert np.isnan([found.auc, found.auc_standard_error]).all()
    assert str(found).startswith("AUC nan, LogLoss")
    assert found.logloss == pytest.approx(-np.log(0.25 if label else 0.75))
    assert found.selection == -found.logloss
    shown = json.loads(Evaluation((EvaluatedModel("m", 10, found),)).to_json())["models"][0]
    assert shown["auc"] is None
    assert shown["calibration"] == (0.25 if label else None)


def test_certain_and_wrong_is_finite():
    found = scores_of(np.array([0, 1], np.float32), np.array([1, 0], np.float32))
    assert np.isfinite(found.logloss)
    assert found.auc == 0


def test_a_regression_has_an_rmse_alone():
    found = scores_of(np.float32([1, 2, 3]), np.float32([1, 2, 5]), regression=True)
    assert found.rmse == pytest.approx((4 / 3) ** 0.5)
    assert found.selection == -found.rmse
    assert np.isnan([found.auc, found.logloss, found.calibration]).all()
    assert str(found) == "RMSE 1.15470"


def test_tokens_of_a_vocabulary_that_is_given(files, tmp_path):
    loaded = fc.load(files.tuned)
    rows = pq.read_table(files.test)
    cities = pa.array([f"city {number}" for number in rows["city"].to_pylist()])
    pq.write_table(rows.set_column(rows.column_names.index("city"), "city", cities), tmp_path / "tokens.parquet")
    vocabulary = Vocabulary({"city": FieldVocabulary.of({f"city {number}": number for number in range(30)})})
    found = fc.evaluate(loaded, tmp_path / "tokens.parquet", vocabulary=vocabulary)
    assert found == fc.evaluate(loaded, files.test)
    with pytest.raises(fc.UsageError, match="'town'"):
        fc.evaluate(loaded, files.test, vocabulary=Vocabulary({"town": FieldVocabulary.of({"a": 0})}))


@pytest.mark.parametrize("model", ["fm", "tuned"])
def test_rows_are_streamed_to_the_same_scores(files, model):
    loaded = fc.load_checkpoint(files.fm) if model == "fm" else fc.load(files.tuned)
    found = score_rows(loaded, open_rows(files.test, loaded.schema))
    assert found == fc.evaluate(loaded, files.test)
    assert isinstance(found, Scores)
    assert found.rows == 4000
    assert 0.55 < found.auc < 1


def test_ids_that_are_out_of_range_are_noted_under_the_models_name(files, tmp_path):
    table = pq.read_table(files.test)
    users = pa.array([10**6, *table["user"].to_pylist()[1:]])
    pq.write_table(table.set_column(table.column_names.index("user"), "user", users), tmp_path / "rows.parquet")
    model, notes = fc.load(files.ptq), Notes()
    found = score_data(model, "small", tmp_path / "rows.parquet", DataOptions(oov="zero"), progress=notes).scores
    assert found.rows == table.num_rows
    assert notes.lines == ["small: 1 ids out of range or unknown contribute nothing"]
    with pytest.raises(fc.DataError):
        score_data(model, "small", tmp_path / "rows.parquet", DataOptions())


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_predictions_that_are_not_finite_are_told(files):
    model = fc.load_checkpoint(files.fm)
    huge = replace(model, embeddings=model.embeddings * np.float32(1e30), link="identity")
    with pytest.raises(fc.DataError, match=r"the prediction for row \d+ is (inf|-inf|nan), expected a finite number"):
        fc.evaluate(huge, files.test)
