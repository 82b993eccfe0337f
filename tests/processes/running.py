"""Starting several processes as torchrun does, without the one that watches over them: that is half the time."""

import os
import socket
import subprocess
import sys


def environment(rank, size, port):
    told = {
        "RANK": rank,
        "WORLD_SIZE": size,
        "LOCAL_RANK": rank,
        "LOCAL_WORLD_SIZE": size,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "TORCHELASTIC_RUN_ID": "test",
        "OMP_NUM_THREADS": 1,
    }
    return os.environ | {name: str(value) for name, value in told.items()}


def start(*command, size=2, folder=None):
    """Start Python with this command line, once for each process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [
        subprocess.Popen(
            [sys.executable, *map(str, command)],
            env=environment(rank, size, port),
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
