"""Prices, re-assignment and dense layers of DeepFMs and NFMs, against what they really do to the loss."""

from dataclasses import replace

import numpy as np
import pytest

from fmcompress.artifact.network_layout import layer_as_stored
from fmcompress.checkpoints import FMCheckpoint
from fmcompress.fm.links import Link
from fmcompress.fm.network import DenseLayer, Network
from fmcompress.fm.quantizer import FLOAT, HALF, INT8, Quantizer
from fmcompress.fm.schema import Schema
from fmcompress.fm.scorers import scorer_of
from fmcompress.methods.auto.held_out_loss import prepare_held_out
from fmcompress.methods.auto.layer_candidates import layer_candidates
from fmcompress.methods.auto.method import rotated
from fmcompress.methods.auto.reassignment import reassign
from fmcompress.progress import SILENT
from fmcompress.quantization.codebooks import fit_codebooks
from fmcompress.quantization.field_weights import all_weights
from fmcompress.quantization.sensitivity import from_moments
from tests import networks

SCHEMA = Schema.of([("user", 60), ("item", 50), ("day", 7)])
LINK = Link("sigmoid")


def loss(ckpt, rows):
    logits = scorer_of(ckpt).score(rows.ids, rows.values, rows.bags).logits.astype(np.float64)
    return float(LINK.losses(logits, rows.labels.astype(np.float64)).mean())


@pytest.mark.parametrize("kind", networks.KINDS)
def test_principal_axes_leave_predictions_as_they_are(kind):
    ckpt = networks.checkpoint(kind)
    rows = networks.batch(ckpt, 30)
    turned = rotated(ckpt)
    np.testing.assert_allclose(networks.logits(turned, rows), networks.logits(ckpt, rows), atol=1e-4)
    assert np.array_equal(turned.embeddings, ckpt.embeddings) == (kind == "nfm")


@pytest.mark.parametrize("kind", networks.KINDS)
def test_the_rise_of_one_field_is_the_change_of_the_loss_to_first_order_of_the_logit(kind):
    ckpt = networks.checkpoint(kind, SCHEMA, activation="tanh")
    rows = networks.batch(ckpt, 2500)
    splits = [[np.zeros(field.cardinality, np.uint8)] for field in SCHEMA.fields]
    weights = all_weights(ckpt, from_moments(ckpt, None))
    found = prepare_held_out(weights, ckpt, splits, rows, seed=0, progress=SILENT)
    before = loss(ckpt, rows)
    assert found.loss() == pytest.approx(before, abs=1e-6)
    scored = scorer_of(ckpt).score(rows.ids)
    for column, ways in enumerate(found.measured()):
        codebooks = found.tiers[column][0][0]
        for candidate in ways[0][0].embeddings[:: max(1, len(ways[0][0].embeddings) // 4)]:
            changed = ckpt.embeddings[SCHEMA.rows(column)].copy()
            changed[found.seen[column].categories] = codebooks.decoded(candidate)
            own = rows.ids[:, column]
            present = own >= 0
            shift = np.zeros(len(own))
            moved = (changed - ckpt.embeddings[SCHEMA.rows(column)])[own[present]]
            shift[present] = np.einsum("rl,rl->r", moved, scored.slopes(column)[present])
            expected = LINK.losses(scored.logits + shift, rows.labels.astype(np.float64)).mean() - before
            assert candidate.error == pytest.approx(expected, abs=1e-6)
            if not candidate.codewords or np.abs(moved).max() < 0.02:  # then higher orders are next to nothing
                embeddings = ckpt.embeddings.copy()
                embeddings[SCHEMA.rows(column)] = changed
                true = loss(replace(ckpt, embeddings=embeddings), rows) - before
                assert candidate.error == pytest.approx(true, abs=1e-5)


@pytest.mark.parametrize("kind", networks.KINDS)
def test_codes_chosen_anew_lower_the_loss(kind):
    ckpt = networks.checkpoint(kind, SCHEMA)
    rows = networks.batch(ckpt, 4000)
    costs = from_moments(ckpt, None)
    quantizers = (Quantizer((4, 2), 3), Quantizer((3,), 4), Quantizer())
    coarse = fit_codebooks(ckpt, costs, quantizers, seed=0)
    targets = scorer_of(ckpt).predict(rows.ids)

    def distance(model):
        decoded = replace(
            ckpt,
            embeddings=np.concatenate([field.embeddings() for field in model.fields]),
            linear=np.concatenate([field.linear() for field in model.fields]),
        )
        logits = scorer_of(decoded).score(rows.ids).logits.astype(np.float64)
        return float(LINK.losses(logits, targets.astype(np.float64)).mean())

    found = reassign(coarse, rows, targets, teacher=ckpt, sensitivity=costs, prior=1.0)
    assert distance(found) < distance(coarse)
    assert found.network is coarse.network


@pytest.mark.parametrize("kind", networks.KINDS)
def test_dense_layers_cost_what_their_rounding_does(kind):
    ckpt = networks.checkpoint(kind, SCHEMA)
    rows = networks.batch(ckpt, 3000)
    found = layer_candidates(ckpt, rows, negligible=1e-8)
    logits = networks.logits(ckpt, rows)
    curvatures = LINK.curvatures(logits)
    for number, candidates in enumerate(found):
        by_size = {candidate.value_bytes: candidate for candidate in candidates}
        layer = ckpt.network.layers[number]
        outputs, inputs = layer.weight.shape
        assert by_size[HALF].payload_bytes == outputs * (4 + 2 * inputs)
        assert by_size[INT8].payload_bytes == outputs * (4 + 2 + inputs)
        rounded = list(ckpt.network.layers)
        rounded[number] = layer_as_stored(layer, INT8)
        shift = networks.logits(replace(ckpt, network=Network(kind, tuple(rounded))), rows) - logits
        assert by_size[INT8].error == pytest.approx(0.5 * (curvatures * shift**2).mean(), rel=1e-2)
        assert by_size[INT8].error > by_size[HALF].error


def test_what_fp16_does_not_hold_is_offered_in_fp32():
    ckpt = networks.checkpoint("nfm", SCHEMA)
    first, *rest = ckpt.network.layers
    large = DenseLayer(first.weight * np.float32(1e7), first.bias, "tanh")
    ckpt = replace(ckpt, network=Network("nfm", (large, *rest)))
    sizes = [candidate.value_bytes for candidate in layer_candidates(ckpt, networks.batch(ckpt, 50), 1e-8)[0]]
    assert FLOAT in sizes
    assert HALF not in sizes


def test_without_data_prices_are_those_of_drawn_rows():
    ckpt = networks.checkpoint("deepfm", SCHEMA)
    alone = FMCheckpoint(SCHEMA, ckpt.bias, ckpt.linear, ckpt.embeddings)
    with_network, without = (from_moments(own, None).hessians for own in (ckpt, alone))
    assert not np.allclose(with_network, without, rtol=0.1)
    assert (np.linalg.eigvalsh(with_network) > 0).all()
