"""Packages: their versions, the GPU, and known trouble.

They are imported in a process of its own: one that breaks, or ends its process, does no harm here.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module, metadata
from typing import Any

from fmcompress.diagnosis.machine import Finding

_INSTALL_FAISS = "pip install 'fmcompress[cpu]' (or 'fmcompress[gpu]' for faiss on CUDA)"
_REQUIREMENT = re.compile(r"([\w.-]+)\s*>=\s*([\d.]+)")
_MARK = "fmcompress-probe "
_SECONDS = 120
# The child finds its modules where this process does, and never in the current folder.
_CHILD = "import sys; sys.path[:] = sys.argv[1:]; from fmcompress.diagnosis.packages import main; main()"


Errors = dict[str, str | None]
"""What became of modules that cannot be imported, by name; None where they are not there."""


@dataclass(frozen=True)
class Package:
    """A package that fmcompress needs, its module, what stops without it, and what is wrong with an older one."""

    name: str
    module: str
    stops: str
    older: str = "it is not what fmcompress is tested with"


PACKAGES = (
    Package("numpy", "numpy", "all commands"),
    Package("scipy", "scipy", "quantize and sweep"),
    Package("scikit-learn", "sklearn", "evaluate, and quantize with --train"),
    Package("pyarrow", "pyarrow", "all commands that read data"),
    Package("safetensors", "safetensors", "all commands"),
    Package("threadpoolctl", "threadpoolctl", "quantize and sweep"),
    Package(
        "torch", "torch", "train and quantize", "a hostile checkpoint may run code in it: weights_only has known holes"
    ),
    Package("typer", "typer", "all commands"),
    Package("jinja2", "jinja2", "report --format html"),
)

EXTRAS = {"matplotlib": ("sweep --plot", "plot"), "onnx": ("export", "onnx")}
"""Packages that one command needs, and the extra that brings them."""


@dataclass(frozen=True)
class Probed:
    """Errors of modules that cannot be imported, what torch says of GPUs, and the OpenMP runtimes that are loaded."""

    errors: Errors = field(default_factory=dict)
    torch: dict[str, Any] = field(default_factory=dict)
    openmp: set[str] = field(default_factory=set)


def package_findings() -> Iterator[Finding]:
    """Yield what became of the packages, each of which is imported."""
    probed = probe([*(package.module for package in PACKAGES), "faiss"])
    least = _least_versions()
    for package in PACKAGES:
        yield package_finding(package, _version(package.name), least.get(package.name), probed.errors)
    yield faiss_finding(_faiss_wheels(), probed.errors, on_gpu=probed.torch.get("device") == "cuda")
    for name, (needs, extra) in EXTRAS.items():
        missing = Finding(name, f"not installed: {needs} needs it", "warning", f"pip install 'fmcompress[{extra}]'")
        version = _version(name)
        yield Finding(name, version) if version else missing
    if probed.torch:
        yield gpu(probed.torch)
    yield openmp(probed.openmp)


def package_finding(package: Package, version: str | None, least: str | None, errors: Errors) -> Finding:
    """Return how a package stands that is installed in a version, and asked for in one; None where not known."""
    name, module = package.name, package.module
    if module in errors:
        repair = f"pip install --force-reinstall '{name}'"
        return _unusable(name, version, errors[module], package.stops, f"pip install '{name}'", repair)
    if version and least and _numbers(version) < _numbers(least):
        hint = f"pip install -U '{name}>={least}'"
        return Finding(name, f"{version}, older than {least}: {package.older}", "warning", hint)
    return Finding(name, version or "installed, its version is not known")


def faiss_finding(wheels: Sequence[tuple[str, str]], errors: Errors, *, on_gpu: bool = False) -> Finding:
    """Return how faiss stands, of which there are several wheels, with names and versions, for one module.

    Args:
        wheels: names and versions of those that are installed.
        errors: of modules that cannot be imported.
        on_gpu: whether torch works on a GPU, where faiss might too.
    """
    names = " and ".join(f"{name} {version}" for name, version in wheels)
    one_wheel = f"pip uninstall {' '.join(name for name, _ in wheels)}, then {_INSTALL_FAISS}"
    if "faiss" in errors:
        return _unusable("faiss", names, errors["faiss"], "quantize and sweep", _INSTALL_FAISS, one_wheel)
    if len(wheels) > 1:
        return Finding("faiss", f"{names}: both write the same module", "warning", one_wheel)
    if on_gpu and wheels and wheels[0][0] == "faiss-cpu":
        return Finding("faiss", f"{names}, not built for GPUs: torch does k-means there", "warning", one_wheel)
    return Finding("faiss", names or "installed, its wheel is not known")


def _unusable(name: str, installed: str | None, error: str | None, stops: str, install: str, repair: str) -> Finding:
    """Return what is wrong with a package that is missing or cannot be imported."""
    if not installed and error is None:
        return Finding(name, f"not installed: {stops} cannot work", "problem", install)
    text = f"{installed or name} cannot be imported: {error or 'its module is missing'}; {stops} cannot work"
    return Finding(name, text, "problem", repair if installed else install)


def gpu(torch: dict[str, Any]) -> Finding:
    """Return which GPU there is, and what ``--device auto`` takes."""
    gpus = ", ".join(torch["gpus"])
    built = f"torch is built for CUDA {torch['cuda']}" if torch["cuda"] else "torch is built without CUDA"
    if torch["error"]:
        text = f"{gpus or 'a GPU'} that does not work: {torch['error']}; {built}"
        return Finding("GPU", text, "warning", "--device cpu, or another driver or torch")
    text = f"{gpus or 'none that torch can use'}; {built}; --device auto takes {torch['device']}"
    if gpus or not torch["driver"]:
        return Finding("GPU", text)
    hint = "its driver may be too old, or CUDA_VISIBLE_DEVICES hides it" if torch["cuda"] else "install torch for CUDA"
    return Finding("GPU", f"{text}; there is an NVIDIA driver, though", "warning", hint)


def openmp(found: set[str]) -> Finding:
    """Return which OpenMP runtimes the packages bring, and whether they get on with each other."""
    text = ", ".join(sorted(found)) or "none"
    if not {"libiomp", "libomp"} <= found:
        return Finding("OpenMP", text)
    hint = "install all packages with pip, or all with conda; KMP_DUPLICATE_LIB_OK only hides it"
    text += ": the runtimes of Intel and LLVM in one process can crash or hang"
    return Finding("OpenMP", text, "warning", hint)


def _faiss_wheels() -> list[tuple[str, str]]:
    found = {(one.metadata["Name"] or "").lower().replace("_", "-"): one.version for one in metadata.distributions()}
    return sorted(one for one in found.items() if one[0] == "faiss" or one[0].startswith(("faiss-cpu", "faiss-gpu")))


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _least_versions() -> dict[str, str]:
    """Return the least versions that fmcompress asks for, by distribution."""
    try:
        requirements = metadata.requires("fmcompress") or []
    except metadata.PackageNotFoundError:
        return {}
    return {match[1]: match[2] for match in map(_REQUIREMENT.match, requirements) if match}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", re.split(r"[+a-z]", version, maxsplit=1)[0]))


def probe(modules: Iterable[str]) -> Probed:
    """Import modules in a child process and return how they fared; after one that ends it, another child goes on."""
    found, left = Probed(), list(modules)
    while left:
        lines, end = _run(left)
        for line in lines:
            left = [name for name in left if name != line.get("module")]
            found.errors.update(line.get("errors", {}))
            found.torch.update(line.get("torch", {}))
            found.openmp.update(line.get("openmp", ()))
        if left:  # the child has ended before its time: over the one that it did not tell of
            found.errors[left.pop(0)] = end
    return found


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
    except subprocess.TimeoutExpired as error:
        shown, end = (error.stdout or b"").decode("utf-8", "replace"), f"it takes more than {_SECONDS} seconds"
    else:
        code, last = done.returncode, done.stderr.strip().rpartition("\n")[2]
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        shown, end = done.stdout, f"it ends Python with {how}" + (f": {last}" if last else "")
    return [json.loads(line[len(_MARK) :]) for line in shown.splitlines() if line.startswith(_MARK)], end


def main() -> None:
    """Import the modules that stand on standard input, and print how they fare, a line of JSON each."""
    for name in sys.stdin.read().split():
        told: dict[str, Any] = {"module": name}
        try:
            import_module(name)
            if name == "torch":
                told["torch"] = _torch()
        except ModuleNotFoundError as error:
            told["errors"] = {name: None if error.name == name else _words(error)}
        except Exception as error:  # whatever a broken package raises is what we want to know
            told["errors"] = {name: _words(error)}
        _say(told)
    with suppress(ImportError):
        from threadpoolctl import threadpool_info

        _say({"openmp": [found["prefix"] for found in threadpool_info() if found["user_api"] == "openmp"]})


def _say(told: dict[str, Any]) -> None:
    print(_MARK + json.dumps(told), flush=True)


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
                gpus = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
                found["gpus"] = [f"{one.name} ({one.total_memory / 2**30:.0f} GiB)" for one in gpus]
                found["device"] = "cuda"
                torch.ones(1, device="cuda").add(1).item()
        if told and not found["gpus"]:  # of a driver that is too old, say
            found["error"] = " ".join(str(told[0].message).split())
    except Exception as error:  # drivers fail in many ways
        found["error"] = _words(error)
    return found
