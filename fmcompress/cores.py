"""How many cores there are for work side by side."""

import os

_processes = [1]


def usable_cores() -> int:
    """Return how many cores this process may use; those of a machine are shared by the processes of a run on it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // _processes[-1])


def share_cores(processes: int) -> None:
    """Let so many processes of a run share the cores of this machine."""
    _processes[-1] = processes
