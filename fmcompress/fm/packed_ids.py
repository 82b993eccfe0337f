"""Category ids as a stream of bits, of which any are read where they lie.

8 bytes      width w of an id in bits, little-endian
the ids      of w bits each, least significant bit first, filled up to 8 bytes
16 bytes     zeros
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fmcompress.fm.key_bits import Words, packed_numbers
from fmcompress.fm.schema import MAX_CATEGORIES
from fmcompress.types import Int64Array, UInt8Array

_HEAD_BYTES, _TAIL_BYTES = 8, 16
_MOST_BITS = MAX_CATEGORIES.bit_length()
_CHUNK_IDS = 1 << 20


@dataclass(frozen=True, eq=False)
class PackedIds:
    """Ids of categories.

    Attributes:
        count: number of ids.
        width: bits of each.
        data: everything, uint8 (bytes,).
    """

    count: int
    width: int
    data: UInt8Array

    @classmethod
    def of(cls, ids: Int64Array) -> PackedIds:
        """Return ids, int64 (ids,), none below 0, packed in as few bits each as they need."""
        width = max(1, int(ids.max(initial=0)).bit_length())
        stream = packed_numbers(ids.astype(np.uint64), width)
        head = np.array([width], "<u8").view(np.uint8)
        return cls(len(ids), width, np.concatenate([head, stream, np.zeros(-len(stream) % 8 + _TAIL_BYTES, np.uint8)]))

    @classmethod
    def decode(cls, data: UInt8Array, count: int) -> PackedIds:
        """Return the ids that bytes hold, uint8 (bytes,), which are used where they lie.

        Raises:
            ValueError: they are damaged.
        """
        width = int.from_bytes(data[:_HEAD_BYTES].tobytes(), "little")
        end = _HEAD_BYTES + (count * width + 63) // 64 * 8
        if not 1 <= width <= _MOST_BITS or len(data) != end + _TAIL_BYTES:
            raise ValueError("a vocabulary is damaged: the ids of its keys have not the size that they say")
        filling = data[_HEAD_BYTES + count * width // 8 :].tolist()
        if filling[0] >> count * width % 8 or any(filling[1:]):
            raise ValueError("a vocabulary is damaged: the ids of its keys are not filled up with zeros")
        return cls(count, width, data.view(np.ndarray))

    @cached_property
    def extremes(self) -> tuple[int, int]:
        """The least and the largest id."""
        chunks = [(int(chunk.min()), int(chunk.max())) for chunk in self._chunks()]
        return min(least for least, _ in chunks), max(largest for _, largest in chunks)

    def at(self, places: Int64Array) -> Int64Array:
        """Return the ids at places, int64 (places,) both."""
        mask = np.uint64((1 << self.width) - 1)
        return (self._words.at(places * self.width) & mask).astype(np.int64)

    @cached_property
    def _words(self) -> Words:
        return Words(self.data, _HEAD_BYTES)

    def _chunks(self) -> Iterator[Int64Array]:
        for start in range(0, self.count, _CHUNK_IDS):
            yield self.at(np.arange(start, min(start + _CHUNK_IDS, self.count)))
