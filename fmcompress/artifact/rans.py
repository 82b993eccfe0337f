"""Symbols in as few bits as their frequencies allow: an entropy coder, rANS with many lanes.

All parts of a file, each with frequencies of its own, are one stream: how many lanes there are, their states, then
words of 16 bits. Symbol i of a part belongs to lane i modulo the lanes, so that numpy takes one from each lane at once.
``docs/format.md`` is the specification; asymmetric numeral systems are of Jarek Duda, arXiv 1311.2540.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate

import numpy as np

from fmcompress.artifact.coding_models import FREQUENCY_BITS, bits_of
from fmcompress.errors import ArtifactError
from fmcompress.types import AnyArray, Int64Array, UInt16Array, UInt32Array

MOST_SYMBOLS_PER_BYTE = 352
"""No symbol takes less than what the largest frequency leaves, 1/44 of a bit."""

_MASK = (1 << FREQUENCY_BITS) - 1
_LOWEST = 1 << 16
_WORD_BITS = 16
_WORD_MASK = (1 << _WORD_BITS) - 1
_FULL_SHIFT = 2 * _WORD_BITS - FREQUENCY_BITS
_LANES_BYTES, _STATE_BYTES, _WORD_BYTES = 1, 4, 2
_BYTES_PER_LANE = 3072
_MOST_ROWS_BITS, _MOST_LANES_BITS = 14, 13
_FEW_LANES = 4  # a loop over symbols is faster then than one over rows of lanes
_FEW_SYMBOLS = 512  # are looked for, rather than looked up


def _lanes(parts: Sequence[tuple[UInt16Array, Int64Array]]) -> int:
    """Return the logarithm of the number of lanes: they take a thousandth of the bytes, and are enough for numpy."""
    symbols = sum(len(symbols) for symbols, _ in parts)
    bits = sum(bits_of(np.bincount(symbols, minlength=len(own)), own) for symbols, own in parts)
    affordable = int(bits / 8) // _BYTES_PER_LANE
    return min(max(affordable.bit_length() - 1, symbols.bit_length() - _MOST_ROWS_BITS, 0), _MOST_LANES_BITS)


def encode(parts: Sequence[tuple[UInt16Array, Int64Array]]) -> bytes:
    """Return the stream of some parts.

    Args:
        parts: of each its symbols, uint16 (symbols,), and their frequencies, int64 (kinds,). A part of one kind of
            symbols takes nothing.
    """
    parts = [(symbols, frequencies) for symbols, frequencies in parts if len(frequencies) > 1 and len(symbols)]
    if not parts:
        return b""
    lanes_bits = _lanes(parts)
    lanes = 1 << lanes_bits
    states, words = (_encoded_symbols if lanes <= _FEW_LANES else _encoded_rows)(parts, lanes)
    return bytes([lanes_bits]) + states.astype("<u4").tobytes() + words.astype("<u2").tobytes()


_Parts = Sequence[tuple[UInt16Array, Int64Array]]


def _encoded_rows(parts: _Parts, lanes: int) -> tuple[AnyArray, AnyArray]:
    """Encode a symbol of each lane at once, the last ones first; return the states and the words."""
    states = np.full(lanes, _LOWEST, dtype=np.uint64)
    words: list[AnyArray] = [np.empty(0, dtype=np.uint64)]
    for symbols, frequencies in reversed(parts):
        starts = (frequencies.cumsum() - frequencies).astype(np.uint64)
        widths = frequencies.astype(np.uint64)
        for at in reversed(range(0, len(symbols), lanes)):
            row = symbols[at : at + lanes]
            own = states[: len(row)]
            width = widths[row]
            full = (own >= width << np.uint64(_FULL_SHIFT)).nonzero()[0]
            if len(full):
                words.append(own[full] & np.uint64(_WORD_MASK))
                own[full] >>= np.uint64(_WORD_BITS)
            quotient, rest = np.divmod(own, width)
            own[...] = (quotient << np.uint64(FREQUENCY_BITS)) + rest + starts[row]
    return states, np.concatenate(words[::-1])


def _encoded_symbols(parts: _Parts, lanes: int) -> tuple[AnyArray, AnyArray]:
    """Encode one symbol after the other: the same as ``_encoded_rows``."""
    states, words = [_LOWEST] * lanes, []
    for symbols, frequencies in reversed(parts):
        starts, widths = (frequencies.cumsum() - frequencies).tolist(), frequencies.tolist()
        for number, symbol in zip(reversed(range(len(symbols))), symbols[::-1].tolist(), strict=True):
            state, width = states[number % lanes], widths[symbol]
            if state >= width << _FULL_SHIFT:
                words.append(state & _WORD_MASK)
                state >>= _WORD_BITS
            quotient, rest = divmod(state, width)
            states[number % lanes] = (quotient << FREQUENCY_BITS) + rest + starts[symbol]
    return np.array(states), np.array(words[::-1], dtype=np.uint16)


def decode(data: bytes | memoryview, parts: Sequence[tuple[int, Int64Array]]) -> list[UInt16Array]:
    """Return the symbols of each part of a stream, uint16 (symbols,) each: the inverse of ``encode``.

    Args:
        data: the stream, and nothing else.
        parts: of each the number of its symbols, and their frequencies, int64 (kinds,).

    Raises:
        ArtifactError: it is no stream of so many symbols.
    """
    symbols = sum(count for count, frequencies in parts if len(frequencies) > 1)
    lanes = 1 << min(data[0], _MOST_LANES_BITS + 1) if len(data) else 0
    rest = len(data) - _LANES_BYTES - lanes * _STATE_BYTES
    if not symbols:
        if len(data):
            raise ArtifactError("is damaged: its codes are too many")
        return [np.zeros(count, dtype=np.uint16) for count, _ in parts]
    if rest < 0 or rest % _WORD_BYTES or symbols > MOST_SYMBOLS_PER_BYTE * len(data):
        raise ArtifactError("is damaged: its codes are cut short")
    if lanes > 1 << _MOST_LANES_BITS:
        raise ArtifactError("is damaged: its codes cannot be decoded")
    states = np.frombuffer(data, dtype="<u4", offset=_LANES_BYTES, count=lanes).astype(np.uint32)
    words = np.frombuffer(data, dtype="<u2", offset=_LANES_BYTES + lanes * _STATE_BYTES)
    if (states < _LOWEST).any():
        raise ArtifactError("is damaged: its codes cannot be decoded")
    found, used, ends = (_by_symbols if lanes <= _FEW_LANES else _by_rows)(states, words, parts)
    if used != len(words) or any(end != _LOWEST for end in ends):
        raise ArtifactError("is damaged: its codes cannot be decoded")
    return found


_Decoded = tuple[list[UInt16Array], int, Iterable[int]]


def _by_rows(states: UInt32Array, words: UInt16Array, parts: Sequence[tuple[int, Int64Array]]) -> _Decoded:
    """Decode a symbol of each lane at once; return the symbols, the words used, and the states at the end."""
    found = []
    at = 0
    for count, frequencies in parts:
        if len(frequencies) < 2:
            found.append(np.zeros(count, dtype=np.uint16))
            continue
        slots = np.empty(count, dtype=np.uint16)
        at = _slots(states, words, at, slots, frequencies)
        found.append(_symbols(slots, frequencies))
    return found, at, states.tolist()


def _slots(states: UInt32Array, words: UInt16Array, at: int, slots: UInt16Array, frequencies: Int64Array) -> int:
    """Fill in the slots of a part's symbols, uint16 (symbols,), row by row; return the words used up to its end."""
    widths, offsets = _tables(frequencies)
    lanes = len(states)
    room = [np.empty(lanes, dtype=np.uint32) for _ in range(2)]
    places, below = np.empty(lanes, dtype=np.intp), np.empty(lanes, dtype=np.bool_)
    for start in range(0, len(slots), lanes):
        row = slots[start : start + lanes]
        own, place = states[: len(row)], places[: len(row)]
        width, offset = (numbers[: len(row)] for numbers in room)
        np.bitwise_and(own, _MASK, out=place, casting="unsafe")
        row[...] = place
        widths.take(place, out=width, mode="clip")
        offsets.take(place, out=offset, mode="clip")
        own >>= FREQUENCY_BITS
        own *= width
        own += offset
        needy = np.less(own, _LOWEST, out=below[: len(row)]).nonzero()[0]
        taken = words[at : at + len(needy)]
        at += len(needy)
        if len(taken) < len(needy):
            raise ArtifactError("is damaged: its codes are cut short")
        own[needy] = own[needy] << _WORD_BITS | taken
    return at


