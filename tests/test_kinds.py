"""From checkpoint to artifact with fields of every kind, every link, a vocabulary, and rows of raw tokens."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fmcompress as fc
from fmcompress.errors import UsageError
from fmcompress.finetune.options import ReassignOptions, TuneOptions
from fmcompress.methods.registry import method_of
from tests import kinds
from tests.conftest import SEED

pytestmark = pytest.mark.slow

LINKS = ["sigmoid", "probit", "identity", "clip:-1:1"]
TUNING = TuneOptions(epochs=4, batch_size=256, reassign=ReassignOptions())


def write_tokens(path, ckpt, batch):
    """Write rows as users have them: tokens where there is a vocabulary, null where a value is missing."""
    columns = {"label": batch.labels}
    for name, ids in zip(ckpt.schema.id_names, batch.ids.T, strict=True):
        own = ckpt.vocabulary.of(name, ckpt.schema)
        tokens = {} if own is None else dict(zip(own.ids.tolist(), own.tokens, strict=True))
        columns[name] = [None if i < 0 else tokens.get(i, i) for i in ids.tolist()]
    for name, values in zip(ckpt.schema.numeric_names, batch.values.T, strict=True):
        columns[name] = values
    pq.write_table(pa.table(columns), path)
    return path


@pytest.fixture(params=LINKS)
def case(request, tmp_path):
    ckpt = replace(kinds.checkpoint(request.param, seed=SEED), counts=None)
    drawn = kinds.batch(ckpt, 6000)
    train, valid = tmp_path / "train.parquet", tmp_path / "valid.parquet"
    write_tokens(train, ckpt, drawn.take(slice(4000)))
    write_tokens(valid, ckpt, drawn.take(slice(4000, None)))
    return ckpt, drawn.take(slice(4000, None)), train, valid


def test_a_checkpoint_scores_raw_rows_as_its_formula_does(case):
    ckpt, batch, _, valid = case
    scores = fc.evaluate(ckpt, valid)
    predictions = kinds.formula(ckpt, batch.ids, batch.values)
    if scores.regression:
        assert scores.rmse == pytest.approx(np.sqrt(np.mean((predictions - batch.labels) ** 2)), abs=1e-5)
    else:
        losses = -np.log(np.where(batch.labels == 1, predictions, 1 - predictions))
        assert scores.logloss == pytest.approx(losses.mean(), abs=1e-5)


def test_an_ample_budget_keeps_predictions_in_the_file_too(case, tmp_path):
    ckpt, batch, _, valid = case
    fc.quantize(ckpt, "100KB", with_vocabulary=True).save(tmp_path / "a.safetensors")
    model = fc.load(tmp_path / "a.safetensors")
    expected = kinds.formula(ckpt, batch.ids, batch.values)
    np.testing.assert_allclose(model.predict(batch.ids, batch.values), expected, atol=6e-3)
    before, after = fc.evaluate(ckpt, valid), fc.evaluate(model, valid)
    assert after.selection == pytest.approx(before.selection, abs=2e-3)


def test_tuning_on_raw_rows_makes_a_coarse_artifact_better(case):
    ckpt, _, train, valid = case
    how = fc.LightFM(subspaces=2, codewords=4)
    tuned = fc.quantize(ckpt, None, method=how, train=train, valid=valid, tuning=TUNING, device="cpu")
    before, after = (tuned.header.origin.quality[name] for name in ("untuned", "artifact"))
    if after.regression:
        assert after.rmse < 0.99 * before.rmse
    else:
        assert after.logloss < 0.995 * before.logloss
    found = fc.evaluate(tuned, valid, vocabulary=ckpt.vocabulary)
    assert (found.auc, found.rmse) == pytest.approx((after.auc, after.rmse), nan_ok=True, abs=1e-6)


def test_an_artifact_on_held_out_rows_keeps_its_budget_and_predicts_well(case):
    ckpt, _, train, valid = case
    model = fc.quantize(ckpt, 1700, train=train, valid=valid, tuning=replace(TUNING, epochs=1), device="cpu")
    assert model.file_bytes <= 1700
    source, found = (model.header.origin.quality[name] for name in ("source", "artifact"))
    if source.regression:
        assert found.rmse < 1.1 * source.rmse
    else:
        assert found.auc > source.auc - 0.005


@pytest.mark.parametrize("method", ["lightfm", "xlightfm"])
def test_the_papers_methods_take_fields_of_all_kinds(tmp_path, method):
    ckpt = replace(kinds.checkpoint("probit"), counts=None)
    train = write_tokens(tmp_path / "train.parquet", ckpt, kinds.batch(ckpt, 3000))
    how = (
        fc.LightFM(subspaces=2, codewords=16)
        if method == "lightfm"
        else fc.XLightFM(space=fc.SpaceOptions(subspaces=2, candidates=(4, 16)), search=fc.SearchOptions(steps=6))
    )
    tuning = replace(method_of(how).default_tuning(), epochs=1, batch_size=512)
    model = fc.quantize(ckpt, 4000, method=how, train=train, tuning=tuning, device="cpu")
    assert model.file_bytes <= 4000
    assert 0 < fc.evaluate(model, train, vocabulary=ckpt.vocabulary).auc <= 1


def test_xlightfm_stores_a_model_of_small_fields_raw(tmp_path):
    """Where no field has more categories than the smallest candidate, there is nothing to search."""
    ckpt = replace(kinds.checkpoint(), counts=None)
    train = write_tokens(tmp_path / "train.parquet", ckpt, kinds.batch(ckpt, 2000))
    method = fc.XLightFM(fc.SpaceOptions(candidates=(64, 128)))
    tuning = replace(method.default_tuning(), epochs=1, batch_size=512)
    model = fc.quantize(ckpt, 9000, method=method, train=train, tuning=tuning, device="cpu")
    assert all(quantizer.raw for quantizer in model.header.quantizers)
    assert model.file_bytes <= 9000


def test_a_vocabulary_counts_in_the_budget():
    ckpt = kinds.checkpoint()
    plain, carrying = fc.quantize(ckpt, "100KB"), fc.quantize(ckpt, "100KB", with_vocabulary=True)
    own = len(ckpt.vocabulary.encode())
    assert own < carrying.file_bytes - plain.file_bytes < own + 80  # and its place in the header
    tight = fc.quantize(ckpt, plain.file_bytes, with_vocabulary=True)
    assert tight.file_bytes <= plain.file_bytes
    assert tight.vocabulary.fields.keys() == ckpt.vocabulary.fields.keys()


def test_without_a_vocabulary_there_is_none_to_carry():
    with pytest.raises(UsageError, match="no vocabulary"):
        fc.quantize(kinds.checkpoint(vocabulary=False), "100KB", with_vocabulary=True)
