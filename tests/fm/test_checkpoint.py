"""A checkpoint refuses what is no factorization machine, and says why."""

import numpy as np
import pytest

from fmcompress.errors import CheckpointError
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.field_vocabulary import FieldVocabulary
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.fm.schema import Field, NumericField, Schema
from fmcompress.fm.vocabulary import Vocabulary

PLAIN = Schema.of([("a", 3), ("b", 2)])
PADDED = Schema((Field("a", 3), Field("b", 2, pad=1)))
NUMERIC = Schema((Field("a", 5),), numeric=(NumericField("price"), NumericField("age", linear_only=True)))


def checkpoint(schema=PLAIN, **changed):
    rows = schema.categories
    weights = {"linear": np.ones(rows, np.float32), "embeddings": np.ones((rows, 2), np.float32)}
    return FMCheckpoint(schema, **{"bias": 0.5, **weights, **changed})


def holding(value, *at):
    array = np.ones((5, 2)[: len(at)], np.float32)
    array[at] = value
    return array


def test_what_is_not_said():
    found = checkpoint()
    assert (found.dim, found.fp32_bytes, found.link_function.name) == (2, 4 * 5 * 3, "sigmoid")
    assert len(found.numeric) == 0
    assert found.numeric.embeddings.shape == (0, 2)


@pytest.mark.parametrize(
    ("schema", "changed", "says"),
    [
        (PLAIN, {"linear": np.ones(4, np.float32)}, r"linear weights have shape \(4,\), expected \(5,\)"),
        (PLAIN, {"embeddings": np.ones((5, 0), np.float32)}, r"embeddings have shape \(5, 0\), expected \(5, dim\)"),
        (PLAIN, {"bias": float("nan")}, "bias is nan, expected a finite number"),
        (PLAIN, {"linear": holding(np.inf, 4)}, "linear weights hold NaN or infinite values, the first in row 4"),
        (PLAIN, {"embeddings": holding(np.nan, 2, 1)}, "embeddings hold NaN or infinite values, the first in row 2"),
        (PLAIN, {"counts": np.array([1, 2, 3, 4, -1])}, "counts are not 5 numbers of 0 or more"),
        (PLAIN, {"link": "cloglog"}, "link is 'cloglog'"),
        (PLAIN, {"vocabulary": Vocabulary({"c": FieldVocabulary.of({"x": 0})})}, "the vocabulary has a field 'c'"),
        (PLAIN, {"vocabulary": Vocabulary({"b": FieldVocabulary.of({"x": 2})})}, "field 'b' has id 2, expected 0 to 1"),
        (PADDED, {}, "PAD of field 'b', id 1, has weights that are not zero"),
        (NUMERIC, {}, r"weights of numeric fields have shapes \(0,\) and \(0, 2\), expected \(2,\) and \(2, 2\)"),
        (
            NUMERIC,
            {"numeric": NumericWeights(np.ones(2, np.float32), np.ones((2, 2), np.float32))},
            "numeric field 'age' is linear only, but has an embedding",
        ),
    ],
)
def test_what_is_no_factorization_machine(schema, changed, says):
    with pytest.raises(CheckpointError, match=says):
        checkpoint(schema, **changed)


def test_finite_weights_whose_sum_is_not():
    largest = np.finfo(np.float32).max
    assert checkpoint(linear=np.full(5, largest, np.float32)).linear[0] == largest
