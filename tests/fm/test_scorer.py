"""Predictions of a factorization machine that is not compressed, against the textbook formula."""

import numpy as np

import fmcompress as fc
from fmcompress.fm.scorer import FMScorer
from tests.conftest import FIELDS


def test_predictions_are_those_of_the_formula(files):
    checkpoint = fc.load_checkpoint(files.fm)
    rng = np.random.default_rng(0)
    ids = np.stack([rng.integers(-1, size, 50) for _, size in FIELDS], axis=1).astype(np.int32)
    expected = []
    for row in ids:
        rows = [offset + i for offset, i in zip(checkpoint.schema.offsets, row, strict=True) if i >= 0]
        vectors = checkpoint.embeddings[rows].astype(np.float64)
        pairs = sum(vectors[i] @ vectors[j] for i in range(len(rows)) for j in range(i))
        expected.append(1 / (1 + np.exp(-(checkpoint.bias + checkpoint.linear[rows].sum(dtype=np.float64) + pairs))))
    np.testing.assert_allclose(FMScorer(checkpoint).predict(ids), expected, rtol=1e-5)
