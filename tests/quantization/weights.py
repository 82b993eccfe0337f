"""Fields for the tests of quantization."""

import numpy as np

from fmcompress.quantization.menu import FieldWeights
from fmcompress.quantization.plan import weights_of
from fmcompress.quantization.sensitivity import from_moments
from tests.models import random_checkpoint


def random_field(cardinality, dim, *, seed=0):
    """Return a field with correlated costs and frequencies as in real data."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(dim, dim + 2))
    frequencies = 1 / rng.integers(1, 500, cardinality)
    return FieldWeights(
        embeddings=rng.normal(size=(cardinality, dim)).astype(np.float32) * np.float32(0.3),
        linear=rng.normal(size=cardinality).astype(np.float32),
        frequencies=frequencies / frequencies.sum(),
        hessian=root @ root.T / dim,
        curvature=0.15,
    )


def fields_of(checkpoint):
    """Return the fields of a checkpoint, priced without data."""
    sensitivity = from_moments(checkpoint, checkpoint.counts)
    return [weights_of(checkpoint, sensitivity, field) for field in range(len(checkpoint.schema))]


def menu_fields():
    """Return some fields of many sizes."""
    return fields_of(random_checkpoint((1, 2, 5, 40, 700), dim=6))
