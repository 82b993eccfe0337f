"""Tables in fp16, int8 and fp32: there and back, never clipped, stored twice as once, and each at its place."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fmcompress.artifact.layout import TableLayout, read_table, write_table
from fmcompress.artifact.numbers import as_stored, decode_half, decode_int8, encode_half, encode_int8
from fmcompress.fm.quantizer import FLOAT, HALF, INT8

pytestmark = pytest.mark.slow

TINIEST = 2.0**-24

exponents = st.integers(-40, 20).map(lambda power: np.float32(2.0**power))
tables = st.tuples(
    arrays(np.float32, st.integers(1, 40), elements=st.floats(-1, 1, width=32)), exponents
).map(lambda pair: pair[0] * pair[1])  # fmt: skip


@settings(deadline=None, max_examples=1000)
@given(tables)
def test_no_number_is_off_by_more_than_half_a_step(table):
    numbers, scale = encode_int8(table)
    largest = float(np.abs(table).max())
    step = max(largest / 127 * (1 + 2**-10), largest / 127 + TINIEST)
    found = decode_int8(numbers, scale)
    assert found.dtype == np.float32
    assert np.abs(found.astype(np.float64) - table).max() <= step / 2
    assert np.abs(numbers.astype(int)).max() <= 127
    assert scale.dtype == np.float16
    assert np.isfinite(scale)
    assert scale >= 0


@settings(deadline=None, max_examples=1000)
@given(tables)
def test_encode_is_the_inverse_of_decode(table):
    numbers, scale = encode_int8(table)
    again, same = encode_int8(decode_int8(numbers, scale))
    np.testing.assert_array_equal(again, numbers)
    assert same == scale


@settings(deadline=None)
@given(st.integers(1, 2**15 - 2**10 - 1), st.integers(-127, 127))
def test_each_scale_in_fp16_with_its_full_range_is_kept(bits, number):
    scale = np.uint16(bits).view(np.float16)
    numbers = np.array([number, 127], dtype=np.int8)
    again, same = encode_int8(decode_int8(numbers, scale))
    assert (again.tolist(), same) == (numbers.tolist(), scale)


def test_halves_go_to_the_even_number():
    numbers, scale = encode_int8(np.array([127, 0.5, 1.5, -0.5, -2.5], np.float32))
    assert (numbers.tolist(), scale) == ([127, 0, 2, 0, -2], 1)


def test_a_table_of_zeros_has_no_scale():
    for table in (np.zeros((2, 3), np.float32), np.full((2, 3), -0.0, np.float32), np.full((2, 3), 1e-9, np.float32)):
        numbers, scale = encode_int8(table)
        assert (numbers.any(), scale, np.signbit(scale)) == (False, 0, False)
        assert numbers.shape == (2, 3)
        assert not decode_int8(numbers, scale).any()


def test_numbers_beyond_fp16_become_its_largest():
    table = np.array([1e9, -3e38, 65504, 65519.99, -1.5, 1e-9], dtype=np.float32)
    assert encode_half(table).tolist() == [65504, -65504, 65504, 65504, -1.5, 0]
    assert decode_half(encode_half(table)).dtype == np.float32


def test_numbers_beyond_int8_become_its_largest():
    numbers, scale = encode_int8(np.array([3e38, -3e38, 65504], dtype=np.float32))
    assert (numbers.tolist(), scale) == ([127, -127, 1], 65504)


@pytest.mark.parametrize(("value_bytes", "scale"), [(HALF, None), (INT8, 4), (FLOAT, None)])
def test_tables_are_written_to_their_place_and_nowhere_else(value_bytes, scale):
    table = np.array([[127, 2, 3], [4, 5, 6]], dtype=np.float32) + (value_bytes == FLOAT) * np.float32(0.1)
    values, codes = np.zeros(40, np.float16), np.zeros(40, np.uint8)
    values[:], codes[:] = 99, 99
    place = TableLayout((2, 3), 7, value_bytes, scale)
    write_table(table, place, values, codes)
    np.testing.assert_array_equal(read_table(place, values, codes), table)
    stored, other = (values, codes) if value_bytes == HALF else (codes, values)
    size = 4 * 6 if value_bytes == FLOAT else 6
    assert (stored != 99).nonzero()[0].tolist() == list(range(7, 7 + size))
    assert (other != 99).nonzero()[0].tolist() == ([] if scale is None else [4])
    assert place.nbytes == {HALF: 12, INT8: 8, FLOAT: 24}[value_bytes]


def test_numbers_in_fp32_stay_as_they_are():
    table = np.array([3e38, -1e-45, 0.1, 1e-30], dtype=np.float32)
    assert as_stored(table, FLOAT).tolist() == table.tolist()
