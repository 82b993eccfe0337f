"""Weights of any size are quantized finitely within the budget, or refused; ``python -m tests.wild`` tries more."""

import pytest

from tests.wild import outcome

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("start", range(0, 120, 20))
def test_each_checkpoint_is_quantized_finitely_or_refused(start):
    found = [outcome(seed) for seed in range(start, start + 20)]
    assert found.count("artifact") >= 8
