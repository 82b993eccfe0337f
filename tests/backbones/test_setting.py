"""The search for a learning rate and an L2 weight."""

import numpy as np
import pytest

from fmcompress.backbones.setting import L2_STEPS, LR_STEPS, MOST_TRIALS, RATE_OF_TRIALS, Search, Setting
from fmcompress.evaluation.scores import Scores

START = Setting(1e-2, 1e-2)


def searched(worth, start=START, **looked_for):
    """Return the setting that is found, and those that were tried."""
    seen = []

    def trial(setting):
        seen.append(setting)
        return Scores(1, 0.5, -worth(setting), 1.0)

    return Search(trial).find(start, **({"lr": True, "l2": True} | looked_for))[0], seen


def hill(lr, l2, rate=1.0):
    """Return what is best at these two numbers."""
    return lambda setting: -abs(np.log10(setting.lr / rate / lr)) - abs(np.log10(setting.l2 / l2))


@pytest.mark.parametrize("lr", [10**-2.5, 1e-2, 10**-1.5])
@pytest.mark.parametrize("l2", [10**-2.5, 1e-2, 10**-1.5])
def test_near_by_it_finds_the_best_of_a_hill(lr, l2):
    found, seen = searched(hill(lr, l2, rate=RATE_OF_TRIALS))
    assert (found.lr, found.l2) == pytest.approx((lr, l2))
    assert len(seen) <= MOST_TRIALS


def test_it_makes_seven_trials_at_most_and_none_twice():
    _, seen = searched(lambda setting: setting.lr + setting.l2)
    assert len(seen) == len(set(seen)) <= MOST_TRIALS


@pytest.mark.parametrize("l2", [1e-4, 1e-3, 1e-1])
def test_what_is_given_is_not_looked_for(l2):
    found, seen = searched(hill(1.0, l2), lr=False)
    assert found.l2 == pytest.approx(l2, rel=3)
    assert len({setting.lr for setting in seen}) == 1
    found, seen = searched(hill(1e-3, 1.0), l2=False)
    assert found.lr < START.lr
    assert {setting.l2 for setting in seen} == {START.l2}


def test_at_the_end_of_the_steps_it_stops():
    assert searched(lambda s: s.lr, Setting(LR_STEPS[-1], 1e-2), l2=False)[0].lr == LR_STEPS[-1]
    assert searched(lambda s: -s.l2, Setting(1e-2, L2_STEPS[1]), lr=False)[0].l2 == 0
    flat, seen = searched(lambda _: 0.0)
    assert flat == START
    assert len(seen) < MOST_TRIALS


def test_scores_that_are_not_finite_are_no_better():
    first = Setting(START.lr * RATE_OF_TRIALS, START.l2)
    assert searched(lambda s: 0.0 if s == first else np.nan)[0] == START


def test_the_second_has_a_larger_l2_weight():
    found = Search(lambda setting: Scores(1, 0.5, abs(np.log10(setting.l2) + 2.1), 1.0)).find(START, lr=True, l2=True)
    assert found == [START, Setting(START.lr, pytest.approx(10**-1.75))]
    assert len(Search(lambda s: Scores(1, 0.5, s.l2, 1.0)).find(Setting(1e-2, 1e-6), lr=False, l2=True)) == 1
    assert Search(lambda _: Scores(1, 0.5, 0.5, 1.0)).find(START, lr=True, l2=False) == [START]
