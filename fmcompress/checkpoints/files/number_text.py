"""Numbers in text files, one row on each line: ``numpy.loadtxt`` by blocks, with an error that names the line."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import BinaryIO

import numpy as np

from fmcompress.checkpoints.reading_errors import quoted
from fmcompress.errors import CheckpointError
from fmcompress.types import Float32Array

_BLOCK_LINES = 8192


class NumberedLines:
    """The lines of a file, one after the other.

    Attributes:
        number: number of the line at hand, counted from 1.
        text: that line; empty after the last one.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._lines = enumerate(file, 1)
        self.number = 0
        self.text = b""
        self.advance()

    def advance(self) -> None:
        """Go to the next line."""
        self.number, self.text = next(self._lines, (self.number + 1, b""))

    def take(self) -> bytes:
        """Return the line at hand without spaces around it, and go to the next one."""
        text = self.text.strip()
        self.advance()
        return text

    def as_long_as(self, belongs: Callable[[bytes], bool]) -> Iterator[tuple[int, bytes]]:
        """Yield numbers and texts of lines, up to the first one that does not belong."""
        while self.text and belongs(self.text):
            yield self.number, self.text
            self.advance()


def read_rows(lines: Iterable[tuple[int, bytes]]) -> Float32Array:
    """Return the numbers of lines, float32 (lines, numbers in each); memory is little more than that.

    Args:
        lines: line numbers, for messages, and the numbers, separated by spaces.

    Raises:
        CheckpointError: something is no finite number, or a line has more or fewer of them than the first.
    """
    source = iter(lines)
    blocks: deque[Float32Array] = deque()
    width = 0
    while block := list(islice(source, _BLOCK_LINES)):
        width = width or len(block[0][1].split())
        blocks.append(_read_block(block, width))
    rows = np.empty((sum(map(len, blocks)), width), np.float32)
    start = 0
    while blocks:  # given back one by one, so that the numbers are never in memory twice
        numbers = blocks.popleft()
        rows[start : start + len(numbers)] = numbers
        start += len(numbers)
    return rows


def checked_parts(
    bias: Float32Array, linear: Float32Array, embeddings: Float32Array
) -> tuple[float, Float32Array, Float32Array]:
    """Return w_0, w and V, float32 (rows,) and (rows, dim), of the parts of a model in text.

    Args:
        bias: what was read of w_0, float32 (lines, numbers in each), as the others.
        linear: of w.
        embeddings: of V.

    Raises:
        CheckpointError: their shapes disagree.
    """
    if linear.shape != (len(embeddings), 1) or bias.shape != (1, 1):
        raise CheckpointError(
            f"it has biases of shape {bias.shape}, linear weights of {linear.shape} and embeddings of "
            f"{embeddings.shape}, expected (1, 1), (rows, 1) and (rows, dim)"
        )
    return float(bias[0, 0]), linear[:, 0], embeddings


def _read_block(block: list[tuple[int, bytes]], width: int) -> Float32Array:
    # A first line of another width is told apart here, because numpy warns of blocks without any numbers.
    if len(block[0][1].split()) == width > 0:
        try:
            numbers = np.loadtxt([text for _, text in block], np.float32, comments=None, ndmin=2, encoding="latin1")
        except ValueError:
            pass
        else:
            if numbers.shape == (len(block), width) and np.isfinite(numbers).all():
                return np.asarray(numbers, np.float32)
    raise _first_fault(block, width)


def _first_fault(block: list[tuple[int, bytes]], width: int) -> CheckpointError:
    for number, text in block:
        words = text.split()
        if len(words) != width or not words:
            return CheckpointError(f"line {number:,} has {len(words)} numbers, expected {width or 'one at least'}")
        for word in words:
            if not _is_number(word):
                return CheckpointError(f"line {number:,} has {quoted(word)}, expected a finite number")
    return CheckpointError(f"lines {block[0][0]:,} to {block[-1][0]:,} hold something that is no number")


def _is_number(word: bytes) -> bool:
    try:
        with np.errstate(over="ignore"):
            return b"_" not in word and bool(np.isfinite(np.float32(float(word))))
    except ValueError:
        return False
