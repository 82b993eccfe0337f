"""The vanilla factorization machine against the textbook formula."""

import numpy as np
import pytest
import torch

from fmcompress.backbones.vanilla_fm import RowNumbers, VanillaFM
from fmcompress.data.batch import Batch
from fmcompress.fm.scorer import FMScorer
from tests import kinds, pooled
from tests.models import random_checkpoint, random_ids, sigmoid

SIZES = (7, 40, 1, 12)


def textbook_logits(checkpoint, ids):
    logits = np.full(len(ids), checkpoint.bias)
    for row, active in enumerate(ids):
        numbers = [int(offset + i) for offset, i in zip(checkpoint.schema.offsets, active, strict=True) if i >= 0]
        logits[row] += checkpoint.linear[numbers].sum()
        for at, one in enumerate(numbers):
            for other in numbers[at + 1 :]:
                logits[row] += checkpoint.embeddings[one].astype(np.float64) @ checkpoint.embeddings[other]
    return logits


@pytest.fixture(params=[1, 8])
def checkpoint(request):
    return random_checkpoint(SIZES, dim=request.param)


@pytest.fixture
def ids(checkpoint):
    return random_ids(checkpoint.schema, 50)


def batch_of(ids):
    return Batch(ids, np.zeros(len(ids), np.float32))


def module_of(checkpoint, *, sparse=False):
    model = VanillaFM(
        checkpoint.schema.categories, checkpoint.dim, sparse=sparse, generator=torch.Generator().manual_seed(0)
    )
    with torch.no_grad():
        model.embeddings[:-1] = torch.from_numpy(checkpoint.embeddings)
        model.linear[:-1, 0] = torch.from_numpy(checkpoint.linear)
        model.bias.fill_(checkpoint.bias)
    return model


def test_the_scorer_gives_the_logits_of_the_formula(checkpoint, ids):
    logits, sums = FMScorer(checkpoint).logits_and_sums(ids)
    np.testing.assert_allclose(logits, textbook_logits(checkpoint, ids), atol=1e-5)
    np.testing.assert_allclose(FMScorer(checkpoint).predict(ids), sigmoid(logits), atol=1e-6)
    assert sums.shape == (len(ids), checkpoint.dim)


@pytest.mark.parametrize("sparse", [False, True])
def test_the_module_gives_the_logits_of_the_formula(checkpoint, ids, sparse):
    logits, norms = module_of(checkpoint, sparse=sparse)(RowNumbers(checkpoint.schema)(batch_of(ids)))
    np.testing.assert_allclose(logits.detach().numpy(), textbook_logits(checkpoint, ids), atol=1e-5)
    present = ids >= 0
    squares = (checkpoint.embeddings**2).sum(axis=1) + checkpoint.linear**2
    expected = (squares[np.where(present, ids + checkpoint.schema.offsets, 0)] * present).sum(axis=1).mean()
    assert norms.item() == pytest.approx(expected, rel=1e-4)


def test_missing_values_get_no_gradient(checkpoint):
    model = module_of(checkpoint)
    ids = np.array([[3, -1, 0, -1], [-1, -1, -1, -1]], dtype=np.int32)
    logits, norms = model(RowNumbers(checkpoint.schema)(batch_of(ids)))
    assert logits[1].item() == pytest.approx(checkpoint.bias)
    (logits.sum() + norms).backward()
    assert not model.embeddings.grad[-1].any()
    assert not model.linear.grad[-1].any()
    touched = torch.nonzero(model.linear.grad[:, 0]).flatten().tolist()
    assert touched == [3, int(checkpoint.schema.offsets[2])]


@pytest.mark.parametrize("link", ["sigmoid", "probit", "identity", "clip:-1:1"])
def test_the_scorer_knows_fields_of_all_kinds_and_links(link):
    ckpt = kinds.checkpoint(link)
    rows = kinds.batch(ckpt, 60)
    scorer = FMScorer(ckpt)
    logits, _ = scorer.logits_and_sums(rows.ids, rows.values)
    np.testing.assert_allclose(logits, kinds.logits(ckpt, rows.ids, rows.values), atol=1e-5)
    np.testing.assert_allclose(
        scorer.predict(rows.ids, rows.values), kinds.formula(ckpt, rows.ids, rows.values), atol=1e-5
    )


@pytest.mark.parametrize("sparse", [False, True])
def test_the_module_pools_several_values_as_the_formula_does(sparse):
    ckpt = pooled.checkpoint()
    rows = pooled.batch(ckpt, 40)
    module = module_of(ckpt, sparse=sparse)
    logits, norms = module(RowNumbers(ckpt.schema)(rows))
    np.testing.assert_allclose(logits.detach().numpy(), pooled.logits(ckpt, rows), atol=1e-4)
    (logits.sum() + norms).backward()
    values = {int(ckpt.schema.offsets[1]) + own for own in rows.bags["genres"].ids.tolist()}
    gradient = module.linear.grad.to_dense() if sparse else module.linear.grad
    touched = set(torch.nonzero(gradient[:, 0]).flatten().tolist())
    assert values <= touched
