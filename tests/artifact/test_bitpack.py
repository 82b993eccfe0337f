"""Codes as bit streams: there and back, and bit for bit as drawn in the docstring."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmcompress.artifact import bitpack
from fmcompress.artifact.bitpack import pack, unpack

widths_of_rows = st.lists(st.integers(0, 12), min_size=1, max_size=40).map(tuple)


def random_codes(rows, widths, seed=0):
    rng = np.random.default_rng(seed)
    return np.stack([rng.integers(0, 1 << width, rows) for width in widths], axis=1).astype(np.uint16)


def plain_stream(codes, widths):
    """Put one bit after the other into one large number."""
    number = at = 0
    for row in codes.tolist():
        for code, width in zip(row, widths, strict=True):
            number |= code << at
            at += width
    return number.to_bytes((at + 7) // 8, "little")


@settings(deadline=None)
@given(rows=st.integers(0, 70), widths=widths_of_rows, seed=st.integers(0, 2**32 - 1))
def test_pack_puts_each_code_where_a_plain_packer_does_and_unpack_finds_it(rows, widths, seed):
    codes = random_codes(rows, widths, seed)
    before = codes.copy()
    stream = pack(codes, widths)
    assert stream.tobytes() == plain_stream(codes, widths)
    np.testing.assert_array_equal(unpack(stream, rows, widths), codes)
    np.testing.assert_array_equal(codes, before)


@pytest.mark.parametrize("widths", [(3,), (1, 0, 12), (8,) * 32 + (8,), (12,) * 9])
def test_chunks_join_without_a_seam(monkeypatch, widths):
    codes = random_codes(1001, widths)
    whole = pack(codes, widths)
    monkeypatch.setattr(bitpack, "_CHUNK_BITS", 100)
    np.testing.assert_array_equal(pack(codes, widths), whole)
    np.testing.assert_array_equal(unpack(whole, 1001, widths), codes)


def test_the_drawing_in_the_docstring():
    codes = np.array([[0b101, 0b10], [0b011, 0b01]], dtype=np.uint16)
    bits = "".join(f"{byte:08b}"[::-1] for byte in pack(codes, (3, 2)))
    assert bits == "1010111010000000"


def test_no_row_and_no_bit_need_no_byte():
    assert pack(np.empty((0, 2), np.uint16), (3, 4)).size == 0
    assert pack(np.zeros((5, 2), np.uint16), (0, 0)).size == 0
    assert pack(np.empty((5, 0), np.uint16), ()).size == 0
    assert unpack(np.empty(0, np.uint8), 5, (0, 0)).tolist() == [[0, 0]] * 5
    assert unpack(np.empty(0, np.uint8), 5, ()).shape == (5, 0)


def test_unpacking_many_rows_takes_little_more_than_the_codes():
    import tracemalloc

    widths = (8,) * 32
    stream = np.zeros(200_000 * 32, dtype=np.uint8)
    tracemalloc.start()
    codes = unpack(stream, 200_000, widths)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < codes.nbytes + 20_000_000
