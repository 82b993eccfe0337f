"""Checkpoints that cannot predict are refused in a line that names what is too large."""

import dataclasses

import numpy as np
import pytest

from fmcompress.errors import CheckpointError
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.magnitudes import check_magnitudes
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.fm.schema import NumericField, Schema
from tests.models import random_checkpoint


def test_what_can_predict_is_fine():
    checkpoint = random_checkpoint((30, 7), dim=4)
    check_magnitudes(checkpoint)
    for factor in (1e17, 1e-30):
        check_magnitudes(dataclasses.replace(checkpoint, embeddings=checkpoint.embeddings * np.float32(factor)))
    check_magnitudes(dataclasses.replace(checkpoint, linear=checkpoint.linear * np.float32(1e36)))


@pytest.mark.parametrize("value", [1e20, -3e38])
def test_an_entry_that_is_too_large_is_named(value):
    checkpoint = random_checkpoint((30, 7), dim=4)
    embeddings = checkpoint.embeddings.copy()
    embeddings[34, 2] = value
    with pytest.raises(
        CheckpointError, match=f"field 'f1', category 4: an embedding with {value:.6g}".replace("+", r"\+")
    ):
        check_magnitudes(dataclasses.replace(checkpoint, embeddings=embeddings))


def test_sums_that_are_too_large_are_told_of_the_largest():
    checkpoint = random_checkpoint((30, 7), dim=1)
    embeddings = np.zeros((37, 1), np.float32)
    embeddings[[3, 33], 0] = 6e18, 8e18
    with pytest.raises(CheckpointError, match="field 'f1', category 3: an embedding with 8e"):
        check_magnitudes(dataclasses.replace(checkpoint, embeddings=embeddings))


def test_linear_weights_and_the_bias_are_looked_at():
    checkpoint = random_checkpoint((30, 7), dim=1)
    linear = checkpoint.linear.copy()
    linear[8] = -2e38
    with pytest.raises(CheckpointError, match="field 'f0', category 8: a linear weight of 2e"):
        check_magnitudes(dataclasses.replace(checkpoint, linear=linear))
    with pytest.raises(CheckpointError, match="bias is 1e"):
        check_magnitudes(dataclasses.replace(checkpoint, bias=1e300))


@pytest.mark.parametrize(
    ("weight", "vector", "says"), [(3e38, 0, "a linear weight of 3e"), (1, 1e25, "an embedding with 1e")]
)
def test_numeric_fields_are_named_too(weight, vector, says):
    schema = Schema.in_order([*Schema.of([("a", 3)]).fields, NumericField("price")])
    zeros = np.zeros(3, np.float32), np.zeros((3, 2), np.float32)
    numeric = NumericWeights(np.array([weight], np.float32), np.full((1, 2), vector, np.float32))
    with pytest.raises(CheckpointError, match=f"numeric field 'price': {says}"):
        check_magnitudes(FMCheckpoint(schema, 0.0, *zeros, numeric=numeric))