def _tables(frequencies: Int64Array) -> tuple[UInt32Array, UInt32Array]:
    """Return each slot's frequency, and its place among the slots of its symbol, uint32 (slots,) both."""
    starts = frequencies.cumsum() - frequencies
    offsets = np.arange(_MASK + 1, dtype=np.uint32) - np.repeat(starts.astype(np.uint32), frequencies)
    return np.repeat(frequencies.astype(np.uint32), frequencies), offsets


def _symbols(slots: UInt16Array, frequencies: Int64Array) -> UInt16Array:
    if len(slots) < _FEW_SYMBOLS:
        return frequencies.cumsum().searchsorted(slots, side="right").astype(np.uint16)
    return np.repeat(np.arange(len(frequencies), dtype=np.uint16), frequencies)[slots]


def _by_symbols(states: UInt32Array, words: UInt16Array, parts: Sequence[tuple[int, Int64Array]]) -> _Decoded:
    """Decode one symbol after the other: the same as ``_by_rows``."""
    own, rest = states.tolist(), words.tolist()
    rest.reverse()
    found = []
    try:
        for count, frequencies in parts:
            if len(frequencies) < 2:
                found.append(np.zeros(count, dtype=np.uint16))
                continue
            widths = frequencies.tolist()
            ends = list(accumulate(widths))
            symbols = [0] * count
            for number in range(count):
                lane = number % len(own)
                state = own[lane]
                slot = state & _MASK
                symbol = symbols[number] = bisect_right(ends, slot)
                state = widths[symbol] * (state >> FREQUENCY_BITS) + slot - ends[symbol] + widths[symbol]
                own[lane] = state if state >= _LOWEST else state << _WORD_BITS | rest.pop()
            found.append(np.array(symbols, dtype=np.uint16))
    except IndexError:
        raise ArtifactError("is damaged: its codes are cut short") from None
    return found, len(words) - len(rest), own
