"""Starting several processes as torchrun does: this one keeps what they tell each other, as torchrun does, too."""

import os
import subprocess
import sys
from datetime import timedelta

from torch.distributed import TCPStore

_STORES = []


def environment(rank, size, port):
    told = {
        "RANK": rank,
        "WORLD_SIZE": size,
        "LOCAL_RANK": rank,
        "LOCAL_WORLD_SIZE": size,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "TORCHELASTIC_RUN_ID": "test",
        "TORCHELASTIC_USE_AGENT_STORE": True,
        "TORCHELASTIC_RESTART_COUNT": 0,
        "OMP_NUM_THREADS": 1,
    }
    return os.environ | {name: str(value) for name, value in told.items()}


def start(*command, size=2, folder=None):
    """Start Python with this command line, once for each process."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=60))
    _STORES[:] = [store]  # it lives as long as the processes do
    return [
        subprocess.Popen(
            [sys.executable, *map(str, command)],
            env=environment(rank, size, store.port),
            cwd=folder,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for rank in range(size)
    ]


def run(*command, size=2, folder=None):
    """Run Python so, and return exit code, output and errors of each process."""
    started = start(*command, size=size, folder=folder)
    said = [process.communicate(timeout=120) for process in started]
    return [(process.returncode, *texts) for process, texts in zip(started, said, strict=True)]
