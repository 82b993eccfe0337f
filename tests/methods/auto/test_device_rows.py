"""Codes assigned anew on a device, against numpy."""

from dataclasses import replace

import numpy as np
import pytest

from fmcompress.fm.quantizer import Quantizer
from fmcompress.fm.scorer import FMScorer
from fmcompress.fm.tiers import Tiers
from fmcompress.methods.auto import device_rows, reassignment
from fmcompress.methods.auto.device_rows import DeviceRowsByCategory
from fmcompress.methods.auto.reassignment import reassign
from fmcompress.methods.auto.values_by_category import Values
from fmcompress.quantization.codebooks import fit_codebooks
from fmcompress.quantization.sensitivity import from_moments
from tests import kinds, pooled
from tests.devices.offloaded import torch_at_work


def job(of_kind):
    """Return what ``reassign`` is given for a checkpoint of a kind, coded in all its fields."""
    checkpoint = of_kind.checkpoint()
    schema = checkpoint.schema.without_pads()
    checkpoint = replace(checkpoint, schema=schema)
    batch = of_kind.batch(of_kind.checkpoint(), 1500)
    costs = from_moments(checkpoint, None)
    tiers = Tiers(schema, (np.arange(schema.categories) % 2 * (np.arange(schema.categories) < 30)).astype(np.uint8))
    quantizers = [Quantizer((4,), 3) if number % 2 else Quantizer((4, 3), 0) for number in range(len(tiers.as_fields))]
    model = fit_codebooks(checkpoint, costs, quantizers, seed=0, tiers=tiers)
    targets = FMScorer(checkpoint).predict(batch.ids, batch.values, bags=batch.bags)
    return model, batch, targets, {"teacher": checkpoint, "sensitivity": costs, "prior": 20.0}


@pytest.mark.parametrize("of_kind", [kinds, pooled])
def test_codes_are_those_of_numpy(of_kind, monkeypatch):
    """All but those of which two are as good as each other."""
    model, batch, targets, given = job(of_kind)
    expected = reassign(model, batch, targets, **given)
    made = []
    monkeypatch.setattr(device_rows, "_CHUNK_ROWS", 333)
    with torch_at_work():
        original = DeviceRowsByCategory.derivatives
        monkeypatch.setattr(
            DeviceRowsByCategory, "derivatives", lambda self, *args: made.append(self) or original(self, *args)
        )
        found, again = (reassign(model, batch, targets, **given) for _ in range(2))
    assert made
    changed, same, total = 0, 0, 0
    for own, other, before, second in zip(found.fields, expected.fields, model.fields, again.fields, strict=True):
        assert own.codes.dtype == np.uint16
        np.testing.assert_array_equal(own.codes, second.codes)
        np.testing.assert_array_equal(own.linear_codes, second.linear_codes)
        changed += int((own.codes != before.codes).sum())
        same += int((own.codes == other.codes).sum())
        total += own.codes.size
    assert changed > 0.05 * total
    assert same >= 0.99 * total


@pytest.mark.parametrize("of_kind", [kinds, pooled])
def test_derivatives_are_those_of_numpy(of_kind):
    model, batch, targets, given = job(of_kind)
    decoded = reassignment._decoded(model, list(model.fields), given["teacher"])
    values = Values.of(batch, model.tiers)
    found = {}
    for name in ("host", "device"):
        with torch_at_work() if name == "device" else pytest.MonkeyPatch.context():
            scorer = reassignment.scorer_of(decoded)
            rows_of = reassignment._row_maker(batch, targets, decoded, scorer)
            for tier in range(len(model.fields)):
                rows = rows_of(*values.by_category(tier))
                own = model.tiers.order[model.tiers.as_fields.rows(tier)]
                current, block = rows.there(decoded.embeddings[own]), slice(1, len(own) - 1)
                of_block = rows.derivatives(current[block], block)
                found.setdefault(tier, []).append([rows.back(derivative) for derivative in of_block])
    for host, device in found.values():
        for one, other in zip(device, host, strict=True):
            assert one.shape == other.shape
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4 * max(1.0, np.abs(other).max()))
