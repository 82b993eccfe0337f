"""Keys to ids and back to bytes: every key has its rank, others none, and nothing that is damaged is believed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmcompress.errors import UsageError
from fmcompress.fm.hashed_keys import MOST_IN_A_BUCKET, HashedKeys, exact_bits, key_order
from fmcompress.fm.key_bits import _counted, mixed, unmixed

EXTREMES = [0, 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1]
key_lists = st.lists(st.integers(0, 2**64 - 1) | st.sampled_from(EXTREMES), max_size=60, unique=True)


def array(keys):
    return np.array(keys, dtype=np.uint64)


def decoded(data):
    return HashedKeys.decode(np.frombuffer(data, np.uint8))


def some_keys(count, seed=0):
    return np.unique(np.random.default_rng(seed).integers(0, 2**64, count, dtype=np.uint64))


@settings(deadline=None)
@given(keys=key_lists, bits=st.sampled_from([1, 3, 8, 16, 41, 64, "exact"]), others=key_lists)
def test_each_key_has_its_rank_and_others_have_none(keys, bits, others):
    found = decoded(HashedKeys.of(array(keys), bits).encode())
    ordered = array(keys)[key_order(array(keys))]
    assert found.find(ordered).tolist() == list(range(len(keys)))
    assert found.find(ordered.view(np.int64)).tolist() == list(range(len(keys)))
    unknown = array(sorted(set(others) - set(keys)))
    hits = found.find(unknown)
    assert ((hits >= -1) & (hits < max(1, len(keys)))).all()
    if not found.false_hit:
        assert (hits == -1).all()


@pytest.mark.parametrize("bits", [1, 5, 16, 38, "exact"])
def test_keys_that_share_bucket_and_check_are_told_apart(bits):
    keys = some_keys(20_000)
    found = decoded(HashedKeys.of(keys, bits).encode())
    assert (found.find(keys[key_order(keys)]) == np.arange(len(keys))).all()
    assert (found.in_full > 0) == (bits in (1, 5))
    assert found.check_bits == (exact_bits(len(keys)) if bits == "exact" else bits)


@pytest.mark.parametrize(("bits", "most"), [(4, 1.2), (8, 1.2), (16, 2), ("exact", 0)])
def test_unknown_keys_are_seldom_taken_for_known_ones(bits, most):
    found = HashedKeys.of(some_keys(50_000), bits)
    unknown = np.setdiff1d(some_keys(200_000, seed=1), some_keys(50_000))
    assert (found.find(unknown) >= 0).mean() <= most * found.false_hit


@pytest.mark.parametrize("count", [1, 2, 3, 1000, 100_000])
def test_it_takes_18_bits_a_key(count):
    keys = some_keys(count)
    found = HashedKeys.of(keys)
    filling = 24 + 16 + 2 * 8
    assert 18 * count <= 8 * found.nbytes <= 18 * count + 8 * (filling + 12 * found.in_full)
    assert HashedKeys.of(np.random.default_rng(0).permutation(keys)).encode() == found.encode()
    assert HashedKeys.of(keys.view(np.int64)).encode() == found.encode()


def test_smaller_integers_are_keys_too():
    found = HashedKeys.of(np.arange(-5, 5, dtype=np.int16))
    assert sorted(found.find(np.arange(-5, 5, dtype=np.int8))) == list(range(10))
    assert found.find(array([2**64 - 5])).tolist() == found.find(np.array([-5])).tolist()


def test_mixing_is_undone():
    keys = np.concatenate([some_keys(1000), array(EXTREMES)])
    assert (unmixed(mixed(keys)) == keys).all()
    assert len(np.unique(mixed(keys))) == len(np.unique(keys))


def test_bits_are_counted_without_numpy_2():
    assert _counted(array([0, 1, 2**64 - 1, 0xF0F0])).tolist() == [0, 1, 64, 8]


@pytest.mark.parametrize(
    ("keys", "bits", "message"),
    [
        (np.array([3, -1, 3]), 16, "key 3 is there twice"),
        (array([2**64 - 1, 2**64 - 1]), 16, f"key {2**64 - 1} is there twice"),
        (np.array([1.5]), 16, "keys are of type float64"),
        (np.zeros((2, 2), np.int64), 16, "expected whole numbers"),
        (np.arange(3), 0, "check_bits is 0"),
        (np.arange(3), 65, "check_bits is 65"),
        (unmixed(np.arange(1, 100, dtype=np.uint64)), 16, "too many of the keys"),
    ],
)
def test_keys_that_cannot_be_are_refused(keys, bits, message):
    with pytest.raises(UsageError, match=message):
        HashedKeys.of(keys, bits)


def test_as_many_as_fit_share_a_bucket():
    keys = unmixed(np.arange(1, MOST_IN_A_BUCKET + 1, dtype=np.uint64))
    for bits in (1, 16, "exact"):
        found = decoded(HashedKeys.of(keys, bits).encode())
        assert found.find(keys).tolist() == list(range(MOST_IN_A_BUCKET))


@pytest.mark.parametrize("place", range(7))
def test_it_is_read_wherever_it_lies(place):
    data = HashedKeys.of(some_keys(500)).encode()
    moved = np.frombuffer(bytes(place) + data, np.uint8)[place:]
    keys = some_keys(500)
    assert (HashedKeys.decode(moved).find(keys[key_order(keys)]) == np.arange(500)).all()


def test_damaged_bytes_are_refused_or_harmless():
    keys, random = some_keys(300), np.random.default_rng(2)
    whole = HashedKeys.of(keys, 4).encode()
    refused = 0
    for size in (0, 8, 23, 24, 40, len(whole) - 1):
        with pytest.raises(ValueError, match="vocabulary"):
            decoded(whole[:size])
    for _ in range(600):
        data = bytearray(whole)
        for _ in range(random.integers(1, 4)):
            data[random.integers(len(data))] = random.integers(256)
        try:
            found = decoded(bytes(data)).find(keys)
        except ValueError:
            refused += 1
        else:
            assert ((found >= -1) & (found < 300)).all()
    assert refused > 100


@pytest.mark.parametrize("numbers", [(2**31, 16, 0), (2**63, 1, 0), (10, 0, 0), (10, 65, 0), (10, 16, 11)])
def test_sizes_that_cannot_be_are_refused(numbers):
    with pytest.raises(ValueError, match="vocabulary"):
        decoded(np.array(numbers, "<u8").tobytes() + bytes(1000))
