"""Packages: their versions, the GPU, and known trouble."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata

from fmcompress.diagnosis.finding import Finding
from fmcompress.diagnosis.probe import Probed

_INSTALL_FAISS = "pip install 'fmcompress[cpu]' (or 'fmcompress[gpu]' for faiss on CUDA)"
_REQUIREMENT = re.compile(r"([\w.-]+)\s*>=\s*([\d.]+)")


@dataclass(frozen=True)
class Package:
    """A package that fmcompress needs.

    Attributes:
        name: of the distribution.
        module: that is imported; None where its version is all that is asked for.
        stops: what does not work without it.
        older: what is wrong with an older one than is asked for.
    """

    name: str
    module: str | None
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
    Package("typer", None, "all commands"),
    Package("jinja2", "jinja2", "report --format html"),
)

# Extras that a command can do without: distribution, extra, what it is for.
_EXTRAS = (("matplotlib", "plot", "sweep --plot"),)


def package_findings(probed: Probed) -> Iterator[Finding]:
    """Yield what became of the packages."""
    least = _least_versions()
    for package in PACKAGES:
        yield package_finding(package, _version(package.name), least.get(package.name), probed)
    yield faiss_finding(_faiss_wheels(), probed)
    for name, extra, use in _EXTRAS:
        yield _extra(name, extra, use)
    if probed.torch:
        yield gpu(probed.torch)
    yield openmp(probed.openmp)


def package_finding(package: Package, version: str | None, least: str | None, probed: Probed) -> Finding:
    """Return how a package stands.

    Args:
        package: that is asked for.
        version: that is installed, or None.
        least: version that is asked for, or None.
        probed: how it fared when it was imported.
    """
    if version is None and (package.module is None or package.module in probed.errors):
        return Finding(
            package.name, f"not installed: {package.stops} cannot work", "problem", f"pip install '{package.name}'"
        )
    if package.module in probed.errors:
        error = probed.errors[package.module]
        return Finding(
            package.name,
            f"{version} cannot be imported: {error or 'its module is missing'}; {package.stops} cannot work",
            "problem",
            f"pip install --force-reinstall '{package.name}'",
        )
    if version and least and _numbers(version) < _numbers(least):
        return Finding(
            package.name, f"{version}, older than {least}: {package.older}", "warning",
            f"pip install -U '{package.name}>={least}'",
        )  # fmt: skip
    return Finding(package.name, version or "installed, its version is not known")


def faiss_finding(wheels: list[tuple[str, str]], probed: Probed) -> Finding:
    """Return how faiss stands: there are several wheels of it, for one module.

    Args:
        wheels: names and versions of those that are installed.
        probed: how it fared when it was imported.
    """
    names = " and ".join(f"{name} {version}" for name, version in wheels)
    if "faiss" in probed.errors:
        error = probed.errors["faiss"]
        stops = "quantize and sweep cannot work"
        if error is None and not wheels:
            return Finding("faiss", f"not installed: {stops}", "problem", _INSTALL_FAISS)
        text = f"{names or 'faiss'} cannot be imported: {error or 'its module is missing'}; {stops}"
        return Finding("faiss", text, "problem", _one_wheel(wheels) if wheels else _INSTALL_FAISS)
    if len(wheels) > 1:
        return Finding("faiss", f"{names}: both write the same module", "warning", _one_wheel(wheels))
    return Finding("faiss", names or "installed, its wheel is not known")


def gpu(torch: dict[str, object]) -> Finding:
    """Return which GPU there is, and what ``--device auto`` takes."""
    gpus = torch["gpus"] if isinstance(torch["gpus"], list) else []
    built = f"torch is built for CUDA {torch['cuda']}" if torch["cuda"] else "torch is built without CUDA"
    if torch["error"]:
        text = f"{', '.join(gpus) or 'a GPU'} that does not work: {torch['error']}; {built}"
        return Finding("GPU", text, "warning", "--device cpu, or another driver or torch")
    if gpus:
        return Finding("GPU", f"{', '.join(gpus)}; {built}; --device auto takes {torch['device']}")
    text = f"none that torch can use; {built}; --device auto takes {torch['device']}"
    if not torch["driver"]:
        return Finding("GPU", text)
    hint = "its driver may be too old, or CUDA_VISIBLE_DEVICES hides it" if torch["cuda"] else "install torch for CUDA"
    return Finding("GPU", f"{text}; there is an NVIDIA driver, though", "warning", hint)


def openmp(runtimes: Iterable[str]) -> Finding:
    """Return which OpenMP runtimes the packages bring, and whether they get on with each other."""
    found = sorted(set(runtimes))
    text = ", ".join(found) or "none"
    if {"libiomp", "libomp"} <= set(found):
        return Finding(
            "OpenMP", f"{text}: the runtimes of Intel and LLVM in one process can crash or hang", "warning",
            "install all packages with pip, or all with conda; KMP_DUPLICATE_LIB_OK only hides it",
        )  # fmt: skip
    return Finding("OpenMP", text)


def _extra(name: str, extra: str, use: str) -> Finding:
    version = _version(name)
    if version is not None:
        return Finding(name, version)
    return Finding(name, f"not installed: {use} needs it", "warning", f"pip install 'fmcompress[{extra}]'")


def _one_wheel(wheels: list[tuple[str, str]]) -> str:
    return f"pip uninstall {' '.join(name for name, _ in wheels)}, then {_INSTALL_FAISS}"


def _faiss_wheels() -> list[tuple[str, str]]:
    found = {}
    for one in metadata.distributions():
        name = (one.metadata["Name"] or "").lower().replace("_", "-")
        if name == "faiss" or name.startswith(("faiss-cpu", "faiss-gpu")):
            found[name] = one.version
    return sorted(found.items())


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
