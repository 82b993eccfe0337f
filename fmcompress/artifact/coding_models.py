"""How often symbols occur, in a few bytes: the frequencies with which codes, tiers and integers are entropy coded.

A frequency is a whole number of 2⁻¹⁴. Whoever reads a file derives it with whole numbers alone, so that it comes out
the same on every machine. ``docs/format.md`` is the specification.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np

from fmcompress.errors import ArtifactError
from fmcompress.types import AnyArray, Float64Array, Int64Array

FREQUENCY_BITS = 14
"""All frequencies of a model add up to 2 to the power of this."""

LARGEST_FREQUENCY = (1 << FREQUENCY_BITS) - (1 << 8)
"""No symbol comes for free, so that a short stream cannot stand for any number of symbols."""

_TOTAL = 1 << FREQUENCY_BITS
_UNITS = 16  # units of a cost in a bit
_WEIGHTS = np.array(
    [32768, 31379, 30048, 28774, 27554, 26386, 25268, 24196, 23170, 22188, 21247, 20347, 19484, 18658, 17867, 17109]
)
_LARGEST_SHIFT = 15
_SEVERAL_KNOTS = 240
_KNOTS = (16, 4, 2)  # further knots stand at these parts of the ranks
_MASKS = (0, 2, 4, 5, 7)  # sets of further knots that are tried
_GAUSS = 128
_STEPS = 8  # spreads in an octave
_NEWTON_STEPS = 20
_STEEPEST, _STEEPEST_RISE = 15.0, 239  # bits, and the largest byte, of a model of one knot


def frequencies_of(weights: AnyArray | Sequence[int]) -> Int64Array:
    """Return frequencies in proportion to weights, int64 (symbols,), each from 1.

    Args:
        weights: whole numbers from 0, not all 0, of 2 to 4,096 symbols.
    """
    weights = np.asarray(weights, dtype=np.int64)
    rare = weights << FREQUENCY_BITS + 1 < 3 * int(weights.sum())
    upto = np.where(rare, 0, weights).cumsum()
    ends = upto * (_TOTAL - np.count_nonzero(rare)) // upto[-1]
    found = np.where(rare, 1, np.diff(ends, prepend=0))
    top = int(found.argmax())
    if found[top] > LARGEST_FREQUENCY:
        found[top + 1 if top + 1 < len(found) else top - 1] += found[top] - LARGEST_FREQUENCY
        found[top] = LARGEST_FREQUENCY
    return found


def _of_costs(costs: Int64Array) -> Int64Array:
    """Return the frequencies of symbols that take so many sixteenths of a bit more than the most frequent one."""
    octaves, parts = np.divmod(costs, _UNITS)
    return frequencies_of(np.where(octaves > _LARGEST_SHIFT, 0, _WEIGHTS[parts] >> np.minimum(octaves, _LARGEST_SHIFT)))


def code_frequencies(data: bytes | memoryview, at: int, codewords: int) -> tuple[Int64Array, int]:
    """Return the frequencies of the codes of a column, int64 (codewords,), and where their description ends.

    Args:
        data: bytes of descriptions, see ``describe_codes``.
        at: where this one begins.
        codewords: of the column, 2 at least.

    Raises:
        ArtifactError: there is no description.
    """
    if at >= len(data):
        raise ArtifactError("is damaged: a model of its codes is cut short")
    mask = data[at] - _SEVERAL_KNOTS
    if mask < 0:
        return _of_knots(codewords, 0, (data[at],)), at + 1
    if not 1 <= mask < 1 << len(_KNOTS):
        raise ArtifactError("is damaged: a model of its codes is none")
    end = at + 2 + mask.bit_count()
    if end > len(data):
        raise ArtifactError("is damaged: a model of its codes is cut short")
    return _of_knots(codewords, mask, tuple(data[at + 1 : end])), end


@cache
def _knots(codewords: int, mask: int) -> tuple[int, ...]:
    """Return the ranks at which costs are said, the last one at the end."""
    chosen = [max(1, codewords // part) for bit, part in enumerate(_KNOTS) if mask >> bit & 1]
    return (*chosen, codewords - 1)


def _of_knots(codewords: int, mask: int, rises: Sequence[int]) -> Int64Array:
    costs = np.zeros(codewords, dtype=np.int64)
    at = value = 0
    for knot, rise in zip(_knots(codewords, mask), rises, strict=True):
        if knot > at:
            costs[at : knot + 1] = value + rise * np.arange(knot + 1 - at) // (knot - at)
        elif rise:
            costs[knot] += rise
        at, value = knot, value + rise
    return _of_costs(costs)


def describe_codes(counts: Int64Array) -> bytes:
    """Return the description of the codes of a column, with which they take the fewest bits: 1 byte to 5.

    Args:
        counts: how often each codeword is chosen, int64 (codewords,), falling or almost so; 2 codewords at least.
    """
    tried = {_described(counts, mask) for mask in _MASKS if len(set(_knots(len(counts), mask))) > mask.bit_count()}
    return min(
        tried, key=lambda data: (len(data) * 8 + bits_of(counts, code_frequencies(data, 0, len(counts))[0]), data)
    )


def _described(counts: Int64Array, mask: int) -> bytes:
    knots = _knots(len(counts), mask)
    ramps = np.stack([_ramp(len(counts), *pair) for pair in zip((0, *knots[:-1]), knots, strict=True)])
    rises = np.rint(_rises(counts, ramps) * _UNITS).astype(np.int64)
    if mask:
        return bytes([_SEVERAL_KNOTS + mask, *np.clip(rises, 0, 255).tolist()])
    return bytes(np.clip(rises, 0, _STEEPEST_RISE).tolist())


@cache
def _ramp(codewords: int, start: int, end: int) -> Float64Array:
    """Return what share of a rise from one rank to another each rank has, float64 (codewords,)."""
    return np.clip((np.arange(codewords) - start) / (end - start), 0.0, 1.0)


def _rises(counts: Int64Array, ramps: Float64Array) -> Float64Array:
    """Return the rises of the cost along ramps, float64 (ramps, codewords), under which counts cost least, in bits.

    It is the maximum of a likelihood that is concave: Newton's steps, not further than some bits at once.
    """
    rises = np.zeros(len(ramps))
    total = counts.sum()
    if not total:
        return rises
    wanted = ramps @ counts / total
    for _ in range(_NEWTON_STEPS):
        shares = np.exp2(-(rises @ ramps))
        shares /= shares.sum()
        found = ramps @ shares
        curvature = (ramps * shares) @ ramps.T - np.outer(found, found)
        curvature[np.diag_indices_from(curvature)] += 1e-6
        step = np.clip(np.linalg.solve(curvature * np.log(2), found - wanted), -3.0, 3.0)
        rises = np.clip(rises + step, 0.0, _STEEPEST)
        if np.abs(step).max() < 1 / (4 * _UNITS):
            break
    return rises


@cache
def integer_frequencies(described: int, largest: int) -> Int64Array:
    """Return the frequencies of whole numbers from -largest to largest, int64 (2 · largest + 1,); not to be written to.

    Args:
        described: the byte that ``describe_integers`` returns.
        largest: the largest number, 1 to 127.
    """
    octave, step = divmod(described % _GAUSS, _STEPS)
    spread = int(_WEIGHTS[step * _UNITS // _STEPS]) >> octave
    numbers = np.abs(np.arange(-largest, largest + 1))
    found = _of_costs(spread * numbers >> 8 if described < _GAUSS else spread * numbers**2 >> 10)
    found.flags.writeable = False
    return found


def describe_integers(counts: Int64Array) -> int:
    """Return the byte of the model with which whole numbers take the fewest bits: one of Laplace or one of Gauss.

    Args:
        counts: how often each number from -largest to largest occurs, int64 (2 · largest + 1,).
    """
    return int((_integer_costs(len(counts) // 2) @ counts).argmin())


@cache
def _integer_costs(largest: int) -> Float64Array:
    """Return the bits of each number in each model, float64 (models, numbers)."""
    every = np.stack([integer_frequencies(described, largest) for described in range(2 * _GAUSS)])
    return np.asarray(FREQUENCY_BITS - np.log2(every))


def bits_of(counts: AnyArray, frequencies: Int64Array) -> float:
    """Return the bits that symbols take, counted, int64 (symbols,), with these frequencies, int64 (symbols,)."""
    return float(counts @ (FREQUENCY_BITS - np.log2(frequencies)))


def coded_bits(counts: Int64Array) -> float:
    """Return the bits that the codes of a column take, with the description of their frequencies.

    It is what a description of one knot leaves, or, if that is less, the entropy and a longer description; cheap.

    Args:
        counts: how often each codeword is chosen, int64 (codewords,), in any order.
    """
    total = int(counts.sum())
    if len(counts) < 2 or not total:
        return 0.0
    falling = np.sort(counts)[::-1]
    ramp = _ramp(len(counts), 0, len(counts) - 1)
    rise = float(_rises(falling, ramp[None])[0])
    one_knot = total * np.log2(np.exp2(-rise * ramp).sum()) + rise * float(falling @ ramp)
    used = counts[counts > 0]
    several = float(used @ np.log2(total / used)) + 32 + len(used) / 2
    least = total * (FREQUENCY_BITS - np.log2(LARGEST_FREQUENCY))
    return 8 + max(float(least), min(float(one_knot), several))
