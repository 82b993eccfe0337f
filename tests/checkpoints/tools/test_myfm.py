"""Genuine models of myFM, in every protocol, and the ones that cannot be read."""

import numpy as np
import pytest

from fmcompress.checkpoints import load_checkpoint
from fmcompress.errors import CheckpointError
from tests.checkpoints.pickles import rewritten_pickle
from tests.checkpoints.samples import FIELDS, FILES, predict

FOLDER = FILES / "myfm"
EXPECTED = np.load(FOLDER / "expected.npz")
MODEL = FOLDER / "vb_clf.pkl"
NAMES = (
    "myfm.variational.VariationalFMClassifier",
    *(f"myfm._myfm.{name}" for name in ("VariationalPredictor", "VariationalFM", "FMHyperParameters")),
    "myfm._myfm.VariationalLearningHistory",
)


def changed(target, change):
    """Write the classifier with another (dim, rows, task, samples), or with another only sample."""

    def change_predictor(model):
        predictor = model.state["predictor_"]
        predictor.state = change(list(predictor.state))

    return rewritten_pickle(MODEL, target, NAMES, change_predictor)


def changed_sample(target, place, value):
    """Write the classifier with something else in its sample (w0, _, w, _, V, _, …)."""

    def change(predictor):
        (sample,) = predictor[3]
        state = list(sample.state)
        state[place] = value
        sample.state = tuple(state)
        return tuple(predictor)

    return changed(target, change)


@pytest.mark.parametrize(("name", "link"), [("vb_reg", "identity"), ("vb_clf", "probit")])
def test_predictions_are_the_tools_own(name, link):
    ckpt = load_checkpoint(FOLDER / f"{name}.pkl", fields=FIELDS)
    assert (ckpt.source.tool, ckpt.link, ckpt.schema) == ("myFM", link, FIELDS)
    np.testing.assert_allclose(predict(ckpt, EXPECTED["X"]), EXPECTED[name], atol=1e-5)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_protocols_of_its_objects_are_read(tmp_path, protocol):
    path = rewritten_pickle(MODEL, tmp_path / "fm.bin", NAMES, protocol=protocol)
    np.testing.assert_allclose(
        predict(load_checkpoint(path, fields=FIELDS), EXPECTED["X"]), EXPECTED["vb_clf"], atol=1e-5
    )


def test_gibbs_is_refused_by_its_samples():
    with pytest.raises(CheckpointError, match=r"^gibbs_clf\.pkl: .*averages the predictions of 5 samples") as caught:
        load_checkpoint(FOLDER / "gibbs_clf.pkl", fields=FIELDS)
    assert "Variational" in caught.value.hint


def test_fields_must_be_given():
    with pytest.raises(CheckpointError, match="which fields its 23 categories"):
        load_checkpoint(MODEL)


def test_earlier_versions_have_no_cutpoints(tmp_path):
    def shorten(predictor):
        predictor[3][0].state = predictor[3][0].state[:6]
        return tuple(predictor)

    ckpt = load_checkpoint(changed(tmp_path / "fm.pkl", shorten), fields=FIELDS)
    assert ckpt.dim == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: (*state[:2], 2, state[3]), "predicts ordered categories"),
        (lambda state: (*state[:2], None, state[3]), "predicts ordered categories"),
        (lambda state: (*state[:3], []), "its predictor_ cannot be read"),
        (lambda state: (*state[:3], state[3] * 2), "its predictor_ cannot be read"),
        (lambda state: (*state[:3], [None]), "its predictor_ cannot be read"),
        (lambda state: (*state[:3], None), "its predictor_ cannot be read"),
        (lambda state: tuple(state[:3]), "its predictor_ cannot be read"),
    ],
)
def test_wrong_predictors_are_refused(tmp_path, change, message):
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(changed(tmp_path / "fm.pkl", change), fields=FIELDS)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, "0", "w0 is missing or no number"),
        (2, np.zeros(22), r"w has shape \(22,\) and V \(23, 4\)"),
        (2, None, "w is missing or no array"),
        (4, np.zeros((4, 23)), r"V \(4, 23\), expected \(rows,\) and \(rows, dim\)"),
        (4, np.zeros((23, 0)), "a linear model, of rank 0"),
        (4, np.full((23, 4), np.inf), "NaN or infinite"),
    ],
)
def test_wrong_weights_are_refused(tmp_path, place, value, message):
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(changed_sample(tmp_path / "fm.pkl", place, value), fields=FIELDS)


def test_estimator_that_was_never_trained(tmp_path):
    path = rewritten_pickle(MODEL, tmp_path / "fm.pkl", NAMES, lambda model: model.state.pop("predictor_"))
    with pytest.raises(CheckpointError, match="it is not trained"):
        load_checkpoint(path, fields=FIELDS)
