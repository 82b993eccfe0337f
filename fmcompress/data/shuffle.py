"""Rows in random order, through a buffer of bounded size."""

from collections.abc import Iterator

import numpy as np

from fmcompress.data.batch import Batch, concatenate
from fmcompress.data.rows import Rows

BUFFER_BYTES = 64 * 2**20


def shuffled(rows: Rows, batch_rows: int, *, seed: int, buffer_bytes: int = BUFFER_BYTES) -> Iterator[Batch]:
    """Yield all rows once, in random order, in batches of ``batch_rows`` (the last one may be shorter).

    Row groups, or chunks of text, are read in random order into a buffer; a full buffer is permuted and half of it
    goes out, so that rows mix across row groups. Data that fit the buffer are permuted perfectly. Memory: at most some
    three times ``buffer_bytes``, however many rows there are.

    Args:
        rows: the data.
        batch_rows: rows of a batch.
        seed: the same seed gives the same order.
        buffer_bytes: size of the buffer.
    """
    rng = np.random.default_rng(seed)
    row_bytes = 4 * (len(rows.schema.order) + 1)
    held: list[Batch] = []
    held_rows = 0
    for chunk in rows.batches(order=rng):
        held.append(chunk)
        held_rows += len(chunk)
        if chunk.bags:  # there is no telling how many values a row has
            row_bytes = sum(one.nbytes for one in held) // held_rows
        buffer_rows = max(2 * batch_rows, buffer_bytes // row_bytes)
        if held_rows >= buffer_rows:
            block = _permuted(held, rng)
            out_rows = max(1, held_rows // 2 // batch_rows) * batch_rows
            yield from _split(block.take(slice(out_rows)), batch_rows)
            held = [block.take(slice(out_rows, None))]
            held_rows -= out_rows
    if held_rows:
        yield from _split(_permuted(held, rng), batch_rows)


def _permuted(batches: list[Batch], rng: np.random.Generator) -> Batch:
    block = concatenate(batches)
    return block.take(rng.permutation(len(block)))


def _split(block: Batch, batch_rows: int) -> Iterator[Batch]:
    for start in range(0, len(block), batch_rows):
        yield block.take(slice(start, start + batch_rows))
