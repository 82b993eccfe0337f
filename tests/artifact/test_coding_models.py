"""Frequencies in few bytes: what they add up to, how near they are to the counts, and descriptions that are none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmcompress.artifact.coding_models import (
    LARGEST_FREQUENCY,
    bits_of,
    code_frequencies,
    coded_bits,
    describe_codes,
    describe_integers,
    frequencies_of,
    integer_frequencies,
)
from fmcompress.errors import ArtifactError

KINDS = st.integers(2, 4096)


def sound(frequencies, kinds):
    assert len(frequencies) == kinds
    assert frequencies.sum() == 2**14
    assert frequencies.min() >= 1
    assert frequencies.max() <= LARGEST_FREQUENCY


def not_free(counts):
    """Return the bits that a symbol takes which is nearly always the same."""
    return 0.023 * counts.sum() if counts.max() > 0.95 * counts.sum() else 0


@settings(deadline=None)
@given(weights=st.lists(st.integers(0, 2**31), min_size=2, max_size=40).filter(any))
def test_frequencies_are_in_proportion_to_weights(weights):
    found = frequencies_of(weights)
    sound(found, len(weights))
    shares = np.array(weights) / sum(weights) * 2**14
    kept = shares < LARGEST_FREQUENCY - 2 * len(weights)
    if kept.all():
        assert (np.abs(found - shares) <= 2 + shares * len(weights) / 2**14).all()


@settings(deadline=None)
@given(kinds=KINDS, mask=st.integers(0, 7), rises=st.lists(st.integers(0, 255), min_size=4, max_size=4))
def test_costs_rise_from_knot_to_knot(kinds, mask, rises):
    data = bytes([240 + mask, *rises[: mask.bit_count() + 1]]) if mask else bytes([rises[0] % 240])
    found, end = code_frequencies(b"?" + data + b"?", 1, kinds)
    assert end == 1 + len(data)
    sound(found, kinds)


def test_frequencies_as_the_specification_tells_them():
    uniform, _ = code_frequencies(b"\0", 0, 256)
    assert uniform.tolist() == [64] * 256
    halves, _ = code_frequencies(bytes([32]), 0, 3)  # weights 1, 1/2, 1/4
    assert halves.tolist() == [9362, 4681, 2341]
    knots, _ = code_frequencies(bytes([242, 16, 0]), 0, 8)  # one bit more at rank 2, and no more from there
    costs = [0, 8, 16, 16, 16, 16, 16, 16]
    weights = {0: 32768, 8: 23170, 16: 16384}
    assert knots.tolist() == frequencies_of([weights[cost] for cost in costs]).tolist()
    laplace = integer_frequencies(0, 1)  # 2^15 / 256 = 128 units are 8 bits
    assert laplace.tolist() == frequencies_of([128, 32768, 128]).tolist()


@pytest.mark.parametrize("data", [b"", b"\xf0\1\1", b"\xf8\1\1", b"\xff\1\1", b"\xf1\1", b"\xf7\1\1\1"])
def test_descriptions_that_are_none_are_refused(data):
    with pytest.raises(ArtifactError, match="model of its codes"):
        code_frequencies(data, 0, 16)


@pytest.mark.parametrize("kinds", [2, 3, 4, 7, 16, 100, 256, 1000])
@pytest.mark.parametrize("steepness", [0.0, 1.0, 4.0, 12.0])
def test_descriptions_cost_little_more_than_the_entropy(kinds, steepness):
    shares = np.exp(-steepness * np.arange(kinds) / kinds)
    counts = np.sort(np.random.default_rng(0).multinomial(50_000, shares / shares.sum()))[::-1]
    data = describe_codes(counts)
    bits = bits_of(counts, code_frequencies(data, 0, kinds)[0])
    entropy = float(-(counts[counts > 0] * np.log2(counts[counts > 0] / 50_000)).sum())
    assert entropy <= bits <= 1.01 * entropy + kinds + 40 + not_free(counts)
    assert bits + 8 * len(data) <= 50_000 * (kinds - 1).bit_length() + 8
    assert coded_bits(counts) == pytest.approx(bits + 8 * len(data), rel=0.02, abs=60 + not_free(counts))


def test_nothing_to_code_takes_no_bits():
    assert coded_bits(np.array([5])) == 0
    assert coded_bits(np.zeros(7, dtype=np.int64)) == 0
    assert len(describe_codes(np.zeros(7, dtype=np.int64))) == 1


@pytest.mark.parametrize("largest", [1, 3, 31, 127])
@pytest.mark.parametrize("spread", [0.05, 0.3, 1.0])
def test_whole_numbers_cost_little_more_than_the_entropy(largest, spread):
    rng = np.random.default_rng(1)
    for drawn in (rng.laplace(size=4000), rng.normal(size=4000), rng.uniform(-3, 3, size=4000)):
        numbers = np.clip(np.rint(drawn * spread * largest), -largest, largest).astype(int)
        counts = np.bincount(numbers + largest, minlength=2 * largest + 1)
        described = describe_integers(counts)
        assert 0 <= described < 256
        frequencies = integer_frequencies(described, largest)
        sound(frequencies, 2 * largest + 1)
        entropy = float(-(counts[counts > 0] * np.log2(counts[counts > 0] / 4000)).sum())
        clipped = counts[0] + counts[-1]  # what lies at the ends is not foreseen
        assert (
            entropy
            <= bits_of(counts, frequencies)
            <= 1.06 * entropy + 4 * largest + 6 * clipped + 16 + not_free(counts)
        )
