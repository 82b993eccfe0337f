"""The entropy coder: there and back, what a plain reader of the specification finds, and damage."""

import struct
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmcompress.artifact import rans
from fmcompress.artifact.coding_models import bits_of, code_frequencies, describe_codes, frequencies_of
from fmcompress.artifact.rans import decode, encode
from fmcompress.errors import ArtifactError

SHAPES = ("uniform", "steep", "one", "random", "ends")


def counts_of(kinds, shape, rng):
    rank = np.arange(kinds)
    return {
        "uniform": np.ones(kinds),
        "steep": np.exp(-6.0 * rank / kinds),
        "one": np.where(rank == 0, 1.0, 1e-9),
        "random": rng.random(kinds),
        "ends": np.where((rank == 0) | (rank == kinds - 1), 1.0, 1e-6),
    }[shape]


def part(count, kinds, shape, seed=0):
    """Return symbols and the frequencies of a model of them."""
    rng = np.random.default_rng(seed)
    shares = counts_of(kinds, shape, rng)
    symbols = rng.choice(kinds, size=count, p=shares / shares.sum()).astype(np.uint16)
    if kinds == 1:
        return symbols, np.array([1 << 14])
    counts = np.bincount(symbols, minlength=kinds)
    frequencies = code_frequencies(describe_codes(counts), 0, kinds)[0] if seed % 2 else frequencies_of(counts + 1)
    return symbols, frequencies


def plain_decoder(data, parts):
    """Read a stream as docs/format.md says it, with whole numbers alone."""
    lanes = 1 << data[0]
    states = list(struct.unpack_from(f"<{lanes}I", data, 1))
    words = iter(struct.unpack(f"<{(len(data) - 1 - 4 * lanes) // 2}H", data[1 + 4 * lanes :]))
    found = []
    for count, frequencies in parts:
        starts = [0, *accumulate(map(int, frequencies))]
        symbols = []
        for number in range(count):
            state = states[number % lanes]
            slot = state % 2**14
            symbol = next(s for s in range(len(frequencies)) if starts[s] <= slot < starts[s + 1])
            state = int(frequencies[symbol]) * (state // 2**14) + slot - starts[symbol]
            states[number % lanes] = state if state >= 2**16 else state * 2**16 + next(words)
            symbols.append(symbol)
        found.append(symbols)
    assert list(words) == []
    assert states == [2**16] * lanes
    return found


def expected(parts):
    return [(len(symbols), frequencies) for symbols, frequencies in parts]


def same(found, parts):
    for symbols, (wanted, _) in zip(found, parts, strict=True):
        np.testing.assert_array_equal(symbols, wanted)


sketches = st.tuples(st.integers(0, 200), st.sampled_from([1, 2, 3, 5, 16, 100, 256]), st.sampled_from(SHAPES))


@settings(deadline=None, max_examples=60)
@given(sketches=st.lists(sketches, max_size=6), lanes=st.integers(0, 7), seed=st.integers(0, 1000))
def test_symbols_come_back_whatever_the_lanes_and_are_those_of_a_plain_reader(sketches, lanes, seed):
    parts = [part(*sketch, seed=seed + number) for number, sketch in enumerate(sketches)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rans, "_lanes", lambda _: lanes)
        data = encode(parts)
    same(decode(data, expected(parts)), parts)
    coded = [one for one in parts if len(one[1]) > 1 and len(one[0])]
    if coded:
        assert data[0] == lanes
        same(plain_decoder(data, expected(coded)), coded)
    else:
        assert data == b""


@pytest.mark.parametrize("shape", SHAPES)
def test_all_numbers_of_codewords(shape):
    parts = [part(40, kinds, shape, seed=kinds) for kinds in (*range(1, 70), *range(70, 4097, 291), 4095, 4096)]
    same(decode(encode(parts), expected(parts)), parts)


@pytest.mark.parametrize("lanes", range(14))
def test_all_numbers_of_lanes(monkeypatch, lanes):
    parts = [part(9001, 37, "steep"), part(1, 2, "uniform"), part(3000, 4096, "random", seed=1)]
    plain = decode(encode(parts), expected(parts))
    monkeypatch.setattr(rans, "_lanes", lambda _: lanes)
    data = encode(parts)
    assert data[0] == lanes
    same(decode(data, expected(parts)), parts)
    same(plain, parts)


def test_a_stream_takes_what_its_frequencies_say():
    parts = [part(60_000, 256, "steep", seed=1), part(60_000, 2, "steep"), part(60_000, 16, "uniform", seed=1)]
    said = sum(bits_of(np.bincount(symbols, minlength=len(own)), own) for symbols, own in parts) / 8
    assert said <= len(encode(parts)) <= 1.003 * said


def test_both_ways_of_coding_are_one(monkeypatch):
    parts = [part(500, 37, "steep"), part(77, 2, "uniform")]
    monkeypatch.setattr(rans, "_lanes", lambda _: 2)
    data = encode(parts)
    monkeypatch.setattr(rans, "_FEW_LANES", 0)
    assert encode(parts) == data
    same(decode(data, expected(parts)), parts)


def damaged(data, rng):
    """Yield streams that are something else."""
    for _ in range(60):
        changed = bytearray(data)
        changed[rng.integers(len(data))] ^= int(rng.integers(1, 256))
        yield bytes(changed)
    for size in (0, 1, 2, 5, len(data) // 2, len(data) - 2, len(data) - 1):
        yield data[:size]
    yield data + b"\0"
    yield data + b"\0\0"
    yield bytes(len(data))
    yield b"\xff" * len(data)


@pytest.mark.parametrize("few", [0, 8])
def test_damaged_streams_are_refused(monkeypatch, few):
    monkeypatch.setattr(rans, "_FEW_LANES", few)
    monkeypatch.setattr(rans, "_lanes", lambda _: 3)
    parts = [part(300, 37, "steep"), part(100, 255, "random", seed=1)]
    unlike = 0
    for stream in damaged(encode(parts), np.random.default_rng(0)):
        try:
            found = decode(stream, expected(parts))
        except ArtifactError:
            continue
        unlike += 1  # such a stream ends as it should, by chance
        assert all(symbols.max() < len(own) for symbols, (_, own) in zip(found, parts, strict=True))
    assert unlike <= 1


def test_a_short_stream_stands_for_few_symbols():
    steep = frequencies_of([10**9, 1])
    assert steep.tolist() == [2**14 - 2**8, 2**8]
    data = encode([(np.zeros(3000, np.uint16), steep)])
    with pytest.raises(ArtifactError, match="cut short"):
        decode(data, [(10**12, steep)])
    with pytest.raises(ArtifactError, match="too many"):
        decode(data, [(0, steep)])
