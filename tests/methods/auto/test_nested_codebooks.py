"""Nested codebooks: nearest codewords, and the expected rise of the loss by its equation."""

import numpy as np
import pytest

from fmcompress.fm.quantizer import subspace_bounds
from fmcompress.methods.auto.nested_codebooks import nested_codebooks, nested_linear_codebooks
from tests.field_weights import random_field

FIELD = random_field(90, 5)
MEMBERS = np.array([0, 3, 4, 50, 89])


def rise(field, bounds, table, codes):
    """Return ½ Σ_i p_i δ_iᵀ H δ_i of some coordinates."""
    start, end = bounds
    shift = table[codes].astype(np.float64) - field.embeddings[:, start:end]
    hessian = field.hessian[start:end, start:end]
    return 0.5 * sum(p * one @ hessian @ one for p, one in zip(field.frequencies, shift, strict=True))


@pytest.mark.parametrize("metric", ["fm", "euclidean"])
@pytest.mark.parametrize("subspaces", [1, 2, 4])
def test_codes_are_nearest_and_rises_are_those_of_the_equation(subspaces, metric):
    everything = np.arange(FIELD.cardinality)
    found = nested_codebooks(FIELD, subspaces, everything, metric, seed=0)
    assert found.distortion.sizes == (1, 2, 4, 8, 16)
    least = np.full(subspaces, np.inf)
    for size in found.distortion.sizes:
        for number, (start, end) in enumerate(subspace_bounds(FIELD.dim, subspaces)):
            codebook = found.by_size[number][size]
            assert codebook.table.shape == (size, end - start)
            shift = FIELD.embeddings[:, None, start:end] - codebook.table[None]
            hessian = FIELD.hessian[start:end, start:end] if metric == "fm" else np.eye(end - start)
            costs = np.einsum("nkd,de,nke->nk", shift, hessian, shift)
            chosen = costs[everything, codebook.codes]
            np.testing.assert_allclose(chosen, costs.min(axis=1), rtol=1e-3, atol=1e-6)
            expected = rise(FIELD, (start, end), codebook.table, codebook.codes)
            # In the metric of the loss a larger codebook is never said to be worse than a smaller one.
            least[number] = min(least[number], expected) if metric == "fm" else expected
            assert codebook.expected == pytest.approx(least[number], rel=1e-3)


def test_only_categories_in_the_rows_are_coded():
    found = nested_codebooks(FIELD, 2, MEMBERS, "fm", seed=0)
    everything = nested_codebooks(FIELD, 2, np.arange(90), "fm", seed=0)
    decoded = found.decoded((4, 16))
    assert decoded.shape == (5, 5)
    np.testing.assert_array_equal(decoded, everything.decoded((4, 16))[MEMBERS])
    first, second = found.of((4, 16))
    assert found.expected((4, 16)) == pytest.approx(first.expected + second.expected)
    nothing = nested_codebooks(FIELD, 2, MEMBERS[:0], "fm", seed=0)
    assert nothing.decoded((4, 16)).shape == (0, 5)


def test_linear_weights_are_one_subspace():
    found = nested_linear_codebooks(FIELD, np.arange(90), seed=0)
    for size, codebook in found.by_size[0].items():
        assert codebook.table.shape == (size, 1)
        shift = codebook.table[codebook.codes][:, 0] - FIELD.linear
        expected = 0.5 * FIELD.curvature * float(FIELD.frequencies @ shift.astype(np.float64) ** 2)
        assert codebook.expected == pytest.approx(expected, rel=1e-3, abs=1e-9)


def test_a_field_that_is_never_seen_costs_nothing():
    found = nested_linear_codebooks(random_field(90, 2, curvature=0.0), np.arange(90), seed=0)
    assert not found.distortion.errors.any()
