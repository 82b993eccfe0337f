"""Packages are tried out in a process of their own: one that breaks, or ends its process, does no harm here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

MODULES = ("numpy", "scipy", "sklearn", "pyarrow", "safetensors", "threadpoolctl", "jinja2", "torch", "faiss")
"""What is imported, in this order."""

_MARK = "fmcompress-probe "
_SECONDS = 120
# The child finds its modules where this process does, and never in the current folder.
_CHILD = "import sys; sys.path[:] = sys.argv[1:]; from fmcompress.diagnosis.probe import main; main()"


@dataclass(frozen=True)
class Probed:
    """How the packages fared.

    Attributes:
        errors: what became of modules that cannot be imported, by name; None where they are not there.
        torch: what torch says of GPUs; empty where it cannot be imported.
        openmp: names of the OpenMP runtimes that were loaded.
    """

    errors: dict[str, str | None] = field(default_factory=dict)
    torch: dict[str, Any] = field(default_factory=dict)
    openmp: tuple[str, ...] = ()


def probe(modules: Sequence[str] = MODULES) -> Probed:
    """Import modules in a child process and return how they fared; after one that ends it, another child goes on."""
    errors: dict[str, str | None] = {}
    torch: dict[str, Any] = {}
    openmp: set[str] = set()
    left = list(modules)
    while left:
        lines, end = _run(left)
        begun: str | None = None
        for line in lines:
            begun = line.get("begin", begun)
            if "module" in line:
                left.remove(line["module"])
                if "error" in line:
                    errors[line["module"]] = line["error"]
            torch.update(line.get("torch", {}))
            openmp.update(line.get("openmp", ()))
        if left:  # the child has ended before its time
            broken = begun if begun in left else left[0]
            errors[broken] = end
            left.remove(broken)
    return Probed(errors, torch, tuple(sorted(openmp)))


def main() -> None:
    """Import the modules that stand on standard input, and print how they fare, a line of JSON each."""
    for name in sys.stdin.read().split():
        _say(begin=name)
        try:
            import_module(name)
        except ModuleNotFoundError as error:
            _say(module=name, error=None if error.name == name else _words(error))
        except Exception as error:  # whatever a broken package raises is what we want to know
            _say(module=name, error=_words(error))
        else:
            if name == "torch":
                _say(torch=_torch())
            _say(module=name)
    _say(openmp=_openmp())


def _run(modules: Sequence[str]) -> tuple[list[dict[str, Any]], str]:
    """Return what a child says, and how it ended."""
    try:
        done = subprocess.run(  # noqa: S603 -- this Python, and code of our own
            [sys.executable, "-c", _CHILD, *sys.path],
            input="\n".join(modules),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
        shown, end = done.stdout, _end(done.returncode, done.stderr)
    except subprocess.TimeoutExpired as error:
        shown, end = (error.stdout or b"").decode("utf-8", "replace"), f"it takes more than {_SECONDS} seconds"
    return [json.loads(line[len(_MARK) :]) for line in shown.splitlines() if line.startswith(_MARK)], end


def _end(code: int, stderr: str) -> str:
    import signal

    last = (stderr.strip().splitlines() or [""])[-1]
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return f"it ends Python with {how}" + (f": {last}" if last else "")


def _say(**line: object) -> None:
    print(_MARK + json.dumps(line), flush=True)


def _words(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _torch() -> dict[str, Any]:
    """Return what torch says of GPUs: that it sees one does not mean that it can use it."""
    import warnings

    import torch

    found: dict[str, Any] = {"cuda": torch.version.cuda, "device": "cpu", "gpus": [], "error": None}
    found["driver"] = os.path.exists("/proc/driver/nvidia/version")
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            if torch.cuda.is_available():
                found["gpus"] = [_gpu(number) for number in range(torch.cuda.device_count())]
                found["device"] = "cuda"
                torch.ones(1, device="cuda").add(1).item()
        if told and not found["gpus"]:  # of a driver that is too old, say
            found["error"] = " ".join(str(told[0].message).split())
    except Exception as error:  # drivers fail in many ways
        found["error"] = _words(error)
    return found


def _gpu(number: int) -> str:
    import torch

    properties = torch.cuda.get_device_properties(number)
    return f"{properties.name} ({properties.total_memory / 2**30:.0f} GiB)"


def _openmp() -> list[str]:
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return []
    return [str(found["prefix"]) for found in threadpool_info() if found["user_api"] == "openmp"]


if __name__ == "__main__":
    main()
