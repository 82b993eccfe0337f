"""Joining the processes that ``torchrun`` has started for one job, and telling the others why this one ends."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

from fmcompress.cores import share_cores
from fmcompress.errors import ProcessError
from fmcompress.processes.world import ENDED, World, one_of

# What torchrun says to each process that it starts; the last is of torchrun alone, and of no scheduler of jobs.
_TOLD = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID")

SILENT_S = 1800
"""Seconds after which a process that is not heard of counts as ended. One that is killed is missed at once."""


def started_by_torchrun(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether torchrun has started this process as one of several."""
    return all(name in environment for name in _TOLD) and environment["WORLD_SIZE"] != "1"


@contextmanager
def joined(environment: Mapping[str, str] = os.environ) -> Iterator[World]:
    """Join the other processes of the run for a block; a process that is alone joins nothing, and imports no torch.

    Args:
        environment: what torchrun says to each process.

    Raises:
        ProcessError: another process does not answer.
    """
    if not started_by_torchrun(environment):
        yield World()
        return
    world = _join(environment)
    with one_of(world):
        yield world
    _part(world)


def _join(environment: Mapping[str, str]) -> World:
    import torch
    import torch.distributed as dist
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    if not dist.is_available() or not dist.is_gloo_available():
        raise ProcessError("this torch cannot join processes: it is built without torch.distributed and gloo")
    share_cores(int(environment["LOCAL_WORLD_SIZE"]))
    backend, own = "cpu:gloo", int(environment["LOCAL_RANK"])
    if torch.cuda.is_available() and dist.is_nccl_available() and own < torch.cuda.device_count():
        torch.cuda.set_device(own)
        backend += ",cuda:nccl"
    patience = timedelta(seconds=SILENT_S)
    try:
        store, rank, size = next(iter(rendezvous("env://", timeout=patience)))
        told = PrefixStore("fmcompress", store)
        dist.init_process_group(backend, store=told, rank=rank, world_size=size, timeout=patience)
    except (RuntimeError, ValueError) as error:
        raise ProcessError(f"the processes of the run cannot be joined: {str(error).splitlines()[0]}") from error
    return World(rank, size, told)


def _part(world: World) -> None:
    """Leave the others, once all have come to the end."""
    import torch.distributed as dist

    world.gather_objects(None)
    dist.destroy_process_group()


def first_word(world: World, message: str) -> str:
    """Tell the others why this process ends, and return what the first that ended has said: perhaps this message.

    Args:
        world: the processes of the run.
        message: why; empty asks only, and is returned where none has said anything.
    """
    if world.board is None:
        return message
    try:
        # Who ended without a word said nothing: an empty text stands for that too.
        return world.board.compare_set(ENDED, "", message).decode()
    except RuntimeError:  # there is nobody left who keeps what is said
        return message
