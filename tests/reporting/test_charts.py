"""Axes of pictures: everything stands on them, beside numbers that people can read."""

from hypothesis import given
from hypothesis import strategies as st

from fmcompress.reporting.charts import linear_axis, log_axis

numbers = st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-9)


@given(st.lists(st.floats(1e-9, 1e15), min_size=1, max_size=5))
def test_log_axes(sizes):
    axis = log_axis(sizes)
    assert all(0 < axis.at(size) < 1 for size in sizes)
    assert all(0 <= axis.at(tick) <= 1 for tick in axis.ticks)
    assert len(axis.ticks) <= 8
    assert list(axis.ticks) == sorted(set(axis.ticks))


@given(st.lists(numbers, min_size=1, max_size=5))
def test_linear_axes(values):
    axis = linear_axis(values)
    assert all(0 <= axis.at(value) <= 1 for value in values)
    assert all(-1e-9 <= axis.at(tick) <= 1 + 1e-9 for tick in axis.ticks)
    assert 2 <= len(axis.ticks) <= 8
    texts = [axis.tick_text(tick) for tick in axis.ticks]
    assert len(set(texts)) == len(texts)


def test_ticks_are_round():
    axis = linear_axis([0.791, 0.802])
    assert [axis.tick_text(tick) for tick in axis.ticks] == ["0.792", "0.794", "0.796", "0.798", "0.800", "0.802"]
    assert log_axis([20_000, 140_000]).ticks == (20_000, 50_000, 100_000, 200_000)
    assert linear_axis([5.0]).ticks
    assert linear_axis([0.0003]).ticks  # a third of its width comes out a little less than a power of ten
