"""Allocation, against trying out everything."""

import itertools
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmcompress.fm.quantizer import Quantizer
from fmcompress.methods.auto.candidates import PartOption as Option
from fmcompress.methods.auto.candidates import pareto
from fmcompress.quantization.knapsack import allocate


def total(options):
    return sum(option.payload_bytes for option in options), sum(option.error for option in options)


def best_of_all(menus, budget):
    fitting = [total(choice) for choice in itertools.product(*menus) if total(choice)[0] <= budget]
    return min(error for _, error in fitting) if fitting else None


def random_menus(seed, *, fields=4, options=5, largest=200, decades=3.0):
    rng = np.random.default_rng(seed)
    return [
        pareto(
            Option(Quantizer(), int(payload), float(10**error))
            for payload, error in zip(rng.integers(1, largest, options), rng.uniform(-decades, 0, options), strict=True)
        )
        for _ in range(fields)
    ]


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10_000), share=st.floats(0, 1.1))
def test_nothing_is_better_within_the_budget(seed, share):
    menus = random_menus(seed)
    smallest, largest = (sum(menu[at].payload_bytes for menu in menus) for at in (0, -1))
    budget = max(1, round(smallest * 0.9 + share * (largest - smallest * 0.9)))
    found = allocate(menus, budget)
    expected = best_of_all(menus, budget)
    if expected is None:
        assert found is None
        return
    assert all(option in menu for option, menu in zip(found, menus, strict=True))
    assert total(found)[0] <= budget
    assert total(found)[1] == pytest.approx(expected, rel=1e-5)


def test_none_is_given_just_where_nothing_fits():
    menus = random_menus(1)
    smallest = sum(menu[0].payload_bytes for menu in menus)
    assert allocate(menus, smallest) == [menu[0] for menu in menus]
    for budget in (smallest - 1, 0, -5):
        assert allocate(menus, budget) is None


def test_more_bytes_are_never_worse():
    menus = random_menus(2, fields=6)
    smallest, largest = (sum(menu[at].payload_bytes for menu in menus) for at in (0, -1))
    errors = [total(allocate(menus, budget))[1] for budget in range(smallest, largest + 50, 17)]
    assert all(later <= earlier * (1 + 1e-6) for earlier, later in itertools.pairwise(errors))
    assert errors[-1] == sum(menu[-1].error for menu in menus)


@pytest.mark.parametrize("budget", [10**6, 10**8, 10**10])
def test_a_single_byte_too_many_is_too_many_however_large_the_budget(budget):
    rest = budget // 2
    menu = [Option(Quantizer(), rest - 1000, 1.0), Option(Quantizer(), rest, 0.5), Option(Quantizer(), rest + 1, 0.1)]
    found = allocate([menu, menu], budget)
    assert total(found)[0] <= budget
    assert total(found)[1] == pytest.approx(1.0)


def test_small_errors_count_beside_large_ones():
    coarse = [Option(Quantizer(), 1, 1.0), Option(Quantizer(), 2, 1e-9)]
    fine = [Option(Quantizer(), size, 1e-8 / size) for size in range(1, 30)]
    found = allocate([coarse, fine, fine], 2 + 40)
    assert total(found)[1] == pytest.approx(best_of_all([coarse, fine, fine], 42), rel=1e-4)


def test_the_solver_says_nothing_on_standard_output(capfd, monkeypatch):
    """HiGHS prints a line now and then, whatever its options say: it would stand in the middle of a report."""
    from fmcompress.quantization import knapsack as module

    def noisy(*args, **options):
        os.write(1, b"HighsMipSolverData\n")
        return milp(*args, **options)

    milp = module.milp
    monkeypatch.setattr(module, "milp", noisy)
    menus = random_menus(3)
    smallest = sum(menu[0].payload_bytes for menu in menus)
    assert allocate(menus, smallest + 50) is not None
    os.write(1, b"ours\n")
    assert capfd.readouterr().out == "ours\n"
