"""Fields for the tests of quantization."""

import numpy as np

from fmcompress.methods.auto.candidates import expected_candidates
from fmcompress.methods.auto.rate_distortion import candidate_subspaces, embedding_distortion, linear_distortion
from fmcompress.quantization.codebooks import fit_tiers
from fmcompress.quantization.field_weights import FieldWeights, all_weights
from fmcompress.quantization.sensitivity import from_moments
from tests.models import random_checkpoint


def random_field(cardinality, dim, *, seed=0, curvature=0.15):
    """Return a field with correlated costs and frequencies as in real data."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(dim, dim + 2))
    frequencies = 1 / rng.integers(1, 500, cardinality)
    return FieldWeights(
        embeddings=rng.normal(size=(cardinality, dim)).astype(np.float32) * np.float32(0.3),
        linear=rng.normal(size=cardinality).astype(np.float32),
        frequencies=frequencies / frequencies.sum(),
        hessian=root @ root.T / dim,
        curvature=curvature,
    )


def fields_of(checkpoint):
    """Return the fields of a checkpoint, priced without data."""
    return all_weights(checkpoint, from_moments(checkpoint, checkpoint.counts))


def candidates_of(field, *, seed=0, compact=False):
    """Return the candidates of a tier."""
    distortions = [embedding_distortion(field, count, seed=seed) for count in candidate_subspaces(field.dim)]
    return expected_candidates(field, distortions, linear_distortion(field, seed=seed), compact=compact)


def quantized_field(field, quantizer, *, seed=0):
    """Return a field, quantized subspace by subspace."""
    return fit_tiers([field], [quantizer], seed=seed)[0]


def some_fields():
    """Return some fields of many sizes."""
    return fields_of(random_checkpoint((1, 2, 5, 40, 700), dim=6))
