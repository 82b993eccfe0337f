"""What it costs to round numbers to those that a table is stored in, and in which of them they can be stored at all."""

import numpy as np

from fmcompress.artifact.numbers import LARGEST_HALF, LARGEST_INT8, as_stored
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.disk_table import DiskTable, Table
from fmcompress.fm.quantizer import FLOAT, HALF, INT8
from fmcompress.quantization.field_weights import FieldWeights
from fmcompress.types import Float32Array

_SAMPLE = 4096


def least_value_bytes(embeddings: Table, linear: Float32Array) -> int:
    """Return the bytes of numbers that all weights fit without their sizes being cut: ``HALF``, or ``FLOAT``.

    Args:
        embeddings: float32 (cardinality, dim).
        linear: float32 (cardinality,).
    """
    return HALF if max(_largest(embeddings), _largest(linear)) <= LARGEST_HALF else FLOAT


def value_bytes_of_fields(checkpoint: FMCheckpoint) -> list[int]:
    """Return the bytes of numbers that all weights of each field fit: ``HALF``, or ``FLOAT``."""
    schema = checkpoint.schema
    tables = map(checkpoint.embeddings_of, range(len(schema)))
    return [least_value_bytes(*own) for own in zip(tables, schema.split(checkpoint.linear), strict=True)]


def rounding_rises(field: FieldWeights) -> dict[int, float]:
    """Return the expected rise of the loss per row by numbers of so many bytes.

    Those in which weights do not fit are not there. Steps of int8 are max|v|/127 wide, and have a variance of a twelfth
    of their square. What fp16 does is looked up. Where it costs next to nothing that is 0, and there is no need for
    fp32.

    Args:
        field: embeddings, linear weights, and what errors in them cost.
    """
    found = {}
    fits_half = least_value_bytes(field.embeddings, field.linear) == HALF
    half = _half_rise(field) if fits_half else 0.0
    if half <= field.negligible:
        half = 0.0
    if fits_half:
        found[HALF] = half
    if max(_largest(field.embeddings), _largest(field.linear)) <= LARGEST_INT8 * LARGEST_HALF:
        found[INT8] = _int8_rise(field)
    if half or not fits_half:
        found[FLOAT] = 0.0
    return found


def _int8_rise(field: FieldWeights) -> float:
    total = float(field.frequencies.sum())
    steps = [_largest(table) / LARGEST_INT8 for table in (field.embeddings, field.linear)]
    costs = (float(np.trace(field.hessian)), field.curvature)
    return 0.5 * total * sum(cost * step**2 / 12 for cost, step in zip(costs, steps, strict=True))


def _half_rise(field: FieldWeights) -> float:
    """Return what fp16 costs, from some of the categories."""
    some = slice(None, None, -(-field.cardinality // _SAMPLE))
    own = field.frequencies[some] * (field.frequencies.sum() / field.frequencies[some].sum())
    vectors, linear = field.embeddings[some], field.linear[some]
    shift = (as_stored(vectors, HALF) - vectors).astype(np.float64)
    linear_shift = (as_stored(linear, HALF) - linear).astype(np.float64)
    cost = np.einsum("nl,nl->n", shift @ field.hessian, shift) + field.curvature * linear_shift**2
    return 0.5 * float(own @ cost)


def _largest(numbers: Table) -> float:
    if isinstance(numbers, DiskTable):
        return numbers.largest
    return max(float(numbers.max(initial=0)), -float(numbers.min(initial=0)))
