"""Models in training see shared tables, numeric fields and tiers as the formula has them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fmcompress.finetune.inputs import InputsOf
from fmcompress.finetune.quantized_module import QuantizedModule
from fmcompress.fm.quantizer import parse_quantizer
from fmcompress.fm.scorer import FMScorer
from fmcompress.fm.tiers import Tiers
from fmcompress.methods.auto.reassignment import reassign
from fmcompress.quantization.codebooks import fit_codebooks
from fmcompress.quantization.sensitivity import from_moments
from tests import kinds, pooled

SPECS = [("2x8", "4"), ("raw", "raw"), ("3x16", "8"), ("shared", "2")]


def quantized(ckpt):
    """Return the checkpoint quantized, with the items in two tiers, and the same decoded."""
    of = np.zeros(ckpt.schema.categories, np.uint8)
    of[ckpt.schema.rows(1)] = np.arange(60) % 2
    quantizers = [parse_quantizer(*spec) for spec in SPECS]
    tiers = Tiers(ckpt.schema, of)
    model = fit_codebooks(ckpt, from_moments(ckpt, ckpt.counts), quantizers, seed=0, tiers=tiers)
    return model, decoded(ckpt, model)


def decoded(ckpt, model):
    embeddings, linear = np.empty_like(ckpt.embeddings), np.empty_like(ckpt.linear)
    embeddings[model.tiers.order] = np.concatenate([field.embeddings() for field in model.fields])
    linear[model.tiers.order] = np.concatenate([field.linear() for field in model.fields])
    return replace(ckpt, schema=ckpt.schema.without_pads(), embeddings=embeddings, linear=linear)


def test_the_module_has_the_logits_of_the_decoded_model():
    ckpt = kinds.checkpoint()
    model, plain = quantized(ckpt)
    rows = kinds.batch(ckpt, 50)
    with torch.no_grad():
        found = QuantizedModule(model, sparse=False)(InputsOf(model.tiers, ckpt.numeric, "cpu")(rows))
    np.testing.assert_allclose(found.numpy(), kinds.logits(plain, rows.ids, rows.values), atol=1e-5)


@pytest.mark.parametrize("link", ["sigmoid", "probit", "identity"])
def test_codes_chosen_anew_lower_the_loss(link):
    ckpt = kinds.checkpoint(link)
    model, before = quantized(ckpt)
    rows = kinds.batch(ckpt, 4000)
    targets = FMScorer(ckpt).predict(rows.ids, rows.values)

    def loss(plain):
        logits, _ = FMScorer(plain).logits_and_sums(rows.ids, rows.values)
        return ckpt.link_function.losses(logits.astype(np.float64), targets.astype(np.float64)).mean()

    costs = from_moments(ckpt, ckpt.counts)
    found = reassign(model, rows, targets, teacher=ckpt, sensitivity=costs, prior=1.0)
    after = decoded(ckpt, found)
    assert loss(after) < loss(before)


@pytest.mark.parametrize("poolings", [(), ("each", "sum", "sqrtn/mean", "each")])
def test_models_in_training_pool_several_values_as_the_formula_does(poolings):
    ckpt = pooled.checkpoint(pooled.schema(*poolings))
    rows = pooled.batch(ckpt, 50)
    of = np.zeros(ckpt.schema.categories, np.uint8)
    of[ckpt.schema.rows(2)] = np.arange(40) % 2  # items, which the history looks up too
    quantizers = [parse_quantizer(*spec) for spec in [*SPECS, ("2x4", "raw"), ("raw", "4")]]
    tiers = Tiers(ckpt.schema, of)
    model = fit_codebooks(ckpt, from_moments(ckpt, None), quantizers, seed=0, tiers=tiers)
    module = QuantizedModule(model, sparse=False)
    logits = module(InputsOf(tiers, ckpt.numeric, "cpu")(rows))
    np.testing.assert_allclose(logits.detach().numpy(), pooled.logits(decoded(ckpt, model), rows), atol=1e-4)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())


def test_codes_assigned_anew_by_rows_of_several_values_lower_their_loss():
    ckpt = pooled.checkpoint()
    rows = pooled.batch(ckpt, 3000)
    targets = FMScorer(ckpt).predict(rows.ids, rows.values, bags=rows.bags)
    tiers = Tiers.none(ckpt.schema)
    quantizers = [
        parse_quantizer(*spec) for spec in [("2x8", "4"), ("1x4", "2"), ("2x8", "4"), ("1x4", "4"), ("1x8", "4")]
    ]
    costs = from_moments(ckpt, None)
    model = fit_codebooks(ckpt, costs, quantizers, seed=0, tiers=tiers)
    found = reassign(model, rows, targets, teacher=ckpt, sensitivity=costs, prior=1.0)

    def loss(one):
        predictions = FMScorer(decoded(ckpt, one)).predict(rows.ids, rows.values, bags=rows.bags).astype(np.float64)
        return -np.mean(targets * np.log(predictions) + (1 - targets) * np.log(1 - predictions))

    assert loss(found) < loss(model) - 1e-3
