"""Work on fields and subspaces side by side, one thread each.

faiss and BLAS split such small problems among threads badly, and the split changes the last bits of the
result. So each of them keeps to one thread, and the result does not depend on the number of cores.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from fmcompress.cores import usable_cores
from fmcompress.devices.working import work_on, working_device
from fmcompress.processes.world import this_process
from fmcompress.progress import Progress
from fmcompress.quantization import kmeans

Result = TypeVar("Result")

# Each thread holds one field's vectors: more threads than this would hold too many at once.
_MOST_THREADS = 8


def side_by_side(works: Sequence[Callable[[], Result]], *, title: str, progress: Progress) -> Iterator[Result]:
    """Yield the result of each work, in their order; of several processes each does some, and gets all results.

    Args:
        works: functions to be called from several threads.
        title: what they do together, for progress.
        progress: told of each work that is done.
    """
    world = this_process()
    if world.alone:
        yield from in_threads(works, title=title, progress=progress)
        return
    # Neighbours are alike, so that each process gets some of all kinds.
    order = np.random.default_rng(len(works)).permutation(len(works)).tolist()
    own = [works[number] for number in order[world.rank :: world.size]]
    found = world.gather_objects(list(in_threads(own, title=title, progress=progress)))
    places = {number: divmod(place, world.size) for place, number in enumerate(order)}
    for number in range(len(works)):
        place, rank = places[number]
        yield found[rank][place]


def in_threads(works: Sequence[Callable[[], Result]], *, title: str, progress: Progress) -> Iterator[Result]:
    """Yield the result of each work, in their order, all of them done by this process.

    Args:
        works: functions to be called from several threads.
        title: what they do together, for progress.
        progress: told of each work that is done.
    """
    kmeans.load()  # now, or limits would not reach the libraries that it brings
    # OpenMP keeps a number for each thread, and torch and faiss bring one OpenMP each: so each thread is limited.
    pool = ThreadPoolExecutor(min(_MOST_THREADS, usable_cores()), initializer=_begin, initargs=(working_device(),))
    progress.start(title, len(works))
    try:
        with threadpool_limits(1):
            for result in pool.map(_call, works):
                progress.advance()
                yield result
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    progress.finish()


def _begin(device: str | None) -> None:
    """Let a thread's libraries keep to one thread, and its heavy work be done where that of its caller is."""
    threadpool_limits(1)
    work_on(device)


def _call(work: Callable[[], Result]) -> Result:
    return work()
