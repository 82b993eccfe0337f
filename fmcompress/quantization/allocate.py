"""Allocation: one option per field, so that the expected loss is least within the budget."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from fmcompress.quantization.menu import Option

# Below this relative gap two allocations are as good as each other.
_GAP = 0.0


def allocate(menus: Sequence[Sequence[Option]], budget_bytes: int) -> list[Option] | None:
    """Choose one option of each menu so that the sum of errors is least and the bytes fit the budget.

    This is the multiple-choice knapsack problem, solved as an integer program by HiGHS to a relative gap of 1e-4.

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
    return _solve(menus, budget_bytes)


def _solve(menus: Sequence[Sequence[Option]], budget_bytes: int) -> list[Option]:
    sizes = [len(menu) for menu in menus]
    errors = np.array([option.error for menu in menus for option in menu])
    payload = np.array([option.payload_bytes for menu in menus for option in menu], dtype=np.float64)
    one_of_each = csr_array((np.ones(len(errors)), (np.repeat(np.arange(len(menus)), sizes), np.arange(len(errors)))))
    found = milp(
        # Errors and bytes are scaled: the solver's tolerances are absolute.
        c=errors / max(float(errors.max()), np.finfo(np.float64).tiny),
        integrality=np.ones(len(errors)),
        bounds=Bounds(0, 1),
        constraints=[
            LinearConstraint(one_of_each, 1, 1),
            LinearConstraint(csr_array(payload[None] / budget_bytes), -np.inf, 1),
        ],
        options={"mip_rel_gap": _GAP},
    )
    chosen = []
    start = 0
    for menu in menus:
        chosen.append(menu[int(np.argmax(found.x[start : start + len(menu)]))])
        start += len(menu)
    return chosen
