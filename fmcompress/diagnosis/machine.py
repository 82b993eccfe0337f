"""Python, threads, memory and disks."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from fmcompress.diagnosis.finding import Finding
from fmcompress.version import __version__

_GIB = 2**30
_LEAST_MEMORY_BYTES = _GIB
_LEAST_DISK_BYTES = _GIB
_CGROUP = Path("/sys/fs/cgroup")
_THREADS = "OMP_NUM_THREADS"


def machine_findings() -> Iterator[Finding]:
    """Yield what the machine gives us, and its limits."""
    yield Finding("fmcompress", __version__)
    yield Finding("python", f"{platform.python_version()} {platform.python_implementation()}, {sys.executable}")
    yield Finding("platform", platform.platform())
    yield threads(usable_cpus(), cpu_quota(_CGROUP), os.environ)
    yield memory(*_memory_bytes(Path("/proc/meminfo"), _CGROUP))
    yield _current_folder()
    yield _temporary_folder()


def threads(usable: int, quota: float | None, environment: Mapping[str, str]) -> Finding:
    """Return how many threads will run, and whether they outnumber the CPUs that the container may use.

    Args:
        usable: CPUs that this process may run on.
        quota: CPUs that its container may use at a time, or None.
        environment: variables.
    """
    set_to = environment.get(_THREADS)
    text = f"{usable} CPUs" + (f", {_THREADS}={set_to}" if set_to else "")
    if quota is None or quota >= usable:
        return Finding("threads", text)
    text += f"; the container may use {quota:g} of them at a time"
    if set_to:
        return Finding("threads", text)
    fitting = max(1, int(quota))
    return Finding("threads", text, "warning", f"more threads than that wait for each other: set {_THREADS}={fitting}")


def usable_cpus() -> int:
    """Return the CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_quota(cgroup: Path) -> float | None:
    """Return how many CPUs a container may use at a time, or None where it has no limit."""
    words = _words(cgroup / "cpu.max")
    return int(words[0]) / int(words[1]) if len(words) == 2 and words[0].isdigit() else None


def memory(total: int | None, available: int | None) -> Finding:
    """Return how much memory there is; None where the system does not say."""
    if total is None:
        return Finding("memory", "this system does not say")
    if available is None:
        return Finding("memory", _size(total))
    text = f"{_size(available)} of {_size(total)} free"
    if available >= _LEAST_MEMORY_BYTES:
        return Finding("memory", text)
    return Finding("memory", text, "warning", "quantize takes about twice the checkpoint's embeddings in fp32")


def _memory_bytes(meminfo: Path, cgroup: Path) -> tuple[int | None, int | None]:
    """Return total and available memory; the limit of a container counts as the total."""
    try:
        lines = meminfo.read_text().splitlines()
        kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines) if rest.split()}
        total, available = kib["MemTotal"] * 1024, kib["MemAvailable"] * 1024
    except (OSError, ValueError, KeyError):
        return _physical_bytes(), None
    limit, used = _words(cgroup / "memory.max"), _words(cgroup / "memory.current")
    if limit and limit[0].isdigit() and used:
        total, available = min(total, int(limit[0])), min(available, max(0, int(limit[0]) - int(used[0])))
    return total, available


def _physical_bytes() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


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
    wanted = os.environ.get("TMPDIR")
    try:
        folder = Path(tempfile.gettempdir())
    except OSError as error:
        return Finding("temporary folder", str(error), "problem", "set TMPDIR to a folder that can be written")
    found = disk("temporary folder", folder)
    if wanted and folder != Path(wanted).absolute():
        text = f"{found.text}; TMPDIR is {wanted}, which cannot be written"
        return Finding(found.name, text, "warning", "set TMPDIR to a folder that can be written")
    return found


def disk(name: str, folder: Path) -> Finding:
    """Return how much space a folder's disk has left."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Finding(name, f"{folder}: {error.strerror}", "warning")
    text = f"{folder}, {_size(free)} free"
    if free >= _LEAST_DISK_BYTES:
        return Finding(name, text)
    return Finding(name, text, "warning", "free some space")


def _size(size_bytes: int) -> str:
    return f"{size_bytes / _GIB:.1f} GiB"
