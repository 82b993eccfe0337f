"""Candidates by bytes and error: those that no other one beats, and the best of each group within a budget."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from fmcompress.types import Float64Array

_STANDARD_OUTPUT = Lock()
# Errors that span fewer decades than this are told apart by the solver, whose tolerances are absolute.
_SPAN = 10.0
# What sums of errors may be off by, in shares of their terms.
_BOUND_ERROR = 1e-12


class Candidate(Protocol):
    """Something that can be chosen."""

    @property
    def payload_bytes(self) -> int:
        """What it takes in the artifact."""

    @property
    def error(self) -> float:
        """What is to be least in sum."""


AnyCandidate = TypeVar("AnyCandidate", bound=Candidate)


def pareto(candidates: Sequence[AnyCandidate], most: int | None = None) -> list[AnyCandidate]:
    """Return the candidates that no other one beats in both bytes and error, by rising bytes; see ``unbeaten``."""
    payloads = [candidate.payload_bytes for candidate in candidates]
    errors = [candidate.error for candidate in candidates]
    return [candidates[place] for place in unbeaten(payloads, errors, most)]


def unbeaten(payloads: ArrayLike, errors: ArrayLike, most: int | None = None) -> list[int]:
    """Return the places of those that no other one beats in both bytes and error, by rising bytes.

    Args:
        payloads: bytes of each, int64 (n,).
        errors: of each, float64 (n,).
        most: how many to return, spread evenly over the logarithm of their bytes: the smallest and the best one, and
            of those with nearly the same bytes the best.
    """
    sizes, losses = np.asarray(payloads, dtype=np.int64), np.asarray(errors, dtype=np.float64)
    order = np.lexsort((losses, sizes))
    least = np.minimum.accumulate(losses[order])
    front = order[np.append(np.inf, least[:-1])[: len(order)] > losses[order]]
    if most is not None and len(front) > most:
        logs = np.log(sizes[front] + 1)
        slots = np.floor((logs - logs[0]) / (logs[-1] - logs[0]) * (most - 1)).astype(np.int64)
        last = np.flatnonzero(np.append(slots[1:] != slots[:-1], True))
        front = front[np.unique(np.append(0, last))]
    return [int(place) for place in front]


def allocate(groups: Sequence[Sequence[AnyCandidate]], budget_bytes: int) -> list[AnyCandidate] | None:
    """Choose one candidate of each group so that the sum of errors is least and the bytes fit the budget.

    This is the multiple-choice knapsack problem, solved as an integer program by HiGHS, without the candidates that a
    bound shows to be in no best choice.

    Args:
        groups: the candidates of each field.
        budget_bytes: what all chosen candidates together may take.

    Returns:
        The chosen candidate of each group; None where even the smallest ones do not fit.
    """
    smallest = sum(min(candidate.payload_bytes for candidate in group) for group in groups)
    if smallest > budget_bytes:
        return None
    best = [min(group, key=lambda o: (o.error, o.payload_bytes)) for group in groups]
    if sum(candidate.payload_bytes for candidate in best) <= budget_bytes:
        return best
    return _best(_promising(groups, budget_bytes), budget_bytes)


def _promising(groups: Sequence[Sequence[AnyCandidate]], budget_bytes: int) -> list[list[AnyCandidate]]:
    """Return the candidates that may be in a best choice: most of them cannot, by Lagrange's bound.

    At a price λ of a byte no choice within the budget has less error than Σ min (error + λ bytes) − λ budget, and one
    with a given candidate has at least as much more as that candidate is above the least of its group. What is beyond
    a choice that is known is left out.
    """
    payloads = [np.array([o.payload_bytes for o in group], dtype=np.float64) for group in groups]
    errors = [np.array([o.error for o in group]) for group in groups]
    steps = [step for group, own in enumerate(zip(payloads, errors, strict=True)) for step in _hull_steps(group, *own)]
    at = [int(np.lexsort((e, b))[0]) for b, e in zip(payloads, errors, strict=True)]
    room, price = budget_bytes - sum(float(b[i]) for b, i in zip(payloads, at, strict=True)), 0.0
    for fall, group, place in sorted(steps, key=lambda step: -step[0]):
        more = float(payloads[group][place] - payloads[group][at[group]])
        if more > room:
            price = fall
            break
        at[group], room = place, room - more
    known = _filled(payloads, errors, at, room)
    costs = [e + price * b for b, e in zip(payloads, errors, strict=True)]
    bound = sum(float(own.min()) for own in costs) - price * budget_bytes
    slack = max(known - bound, 0.0) + _BOUND_ERROR * (sum(float(np.abs(own).max()) for own in costs) + abs(known))
    return [
        [group[place] for place in np.flatnonzero(own - own.min() <= slack).tolist()]
        for group, own in zip(groups, costs, strict=True)
    ]


def _hull_steps(group: int, payloads: Float64Array, errors: Float64Array) -> Iterator[tuple[float, int, int]]:
    """Yield the steps along the lower convex hull of a group: fall of the error per byte, the group, the candidate."""
    order = np.lexsort((errors, payloads))
    at = 0
    while True:
        more = payloads[order] - payloads[order[at]]
        falls = np.where(more > 0, errors[order[at]] - errors[order], 0.0) / np.where(more > 0, more, 1.0)
        if falls.max() <= 0:
            return
        at = int(np.flatnonzero(falls == falls.max())[-1])
        yield float(falls.max()), group, int(order[at])


def _filled(payloads: Sequence[Float64Array], errors: Sequence[Float64Array], at: Sequence[int], room: float) -> float:
    """Return the error of a choice after the single changes that help most, as long as there is room for one."""
    at = list(at)
    while True:
        best, change = 0.0, None
        for group, (own, error) in enumerate(zip(payloads, errors, strict=True)):
            gains = np.where(own - own[at[group]] <= room, error[at[group]] - error, 0.0)
            place = int(gains.argmax())
            if gains[place] > best:
                best, change = float(gains[place]), (group, place)
        if change is None:
            return sum(float(error[place]) for error, place in zip(errors, at, strict=True))
        group, place = change
        room -= float(payloads[group][place] - payloads[group][at[group]])
        at[group] = place


def _best(groups: Sequence[Sequence[AnyCandidate]], budget_bytes: int) -> list[AnyCandidate]:
    """Solve, and again without the candidates that alone cost more than all of what was found."""
    while True:
        chosen = _solve(groups, budget_bytes)
        least = [min(candidate.error for candidate in group) for group in groups]
        found = sum(candidate.error - error for candidate, error in zip(chosen, least, strict=True))
        largest = max(
            candidate.error - error for group, error in zip(groups, least, strict=True) for candidate in group
        )
        if largest <= _SPAN * found:
            return chosen
        groups = [
            [candidate for candidate in group if candidate.error - error <= found or candidate is kept]
            for group, error, kept in zip(groups, least, chosen, strict=True)
        ]


def _solve(groups: Sequence[Sequence[AnyCandidate]], budget_bytes: int) -> list[AnyCandidate]:
    """Solve until the bytes fit: the solver takes a sum that is a millionth too large for one that fits."""
    allowed = budget_bytes
    while True:
        chosen = _solve_nearly(groups, allowed)
        excess = sum(candidate.payload_bytes for candidate in chosen) - budget_bytes
        if excess <= 0:
            return chosen
        allowed -= excess


def _solve_nearly(groups: Sequence[Sequence[AnyCandidate]], budget_bytes: int) -> list[AnyCandidate]:
    sizes = [len(group) for group in groups]
    least = [(min(o.error for o in group), min(o.payload_bytes for o in group)) for group in groups]
    errors = np.array([o.error - low for group, (low, _) in zip(groups, least, strict=True) for o in group])
    more = np.array(
        [float(o.payload_bytes - low) for group, (_, low) in zip(groups, least, strict=True) for o in group]
    )
    room = budget_bytes - sum(low for _, low in least)
    one_of_each = csr_array((np.ones(len(errors)), (np.repeat(np.arange(len(groups)), sizes), np.arange(len(errors)))))
    with _standard_output_to_nowhere():
        found = milp(
            # Errors and bytes count from the least of their group and are scaled: the solver's tolerances are absolute.
            c=errors / max(float(errors.max()), np.finfo(np.float64).tiny),
            integrality=np.ones(len(errors)),
            bounds=Bounds(0, 1),
            constraints=[
                LinearConstraint(one_of_each, 1, 1),
                LinearConstraint(csr_array(more[None] / max(room, 1)), -np.inf, min(room, 1)),
            ],
            options={"mip_rel_gap": 0.0},
        )
    if found.x is None:  # only the smallest candidates fit, if just so
        return [min(group, key=lambda o: o.payload_bytes) for group in groups]
    ends = np.cumsum(sizes)[:-1]
    return [group[int(np.argmax(part))] for group, part in zip(groups, np.split(found.x, ends), strict=True)]


@contextmanager
def _standard_output_to_nowhere() -> Iterator[None]:
    """Keep HiGHS from printing: a line of its own, for debugging, goes to standard output whatever its settings say.

    One thread at a time: another one would take nowhere for the standard output that it has to give back.
    """
    with _STANDARD_OUTPUT:
        yield from _nowhere()


def _nowhere() -> Iterator[None]:
    try:
        kept = os.dup(1)
    except OSError:  # there is no standard output
        yield
        return
    if sys.stdout is not None:
        sys.stdout.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
