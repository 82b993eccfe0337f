"""The Pareto front and the allocation, against trying out everything."""

import itertools
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmcompress.fm.quantizer import Quantizer
from fmcompress.methods.auto.candidates import TierCandidate
from fmcompress.quantization import knapsack
from fmcompress.quantization.knapsack import allocate, pareto


def total(candidates):
    return sum(one.payload_bytes for one in candidates), sum(one.error for one in candidates)


def best_of_all(groups, budget):
    fitting = [total(chosen) for chosen in itertools.product(*groups) if total(chosen)[0] <= budget]
    return min(error for _, error in fitting) if fitting else None


def random_groups(seed, *, fields=4, options=5, largest=200, decades=3.0):
    rng = np.random.default_rng(seed)
    return [
        pareto(
            [
                TierCandidate(Quantizer(), int(payload), float(10**error))
                for payload, error in zip(
                    rng.integers(1, largest, options), rng.uniform(-decades, 0, options), strict=True
                )
            ]
        )
        for _ in range(fields)
    ]


def candidate(payload, error):
    return TierCandidate(Quantizer(), payload, float(error))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20)), min_size=1, max_size=40))
def test_pareto_keeps_just_what_nothing_beats(pairs):
    candidates = [candidate(*pair) for pair in pairs]
    kept = {(one.payload_bytes, one.error) for one in pareto(candidates)}
    unbeaten = {(b, e) for b, e in pairs if not any(c <= b and d <= e and (c, d) != (b, e) for c, d in pairs)}
    assert kept == unbeaten
    assert len(pareto(candidates)) == len(kept)


def test_thinning_keeps_the_smallest_and_the_best():
    candidates = [candidate(size, 1000 - size) for size in range(1, 900)]
    kept = pareto(candidates, 20)
    assert len(kept) <= 21
    assert kept[0] is candidates[0]
    assert kept[-1] is candidates[-1]


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10_000), share=st.floats(0, 1.1))
def test_nothing_is_better_within_the_budget(seed, share):
    groups = random_groups(seed)
    smallest, largest = (sum(group[at].payload_bytes for group in groups) for at in (0, -1))
    budget = max(1, round(smallest * 0.9 + share * (largest - smallest * 0.9)))
    found = allocate(groups, budget)
    expected = best_of_all(groups, budget)
    if expected is None:
        assert found is None
        return
    assert all(one in group for one, group in zip(found, groups, strict=True))
    assert total(found)[0] <= budget
    assert total(found)[1] == pytest.approx(expected, rel=1e-5)


def test_none_is_given_just_where_nothing_fits():
    groups = random_groups(1)
    smallest = sum(group[0].payload_bytes for group in groups)
    assert allocate(groups, smallest) == [group[0] for group in groups]
    for budget in (smallest - 1, 0, -5):
        assert allocate(groups, budget) is None


def test_more_bytes_are_never_worse():
    groups = random_groups(2, fields=6)
    smallest, largest = (sum(group[at].payload_bytes for group in groups) for at in (0, -1))
    errors = [total(allocate(groups, budget))[1] for budget in range(smallest, largest + 50, 17)]
    assert all(later <= earlier * (1 + 1e-6) for earlier, later in itertools.pairwise(errors))
    assert errors[-1] == sum(group[-1].error for group in groups)


@pytest.mark.parametrize("budget", [10**6, 10**8, 10**10])
def test_a_single_byte_too_many_is_too_many_however_large_the_budget(budget):
    rest = budget // 2
    group = [
        TierCandidate(Quantizer(), rest - 1000, 1.0),
        TierCandidate(Quantizer(), rest, 0.5),
        TierCandidate(Quantizer(), rest + 1, 0.1),
    ]
    found = allocate([group, group], budget)
    assert total(found)[0] <= budget
    assert total(found)[1] == pytest.approx(1.0)


def test_small_errors_count_beside_large_ones():
    coarse = [TierCandidate(Quantizer(), 1, 1.0), TierCandidate(Quantizer(), 2, 1e-9)]
    fine = [TierCandidate(Quantizer(), size, 1e-8 / size) for size in range(1, 30)]
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
    groups = random_groups(3)
    smallest = sum(group[0].payload_bytes for group in groups)
    assert allocate(groups, smallest + 50) is not None
    os.write(1, b"ours\n")
    assert capfd.readouterr().out == "ours\n"


@pytest.mark.parametrize("seed", range(6))
def test_candidates_that_a_bound_leaves_out_are_in_no_best_choice(seed):
    groups = random_groups(seed, fields=12, options=60, largest=20_000, decades=1 + seed)
    smallest, largest = (sum(f(o.payload_bytes for o in group) for group in groups) for f in (min, max))
    for share in (0.05, 0.5, 0.95):
        budget = int(smallest + share * (largest - smallest))
        kept = knapsack._promising(groups, budget)
        assert sum(map(len, kept)) < 0.7 * sum(map(len, groups))
        found, wanted = total(allocate(groups, budget)), total(knapsack._best(groups, budget))
        assert found[0] <= budget
        assert found[1] <= wanted[1] * (1 + 1e-9)
