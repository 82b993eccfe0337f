"""What is found, and how it stands: Python, threads, memory and disks."""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from fmcompress.cores import usable_cores
from fmcompress.version import __version__

Status = Literal["ok", "warning", "problem"]

_GIB = 2**30
_LEAST_FREE_BYTES = _GIB  # of memory, and of a disk
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: of what was looked at: ``torch``, ``GPU``, ``memory``.
        text: what was found.
        status: ``warning`` where something will be slow or amiss, ``problem`` where a command cannot work.
        hint: what to do about it, or None.
    """

    name: str
    text: str
    status: Status = "ok"
    hint: str | None = None


def worst(findings: Iterable[Finding]) -> Status:
    """Return how things stand altogether."""
    return max((finding.status for finding in findings), key=get_args(Status).index, default="ok")


def home_as_tilde(text: str) -> str:
    """Return a text in which the home folder, which often has a person's name, is ``~``."""
    home = str(Path("~").expanduser())
    return text.replace(home, "~") if len(home) > 1 else text


def machine_findings() -> Iterator[Finding]:
    """Yield what the machine gives us, and its limits."""
    yield Finding("fmcompress", __version__)
    yield Finding("python", f"{platform.python_version()} {platform.python_implementation()}, {sys.executable}")
    yield Finding("platform", platform.platform())
    yield threads(usable_cores(), cpu_quota(_CGROUP), os.environ.get("OMP_NUM_THREADS"))
    yield memory(*memory_bytes(Path("/proc/meminfo"), _CGROUP))
    yield _current_folder()
    yield _temporary_folder()


def threads(usable: int, quota: float | None, set_to: str | None) -> Finding:
    """Return how many threads will run, and whether they outnumber the CPUs that the container may use at a time."""
    text = f"{usable} CPUs" + (f", OMP_NUM_THREADS={set_to}" if set_to else "")
    if quota is None or quota >= usable:
        return Finding("threads", text)
    text += f"; the container may use {quota:g} of them at a time"
    if set_to:
        return Finding("threads", text)
    hint = f"more threads than that wait for each other: set OMP_NUM_THREADS={max(1, int(quota))}"
    return Finding("threads", text, "warning", hint)


def cpu_quota(cgroup: Path) -> float | None:
    """Return how many CPUs a container may use at a time, or None where it has no limit."""
    words = _words(cgroup / "cpu.max")
    return int(words[0]) / int(words[1]) if len(words) == 2 and words[0].isdigit() else None


def memory(total: int | None, available: int | None) -> Finding:
    """Return how much memory there is, in bytes; None where the system does not say."""
    if total is None:
        return Finding("memory", "this system does not say")
    if available is None:
        return Finding("memory", _size(total))
    text = f"{_size(available)} of {_size(total)} free"
    if available >= _LEAST_FREE_BYTES:
        return Finding("memory", text)
    return Finding("memory", text, "warning", "quantize takes about twice the checkpoint's embeddings in fp32")


def memory_bytes(meminfo: Path, cgroup: Path) -> tuple[int | None, int | None]:
    """Return total and available memory; the limit of a container counts as the total."""
    words = _words(meminfo)  # "MemTotal:", "24643236", "kB", …
    try:
        total, available = (int(words[words.index(name) + 1]) * 1024 for name in ("MemTotal:", "MemAvailable:"))
    except ValueError:
        physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else None
        return physical, None
    limit, used = _words(cgroup / "memory.max"), _words(cgroup / "memory.current")
    if limit and limit[0].isdigit() and used:
        total, available = min(total, int(limit[0])), min(available, max(0, int(limit[0]) - int(used[0])))
    return total, available


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def _current_folder() -> Finding:
    try:
        folder = Path.cwd()
    except OSError:
        return Finding("current folder", "it has been deleted", "problem", "change to another folder")
    found = disk("current folder", folder)
    if os.access(folder, os.W_OK):
        return found
    return Finding(found.name, f"{found.text}, read-only", "warning", "outputs need -o with a file elsewhere")


def _temporary_folder() -> Finding:
    hint = "set TMPDIR to a folder that can be written"
    wanted = os.environ.get("TMPDIR")
    try:
        folder = Path(tempfile.gettempdir())
    except OSError as error:
        return Finding("temporary folder", str(error), "problem", hint)
    found = disk("temporary folder", folder)
    if not wanted or folder == Path(wanted).absolute():
        return found
    return Finding(found.name, f"{found.text}; TMPDIR is {wanted}, which cannot be written", "warning", hint)


def disk(name: str, folder: Path) -> Finding:
    """Return how much space a folder's disk has left."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Finding(name, f"{folder}: {error.strerror}", "warning")
    text = f"{folder}, {_size(free)} free"
    return Finding(name, text) if free >= _LEAST_FREE_BYTES else Finding(name, text, "warning", "free some space")


def _size(size_bytes: int) -> str:
    return f"{size_bytes / _GIB:.1f} GiB"
