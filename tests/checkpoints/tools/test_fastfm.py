"""Genuine models of fastFM, in every protocol, and the ones that cannot be read."""

import pickle

import numpy as np
import pytest

from fmcompress.checkpoints import load_checkpoint
from fmcompress.errors import CheckpointError
from tests.checkpoints.pickles import become, rewritten_pickle
from tests.checkpoints.samples import FIELDS, FILES, predict

FOLDER = FILES / "fastfm"
EXPECTED = np.load(FOLDER / "expected.npz")
MODEL = FOLDER / "als_reg.pkl"
CLASSIFIER = FOLDER / "als_clf.pkl"
NAMES = ("fastFM.als.FMRegression", "fastFM.als.FMClassification")


def changed(target, class_name=NAMES[0], **attributes):
    """Write the regression with other attributes, or as an object of another class."""

    def change(model):
        model.state.update(attributes)
        become(model, class_name)

    return rewritten_pickle(MODEL, target, {NAMES[0], class_name}, change)


@pytest.mark.parametrize(("name", "link"), [("als_reg", "identity"), ("als_clf", "probit"), ("sgd_clf", "probit")])
def test_predictions_are_the_tools_own(name, link):
    ckpt = load_checkpoint(FOLDER / f"{name}.pkl", fields=FIELDS)
    assert (ckpt.source.tool, ckpt.link, ckpt.schema) == ("fastFM", link, FIELDS)
    np.testing.assert_allclose(predict(ckpt, EXPECTED["X"]), EXPECTED[name], atol=1e-5)


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_is_read(tmp_path, protocol):
    path = rewritten_pickle(CLASSIFIER, tmp_path / "fm.bin", NAMES, protocol=protocol)
    ckpt = load_checkpoint(path, fields=FIELDS)
    np.testing.assert_allclose(predict(ckpt, EXPECTED["X"]), EXPECTED["als_clf"], atol=1e-5)


def test_given_link_wins():
    assert load_checkpoint(MODEL, fields=FIELDS, link="clip:0:1").link == "clip:0:1"


def test_fields_must_be_given():
    with pytest.raises(CheckpointError, match=r"^als_reg\.pkl: it does not say which fields its 23 categories"):
        load_checkpoint(MODEL)


@pytest.mark.parametrize(
    ("class_name", "message"),
    [
        ("fastFM.mcmc.FMRegression", "averages over samples"),
        ("fastFM.bpr.FMRecommender", "rank pairs"),
        ("fastFM.new.FMOther", r"it is a fastFM\.new\.FMOther, expected one of fastFM\.als\.FMRegression"),
    ],
)
def test_other_estimators_are_refused(tmp_path, class_name, message):
    path = changed(tmp_path / "fm.pkl", class_name=class_name)
    with pytest.raises(CheckpointError, match=rf"^fm\.pkl: .*{message}"):
        load_checkpoint(path, fields=FIELDS)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"w_": None}, "w_ is missing or no array"),
        ({"w_": np.zeros(22)}, r"w_ has shape \(22,\) and V_ \(4, 23\)"),
        ({"w_": np.zeros((23, 1))}, "1 dimensions"),
        ({"w_": np.zeros(23, np.int64)}, "no array of floats"),
        ({"V_": np.zeros((23, 4))}, r"V_ \(23, 4\), expected \(rows,\) and \(dim, rows\)"),
        ({"V_": np.zeros((0, 23))}, "a linear model, of rank 0"),
        ({"V_": np.full((4, 23), np.nan)}, "NaN or infinite"),
        ({"V_": np.full((4, 23), 1e300)}, "NaN or infinite"),
        ({"w0_": "1"}, "w0_ is missing or no number"),
        ({"w0_": float("inf")}, "bias is inf"),
        ({"w0_": 10**400}, "w0_ is missing or no number"),
    ],
)
def test_wrong_weights_are_refused(tmp_path, attributes, message):
    path = changed(tmp_path / "fm.pkl", **attributes)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path, fields=FIELDS)


def test_number_of_numpy_is_a_bias(tmp_path):
    path = changed(tmp_path / "fm.pkl", w0_=np.float64(0.5))
    assert load_checkpoint(path, fields=FIELDS).bias == 0.5


def test_other_pickles_are_named(tmp_path):
    path = changed(tmp_path / "fm.pkl", class_name="sklearn.pipeline.Pipeline")
    with pytest.raises(CheckpointError, match=r"a pickle of sklearn\.pipeline\.Pipeline, expected a model of fastFM"):
        load_checkpoint(path, fields=FIELDS)
    path.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(CheckpointError, match="found no tensors, only"):
        load_checkpoint(path, fields=FIELDS)
