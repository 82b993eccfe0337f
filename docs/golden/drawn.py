"""Numbers that look random and are the same for ever: numpy may change what its generators draw."""

from __future__ import annotations

import hashlib

import numpy as np

from fmcompress.types import Float32Array, Int64Array


class Drawn:
    """Draws numbers from the digest of a name."""

    def __init__(self, name: str) -> None:
        """Begin with the first number of a name."""
        self._name, self._draws = name, 0

    def whole(self, below: int, *shape: int) -> Int64Array:
        """Return whole numbers from 0 to below − 1, int64 of a shape."""
        self._draws += 1
        count = int(np.prod(shape))
        digest = hashlib.shake_256(f"{self._name} {self._draws}".encode()).digest(4 * count)
        return (np.frombuffer(digest, "<u4").astype(np.int64) % below).reshape(shape)

    def numbers(self, *shape: int) -> Float32Array:
        """Return numbers from −0.5 to 0.5, float32 of a shape; multiples of 2⁻¹⁰, so that fp16 holds them exactly."""
        return ((self.whole(1025, *shape) - 512) / 1024).astype(np.float32)

    def shuffled(self, numbers: Int64Array) -> Int64Array:
        """Return numbers, int64 (n,), in another order."""
        return numbers[np.argsort(self.whole(2**31, len(numbers)), kind="stable")]
