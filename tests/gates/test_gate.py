"""Limits as people write them."""

from fractions import Fraction

import pytest

from fmcompress.errors import UsageError
from fmcompress.gates.gate import GATES, parse_limits


def limit(name, given):
    (found,) = parse_limits({name: given})
    return found.amount, found.percent


def test_sizes_and_scores_are_exact():
    assert limit("max-size", "10MB") == (10_000_000, False)
    assert limit("max-size", 4096) == (4096, False)
    assert limit("max-growth", "0") == (0, False)
    assert limit("min-auc", "0.8") == (Fraction(0.8), False)
    assert limit("max-rmse", 1) == (1, False)


def test_percentages_are_those_of_the_text():
    assert limit("max-growth", " 5.1 %") == (Fraction(51, 10), True)
    assert limit("max-logloss-rise", "0.01%") == (Fraction(1, 100), True)


def test_limits_come_in_the_order_of_the_gates():
    given = {gate.name: gate.examples.split(" or ")[0] for gate in reversed(GATES)}
    assert [limit.gate for limit in parse_limits({**given, "max-size": "1KB"})] == list(GATES)


def test_the_hint_has_an_example():
    with pytest.raises(UsageError, match="bytes, or percent") as caught:
        parse_limits({"max-growth": "5"})
    assert caught.value.hint == "write 100KB or 5%"


def test_what_gates_look_at():
    gates = {gate.name: gate for gate in GATES}
    assert [name for name, gate in gates.items() if gate.is_least] == ["min-auc"]
    assert [name for name, gate in gates.items() if not gate.scores] == ["max-size", "max-growth"]
    assert all(gate.compares for gate in GATES if gate.percent)
