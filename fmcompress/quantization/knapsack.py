"""Allocation: one option per field, so that the expected loss is least within the budget."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeVar

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

# Errors that span fewer decades than this are told apart by the solver, whose tolerances are absolute.
_SPAN = 10.0


class Priced(Protocol):
    """Something that can be chosen."""

    @property
    def payload_bytes(self) -> int:
        """What it takes in the artifact."""

    @property
    def error(self) -> float:
        """What is to be least in sum."""


Choice = TypeVar("Choice", bound=Priced)


def allocate(menus: Sequence[Sequence[Choice]], budget_bytes: int) -> list[Choice] | None:
    """Choose one option of each menu so that the sum of errors is least and the bytes fit the budget.

    This is the multiple-choice knapsack problem, solved as an integer program by HiGHS.

    Args:
        menus: the options of each field.
        budget_bytes: what all chosen options together may take.

    Returns:
        The chosen option of each menu; None where even the smallest ones do not fit.
    """
    smallest = sum(min(option.payload_bytes for option in menu) for menu in menus)
    if smallest > budget_bytes:
        return None
    best = [min(menu, key=lambda o: (o.error, o.payload_bytes)) for menu in menus]
    if sum(option.payload_bytes for option in best) <= budget_bytes:
        return best
    return _best(menus, budget_bytes)


def _best(menus: Sequence[Sequence[Choice]], budget_bytes: int) -> list[Choice]:
    """Solve, and again without the options that alone cost more than all of what was found."""
    while True:
        chosen = _solve(menus, budget_bytes)
        least = [min(option.error for option in menu) for menu in menus]
        found = sum(option.error - error for option, error in zip(chosen, least, strict=True))
        largest = max(option.error - error for menu, error in zip(menus, least, strict=True) for option in menu)
        if largest <= _SPAN * found:
            return chosen
        menus = [
            [option for option in menu if option.error - error <= found or option is kept]
            for menu, error, kept in zip(menus, least, chosen, strict=True)
        ]


def _solve(menus: Sequence[Sequence[Choice]], budget_bytes: int) -> list[Choice]:
    """Solve until the bytes fit: the solver takes a sum that is a millionth too large for one that fits."""
    allowed = budget_bytes
    while True:
        chosen = _solve_nearly(menus, allowed)
        excess = sum(option.payload_bytes for option in chosen) - budget_bytes
        if excess <= 0:
            return chosen
        allowed -= excess


def _solve_nearly(menus: Sequence[Sequence[Choice]], budget_bytes: int) -> list[Choice]:
    sizes = [len(menu) for menu in menus]
    least = [(min(o.error for o in menu), min(o.payload_bytes for o in menu)) for menu in menus]
    errors = np.array([o.error - low for menu, (low, _) in zip(menus, least, strict=True) for o in menu])
    more = np.array([float(o.payload_bytes - low) for menu, (_, low) in zip(menus, least, strict=True) for o in menu])
    room = budget_bytes - sum(low for _, low in least)
    one_of_each = csr_array((np.ones(len(errors)), (np.repeat(np.arange(len(menus)), sizes), np.arange(len(errors)))))
    with _standard_output_to_nowhere():
        found = milp(
            # Errors and bytes count from the least of their menu and are scaled: the solver's tolerances are absolute.
            c=errors / max(float(errors.max()), np.finfo(np.float64).tiny),
            integrality=np.ones(len(errors)),
            bounds=Bounds(0, 1),
            constraints=[
                LinearConstraint(one_of_each, 1, 1),
                LinearConstraint(csr_array(more[None] / max(room, 1)), -np.inf, min(room, 1)),
            ],
            options={"mip_rel_gap": 0.0},
        )
    if found.x is None:  # only the smallest options fit, if just so
        return [min(menu, key=lambda o: o.payload_bytes) for menu in menus]
    ends = np.cumsum(sizes)[:-1]
    return [menu[int(np.argmax(part))] for menu, part in zip(menus, np.split(found.x, ends), strict=True)]


@contextmanager
def _standard_output_to_nowhere() -> Iterator[None]:
    """Keep HiGHS from printing: a line of its own, for debugging, goes to standard output whatever its options say."""
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
