"""Models take over a · logit + b exactly, whatever they have: fields of any kind, networks, tables on the disk."""

from dataclasses import replace

import numpy as np
import pytest

import fmcompress as fc
from fmcompress.artifact import pack_model, unpack_model
from fmcompress.evaluation.predictors import predictor
from fmcompress.fm.disk_table import DiskTable, on_disk
from fmcompress.fm.network import DenseLayer
from fmcompress.fm.rescaling import Calibration, can_be_rescaled, rescaled, rescaled_quantized
from tests import kinds, networks
from tests.models import EVERY_SHAPE, origin, plain_logits, quantized, random_ids

SCALE, OFFSET = 1.7, -0.4


class Stored:
    """A table as a file has it."""

    def __init__(self, table):
        self.table, self.shape = table, table.shape

    def read_rows(self, start, stop):
        return self.table[start:stop].copy()


def test_fields_of_every_kind():
    checkpoint = kinds.checkpoint("identity")
    rows = kinds.batch(checkpoint, 50)
    before = kinds.logits(checkpoint, rows.ids, rows.values)
    found = rescaled(checkpoint, SCALE, OFFSET)
    np.testing.assert_allclose(kinds.logits(found, rows.ids, rows.values), SCALE * before + OFFSET, atol=1e-5)
    assert found.counts is checkpoint.counts
    assert found.vocabulary is checkpoint.vocabulary
    assert rescaled(checkpoint, 1, 0) is checkpoint


@pytest.mark.parametrize("hidden", [(), (6, 4)])
@pytest.mark.parametrize("kind", networks.KINDS)
def test_networks(kind, hidden):
    checkpoint = networks.checkpoint(kind, hidden=hidden)
    rows = networks.batch(checkpoint, 40)
    before = networks.logits(checkpoint, rows)
    found = rescaled(checkpoint, SCALE, OFFSET)
    np.testing.assert_allclose(networks.logits(found, rows), SCALE * before + OFFSET, atol=1e-4)


def test_bounded_last_layer_is_refused():
    checkpoint = networks.checkpoint("deepfm")
    last = checkpoint.network.layers[-1]
    for activation, possible in (("tanh", False), ("relu", True)):
        layers = (*checkpoint.network.layers[:-1], DenseLayer(last.weight, last.bias, activation))
        own = replace(checkpoint, network=replace(checkpoint.network, layers=layers))
        assert can_be_rescaled(own.network) is possible
        if not possible:
            with pytest.raises(fc.UsageError, match="no weights give a times its output"):
                rescaled(own, SCALE, OFFSET)


def test_table_on_the_disk_is_the_same():
    checkpoint = kinds.checkpoint()
    table = on_disk([Stored(checkpoint.embeddings)])
    found = rescaled(replace(checkpoint, embeddings=table), SCALE, OFFSET)
    plain = rescaled(checkpoint, SCALE, OFFSET)
    assert isinstance(found.embeddings, DiskTable)
    np.testing.assert_array_equal(found.embeddings[:], plain.embeddings)
    np.testing.assert_array_equal(found.embeddings_of(1)[np.array([4, 2])], plain.embeddings_of(1)[[4, 2]])
    assert found.embeddings.longest == pytest.approx(np.linalg.norm(plain.embeddings, axis=1).max())


@pytest.mark.parametrize("name", EVERY_SHAPE)
def test_quantized_keeps_its_bytes_and_takes_over_the_logits(name):
    model = quantized(*EVERY_SHAPE[name])
    ids = random_ids(model.schema, 300)
    found = rescaled_quantized(model, SCALE, OFFSET)
    np.testing.assert_allclose(plain_logits(found, ids), SCALE * plain_logits(model, ids) + OFFSET, atol=1e-4)
    before, after = pack_model(model, origin()), pack_model(found, origin())
    assert after.file_bytes == before.file_bytes
    stored = plain_logits(unpack_model(after), ids)  # the numbers are rounded again
    wanted = SCALE * plain_logits(model, ids) + OFFSET
    np.testing.assert_allclose(stored, wanted, atol=0.03 * max(1.0, np.abs(wanted).max()))


def test_int8_numbers_stay():
    model = quantized(*EVERY_SHAPE["int8"])
    before, after = (pack_model(own, origin()) for own in (model, rescaled_quantized(model, SCALE, OFFSET)))
    assert (before.codes == after.codes).mean() > 0.999


def test_packed_network():
    model = networks.quantized_with(quantized(4, "30 2x8 4", "9 raw raw"), "deepfm")
    ids = random_ids(model.schema, 100, missing=0)
    rows = [pack_model(own, origin()) for own in (model, rescaled_quantized(model, SCALE, OFFSET))]
    p, q = (predictor(own).predict(ids).astype(np.float64) for own in rows)
    logits = [np.log(each) - np.log1p(-each) for each in (p, q)]
    np.testing.assert_allclose(logits[1], SCALE * logits[0] + OFFSET, atol=0.05)


@pytest.mark.parametrize("wrong", [{"scale": 0.0}, {"scale": -1.0}, {"scale": float("nan")}, {"offset": float("inf")}])
def test_wrong_numbers(wrong):
    with pytest.raises(fc.UsageError, match="expected a positive and a finite number"):
        Calibration(**wrong)
