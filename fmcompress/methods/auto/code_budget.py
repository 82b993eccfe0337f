"""What codes that are assigned anew may take: the file stays within its budget, and a bit has its price.

Rates are those of the codes as they are: −log2 of a codeword's share, all codewords having half a category more than
they have. Codes that take at most so many bits by these rates take at most as many when they are coded by their own
(Gibbs' inequality), so each block of categories can be held to its part of the room.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from fmcompress.artifact import Origin, pack_model
from fmcompress.artifact.coding_models import coded_bits
from fmcompress.fm.quantized_fm import QuantizedField, QuantizedFM
from fmcompress.types import Float32Array, Int64Array, UInt16Array

_KEPT_BACK = 0.004
"""Of the budget: numbers of codewords are coded too, and take more or less while they are tuned."""
_LEAST_PRICE = 0.5
_STEP = 2.0
_TRIES = 9
_USED = 0.99
_SMALL = 1e-30


@dataclass(frozen=True)
class Room:
    """What an artifact may take.

    Attributes:
        origin: what it says of itself.
        budget_bytes: its size at most.
    """

    origin: Origin
    budget_bytes: int

    def left(self, model: QuantizedFM) -> float:
        """Return the bytes that a model leaves, and less than 0 where it is too large; some are kept back."""
        return self.budget_bytes * (1 - _KEPT_BACK) - pack_model(model, self.origin).file_bytes

    def nearly_full(self, model: QuantizedFM) -> bool:
        """Return whether a model may soon be too large."""
        return self.left(model) < -0.75 * _KEPT_BACK * self.budget_bytes


@dataclass
class CodeBudget:
    """What all codes may take.

    Attributes:
        file: what the artifact may take.
        price: loss of all rows of the sample that a bit is worth; 0 before it is known.
        room: bits that codes may take more than they do, below 0 where they take too much.
        left: bits of the tiers that are still to be assigned.
        first: the price that has been found for the first block.
    """

    file: Room
    price: float = 0.0
    room: float = 0.0
    left: float = field(default=0.0, repr=False)
    first: float = field(default=0.0, repr=False)

    def begin(self, model: QuantizedFM, rows: int) -> None:
        """Measure a model whose codes are to be assigned anew on so many rows."""
        self.room = 8.0 * self.file.left(model)
        self.left = sum(map(_bits, model.fields))
        loss = sum(abs(tier.error) for tier in model.fields)
        self.price = max(loss, _SMALL) * rows / max(1.0, self.left)

    def of(self, tier: QuantizedField) -> TierBudget:
        """Return what a tier may take."""
        return TierBudget(self, rates_of(tier), 1 + self.room / max(1.0, self.left), len(tier.codes))

    def done(self, before: QuantizedField, after: QuantizedField) -> None:
        """Count what a tier takes now."""
        was, now = (_bits(tier) for tier in (before, after))
        self.room -= now - was
        self.left -= was


@dataclass
class TierBudget:
    """What the codes of a tier may take.

    Attributes:
        all_codes: what all of them may.
        rates: bits of each codeword of each of its codes, float32 (K,) each.
        share: of what they take, that they may.
        categories: their number.
    """

    all_codes: CodeBudget
    rates: list[Float32Array]
    share: float
    categories: int

    def bits(self, codes: UInt16Array) -> float:
        """Return what the codes of some categories, uint16 (n, codes), take."""
        return float(sum(own[column].sum(dtype=np.float64) for own, column in zip(self.rates, codes.T, strict=True)))

    def assigned(self, codes: UInt16Array, assign: Callable[[float], UInt16Array]) -> UInt16Array:
        """Return codes of a block that take what they may, uint16 (n, codes), at a price from the last one on.

        Args:
            codes: of the block as they are, uint16 (n, codes).
            assign: returns codes assigned at a price of a bit, uint16 (n, codes).
        """
        allowed, low, high = self.share * self.bits(codes), 0.0, math.inf
        price, best, most = self.all_codes.price, codes, -1.0
        for _ in range(_TRIES):
            found = assign(price)
            bits = self._bits_of(found)
            if bits > allowed:
                low = price
            else:
                high = price
                if bits > most:
                    best, most, self.all_codes.price = found, bits, price
                if bits >= _USED * allowed:
                    break
                if price <= _LEAST_PRICE * self.all_codes.first:
                    break
            price = math.sqrt(low * high) if low and high < math.inf else low * _STEP or high / _STEP
        self.all_codes.first = self.all_codes.first or self.all_codes.price
        return best

    def _bits_of(self, codes: UInt16Array) -> float:
        """Return what codes of a block take by the rates; of all categories by their own where that is less."""
        if len(codes) < self.categories:
            return self.bits(codes)
        own = (np.bincount(column, minlength=len(rate)) for rate, column in zip(self.rates, codes.T, strict=True))
        return min(self.bits(codes), sum(map(coded_bits, own)))


def rates_of(tier: QuantizedField) -> list[Float32Array]:
    """Return the bits of each codeword of each of a tier's codes, float32 (K,) each."""
    return [
        -np.log2((counts + 0.5) / (counts.sum() + 0.5 * len(counts))).astype(np.float32) for counts in _counts(tier)
    ]


def _counts(tier: QuantizedField) -> Iterator[Int64Array]:
    columns = [*tier.codes.T, *([tier.linear_codes] if len(tier.linear_codes) else [])]
    for column, size in zip(columns, tier.quantizer.code_sizes, strict=True):
        yield np.bincount(column, minlength=size)


def _bits(tier: QuantizedField) -> float:
    return sum(coded_bits(counts) for counts in _counts(tier))
