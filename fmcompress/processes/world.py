"""Which of the processes of a run this is, and what they tell each other.

A run is of several processes where ``torchrun`` has started it, and a command has joined them, see ``joining``. Else
this process is alone: nothing is told to anybody, everything is returned as it was given, and torch is not imported.

All processes call the same functions of this module in the same order. What they get is the same in all of them, bit
by bit, and for a given number of processes it is the same in each run.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from fmcompress.errors import ProcessError

if TYPE_CHECKING:
    from torch import Tensor

    from fmcompress.types import AnyArray, UInt8Array

Told = TypeVar("Told")


class Board(Protocol):
    """Keeps what is written on it for all processes of a run, also for those that come later."""

    def set(self, key: str, value: str) -> None:
        """Write."""

    def check(self, keys: list[str]) -> bool:
        """Return whether all of these have been written."""

    def compare_set(self, key: str, expected: str, desired: str) -> bytes:
        """Write unless something else than ``expected`` has been written, and return what stands there then."""


_DONE = "done"
ENDED = "ended"
"""What a process that ends writes its last word under."""

_LEAST_PAUSE_S, _LONGEST_PAUSE_S = 0.002, 0.2


@dataclass(frozen=True)
class World:
    """The processes of a run.

    Attributes:
        rank: which this is, counted from 0; the first alone tells of progress and writes files.
        size: how many there are.
        board: of what is told while not all of them listen; None where there is one.
    """

    rank: int = 0
    size: int = 1
    board: Board | None = None

    @property
    def alone(self) -> bool:
        """Whether there is no other process."""
        return self.size == 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and tells."""
        return self.rank == 0

    def share(self, total: int) -> slice:
        """Return which of so many things are this process's; the shares of all follow each other."""
        return slice(total * self.rank // self.size, total * (self.rank + 1) // self.size)

    def add_up(self, tensor: Tensor) -> None:
        """Put in place of a tensor the sum of those of all processes, of the same dtype and shape."""
        if self.alone:
            return
        import torch.distributed as dist

        with _listening():
            dist.all_reduce(tensor)

    def total(self, array: AnyArray) -> AnyArray:
        """Return the sum of the arrays of all processes, any shape, of numbers of 32 or 64 bits, the same dtype."""
        if self.alone:
            return array
        import numpy as np
        import torch

        summed = torch.from_numpy(np.array(array))
        self.add_up(summed)
        return summed.numpy()

    def gather(self, array: AnyArray) -> list[AnyArray]:
        """Return the arrays of all processes, of one dtype and of one shape, (n, …), but for n."""
        if self.alone:
            return [array]
        return self.exchange([array] * self.size)

    def joined(self, array: AnyArray) -> AnyArray:
        """Return the arrays of all processes one after the other, of one dtype and of one shape, (n, …), but for n."""
        if self.alone:
            return array
        import numpy as np

        return np.concatenate(self.gather(array))

    def exchange(self, arrays: Sequence[AnyArray]) -> list[AnyArray]:
        """Send an array to each process, and return what each has sent to this one.

        Args:
            arrays: for each process, of one dtype and of one shape, (n, …), but for n.
        """
        if self.alone:
            return list(arrays)
        import numpy as np
        import torch
        import torch.distributed as dist

        first = arrays[0]
        row_bytes = first.dtype.itemsize * int(np.prod(first.shape[1:]))
        lengths = [len(array) for array in arrays]
        told, coming = torch.tensor(lengths), torch.empty(self.size, dtype=torch.int64)
        with _listening():
            dist.all_to_all_single(coming, told)
        sizes = [row_bytes * length for length in coming.tolist()]
        received = torch.empty(sum(sizes), dtype=torch.uint8)
        sent = torch.from_numpy(np.concatenate([_bytes_of(array) for array in arrays]))
        with _listening():
            dist.all_to_all_single(received, sent, sizes, [row_bytes * length for length in lengths])
        parts = np.split(received.numpy(), np.cumsum(sizes)[:-1])
        return [part.view(first.dtype).reshape(-1, *first.shape[1:]) for part in parts]

    def gather_objects(self, told: Told) -> list[Told]:
        """Return what each process tells: anything that can be pickled."""
        if self.alone:
            return [told]
        import numpy as np

        content = np.frombuffer(pickle.dumps(told, protocol=pickle.HIGHEST_PROTOCOL), dtype=np.uint8)
        # From the processes of this run alone, never from a file.
        found: list[Told] = [pickle.loads(part.tobytes()) for part in self.gather(content)]  # noqa: S301
        return found

    def of_first(self, told: Told) -> Told:
        """Return what the first process tells: anything that can be pickled; that of the others is not looked at."""
        if self.alone:
            return told
        import numpy as np

        content = np.zeros(0, dtype=np.uint8)
        if self.first:
            content = np.frombuffer(pickle.dumps(told, protocol=pickle.HIGHEST_PROTOCOL), dtype=np.uint8)
        received = self._broadcast(content)
        found: Told = told if self.first else pickle.loads(received.tobytes())  # noqa: S301
        return found

    def first_gives(self, work: Callable[[], Told]) -> Told:
        """Return what a short work returns, which the first process does, and for which the others wait."""
        if self.alone:
            return work()
        found: Any = work() if self.first else None
        result: Told = self.of_first(found)
        return result

    def spread(self, tensors: Sequence[Tensor]) -> None:
        """Put in place of tensors those of the first process, of the same dtypes and shapes."""
        if self.alone:
            return
        import torch.distributed as dist

        for tensor in tensors:
            with _listening():
                dist.broadcast(tensor, 0)

    def first_does(self, work: Callable[[], Told]) -> Told:
        """Return what a work returns, which the first process does, as if alone, while the others wait for it."""
        if self.alone:
            return work()
        found: Any = None
        if self.first:
            with one_of(_ALONE):
                found = work()
        self._wait_for_first()
        result: Told = self.of_first(found)
        return result

    def _wait_for_first(self) -> None:
        """Wait as long as it takes: who listens to a process gives up after some time."""
        key, pause = f"{_DONE}/{next(_waits)}", _LEAST_PAUSE_S
        if self.board is None:
            return
        with _listening():
            if self.first:
                self.board.set(key, "")
            while not self.board.check([key]):
                if self.board.check([ENDED]):
                    raise ProcessError("another process of the run ended")
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _broadcast(self, content: UInt8Array) -> UInt8Array:
        import torch
        import torch.distributed as dist

        length = torch.tensor([len(content)])
        with _listening():
            dist.broadcast(length, 0)
        found = torch.from_numpy(content.copy()) if self.first else torch.empty(int(length), dtype=torch.uint8)
        with _listening():
            dist.broadcast(found, 0)
        return found.numpy()


_ALONE = World()


_waits = count()
_HERE: ContextVar[World] = ContextVar("world", default=_ALONE)


def this_process() -> World:
    """Return which process this is, of how many; alone where it has joined no others, and in threads beside."""
    return _HERE.get()


@contextmanager
def one_of(world: World) -> Iterator[World]:
    """Let this process be one of several, or alone, in a block."""
    token = _HERE.set(world)
    try:
        yield world
    finally:
        _HERE.reset(token)


@contextmanager
def _listening() -> Iterator[None]:
    """Turn what torch raises where another process does not answer into the error for that."""
    try:
        yield
    except RuntimeError as error:  # those of torch.distributed derive from it
        raise ProcessError("another process of the run ended") from error


def _bytes_of(array: AnyArray) -> UInt8Array:
    import numpy as np

    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
