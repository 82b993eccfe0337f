"""What it costs to round numbers to those that a table is stored in, and in which of them they can be stored at all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fmcompress.artifact.numbers import LARGEST_HALF, LARGEST_INT8, as_stored
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.disk_table import DiskTable, Table
from fmcompress.fm.quantizer import FLOAT, HALF, INT8, largest_integer
from fmcompress.quantization.field_weights import FieldWeights
from fmcompress.types import Float32Array, Float64Array

_SAMPLE = 4096
_TINY = float(np.finfo(np.float64).tiny)


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


@dataclass(frozen=True)
class Rounding:
    """What it costs to round the numbers of a tier: expected rises of the loss per row.

    Attributes:
        embeddings: of embeddings, by the bits of a number; what is not there is no candidate, but for ``few``.
        linear: of linear weights, by the bytes of a number.
        few: the numbers of bits below 8 that are candidates, with one scale for all tables of the tier.
        largest: the largest size of a number in the embeddings.
        costs: of each coordinate, ½ Σ_i p_i H_jj.
        squares: mean squares of each coordinate.
    """

    embeddings: Mapping[int, float]
    linear: Mapping[int, float]
    few: tuple[int, ...] = ()
    largest: float = 0.0
    costs: tuple[float, ...] = ()
    squares: tuple[float, ...] = ()

    @property
    def value_bytes(self) -> tuple[int, ...]:
        """The bytes of numbers that are candidates."""
        return tuple(self.linear)

    def bits_of(self, value_bytes: int) -> tuple[int, ...]:
        """Return the bits of numbers that are candidates for embeddings, of so many bytes in memory."""
        return (8 * value_bytes, *self.few) if value_bytes == INT8 else (8 * value_bytes,)

    def of_embeddings(self, bits: int, largest: Float64Array) -> Float64Array:
        """Return what numbers of so many bits cost in embeddings, float64 (n,).

        Steps of whole numbers have a variance of a twelfth of their square; what is below half a step becomes 0, and
        costs its square.

        Args:
            bits: of a number.
            largest: the largest size of a number in the tables of each of some candidates, float64 (n,).
        """
        if bits not in self.few:
            return np.full(len(largest), self.embeddings[bits])
        steps = largest / largest_integer(bits)
        return np.asarray(np.minimum(steps[:, None] ** 2 / 12, np.array(self.squares)) @ np.array(self.costs))


def rounding_rises(field: FieldWeights, few: Sequence[int] = ()) -> Rounding:
    """Return the expected rise of the loss per row by numbers of so many bits.

    Those in which weights do not fit are not there. Steps of int8 are max|v|/127 wide, and have a variance of a twelfth
    of their square. What fp16 does is looked up. Where it costs next to nothing that is 0, and there is no need for
    fp32.

    Args:
        field: embeddings, linear weights, and what errors in them cost.
        few: numbers of bits below 8 that are candidates.
    """
    embeddings, linear = {}, {}
    fits_half = least_value_bytes(field.embeddings, field.linear) == HALF
    half = _half_rises(field) if fits_half else (0.0, 0.0)
    if sum(half) <= field.negligible:
        half = (0.0, 0.0)
    if fits_half:
        embeddings[8 * HALF], linear[HALF] = half
    largest = _largest(field.embeddings)
    fits_int8 = max(largest, _largest(field.linear)) <= LARGEST_INT8 * LARGEST_HALF
    if fits_int8:
        embeddings[8 * INT8], linear[INT8] = _int8_rises(field)
    if sum(half) or not fits_half:
        embeddings[8 * FLOAT] = linear[FLOAT] = 0.0
    if not (few and fits_int8):
        return Rounding(embeddings, linear)
    costs = 0.5 * field.frequencies.sum() * np.diag(field.hessian)
    return Rounding(embeddings, linear, tuple(few), largest, tuple(costs.tolist()), tuple(_squares(field).tolist()))


def _int8_rises(field: FieldWeights) -> tuple[float, float]:
    total = float(field.frequencies.sum())
    steps = [_largest(table) / LARGEST_INT8 for table in (field.embeddings, field.linear)]
    embeddings, linear = np.trace(field.hessian) * steps[0] ** 2, field.curvature * steps[1] ** 2
    return 0.5 * total * float(embeddings) / 12, 0.5 * total * linear / 12


def _half_rises(field: FieldWeights) -> tuple[float, float]:
    """Return what fp16 costs in embeddings and in linear weights, from some of the categories."""
    some, own = _some(field)
    vectors, linear = field.embeddings[some], field.linear[some]
    shift = (as_stored(vectors, HALF) - vectors).astype(np.float64)
    linear_shift = (as_stored(linear, HALF) - linear).astype(np.float64)
    cost = np.einsum("nl,nl->n", shift @ field.hessian, shift)
    return 0.5 * float(own @ cost), 0.5 * field.curvature * float(own @ linear_shift**2)


def _squares(field: FieldWeights) -> Float64Array:
    """Return the mean squares of the coordinates of embeddings, float64 (dim,), from some of the categories."""
    some, own = _some(field)
    return np.asarray(own @ np.square(field.embeddings[some].astype(np.float64)) / max(float(own.sum()), _TINY))


def _some(field: FieldWeights) -> tuple[slice, Float64Array]:
    """Return some categories, and the shares of all rows that they stand for, float64 (n,)."""
    some = slice(None, None, -(-field.cardinality // _SAMPLE))
    return some, field.frequencies[some] * (field.frequencies.sum() / field.frequencies[some].sum())


def _largest(numbers: Table) -> float:
    if isinstance(numbers, DiskTable):
        return numbers.largest
    return max(float(numbers.max(initial=0)), -float(numbers.min(initial=0)))
