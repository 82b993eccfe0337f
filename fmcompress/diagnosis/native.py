"""The native core: whether rows are scored by it, and if not, what to do."""

import os
import shutil

from fmcompress.diagnosis.machine import Finding
from fmcompress.serve.native_library import SWITCH, NativeStatus

_INSTALL_AGAIN = "install fmcompress again: pip install --force-reinstall --no-deps --no-cache-dir"


def native_finding(core: NativeStatus) -> Finding:
    """Return how the native core stands, or what to do where rows are scored without it."""
    if core.reason is None:
        return Finding("native core", f"{core.version}, {core.isa}, {core.path}")
    text = f"not in use: {core.reason}; rows are scored by numpy, which is slower"
    return Finding("native core", text, "warning", _hint(core))


def _hint(core: NativeStatus) -> str | None:
    if os.environ.get(SWITCH) == "0":
        return f"unset {SWITCH}"
    if core.path.exists():
        return f"{_INSTALL_AGAIN}, on this machine"
    if os.name != "posix":
        return "there is none for this system yet"
    compiler = os.environ.get("CC") or "cc"
    if shutil.which(compiler.split()[0]):
        return f"there is a C compiler now: {_INSTALL_AGAIN}"
    return f"install a C compiler, gcc or clang, then {_INSTALL_AGAIN}"
