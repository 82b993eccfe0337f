"""Work on fields side by side, one thread per field.

faiss and BLAS split a field's small problems among threads badly, and the split changes the last bits of the
result. So each of them keeps to one thread, and the result does not depend on the number of cores.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_limits

from fmcompress.quantization import kmeans

Result = TypeVar("Result")

# Each thread holds one field's vectors: more threads than this would hold too many at once.
_MOST_THREADS = 8


def for_each_field(work: Callable[[int], Result], fields: int) -> Iterator[Result]:
    """Yield ``work(field)`` for each field number, in their order.

    Args:
        work: a function of the number of a field, to be called from several threads.
        fields: number of fields.
    """

    def single_threaded(field: int) -> Result:
        kmeans.use_one_thread()
        return work(field)

    pool = ThreadPoolExecutor(min(_MOST_THREADS, _cores(), fields))
    try:
        with threadpool_limits(1):
            yield from pool.map(single_threaded, range(fields))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _cores() -> int:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
