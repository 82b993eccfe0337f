"""What no other candidate beats, in both bytes and expected loss."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np

from fmcompress.quantization.knapsack import Candidate
from fmcompress.types import Float64Array, Int64Array

AnyCandidate = TypeVar("AnyCandidate", bound=Candidate)


def unbeaten(payloads: Int64Array, errors: Float64Array) -> Int64Array:
    """Return the places of those that no other one beats in both bytes and error, by rising bytes, int64 (unbeaten,).

    Args:
        payloads: bytes of each, int64 (n,).
        errors: of each, float64 (n,).
    """
    order = np.lexsort((errors, payloads))
    sorted_errors = errors[order]
    least = np.minimum.accumulate(sorted_errors)
    return np.asarray(order[np.append(np.inf, least[:-1])[: len(order)] > sorted_errors])


def pareto(found: Iterable[AnyCandidate]) -> list[AnyCandidate]:
    """Return the candidates that no other one beats in both bytes and error, by rising bytes."""
    candidates = list(found)
    payloads = np.array([candidate.payload_bytes for candidate in candidates], dtype=np.int64)
    errors = np.array([candidate.error for candidate in candidates], dtype=np.float64)
    return [candidates[place] for place in unbeaten(payloads, errors).tolist()]


def thinned(candidates: Sequence[AnyCandidate], most: int) -> list[AnyCandidate]:
    """Return at most ``most`` of some candidates by rising bytes and falling error, spread evenly over their sizes.

    The smallest and the best one stay; of those with nearly the same bytes, the best.
    """
    if len(candidates) <= most:
        return list(candidates)
    logs = np.log([candidate.payload_bytes + 1 for candidate in candidates])
    slots = np.floor((logs - logs[0]) / (logs[-1] - logs[0]) * (most - 1)).astype(np.int64)
    last = np.flatnonzero(np.append(slots[1:] != slots[:-1], True))
    return [candidates[place] for place in np.unique(np.append(0, last)).tolist()]
