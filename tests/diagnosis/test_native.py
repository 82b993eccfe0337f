"""How the native core stands, and what is to be done where it is not in use."""

import pytest

from fmcompress.diagnosis.native import native_finding
from fmcompress.serve.native_library import NativeStatus


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for name in ("FMCOMPRESS_NATIVE", "CC"):
        monkeypatch.delenv(name, raising=False)


def test_a_core_that_is_in_use(tmp_path):
    found = native_finding(NativeStatus(tmp_path / "libfmcompress.so", None, "0.1.0", "avx2"))
    assert (found.status, found.hint) == ("ok", None)
    assert found.text == f"0.1.0, avx2, {tmp_path}/libfmcompress.so"


def test_a_core_that_was_not_built(tmp_path, monkeypatch):
    core = NativeStatus(tmp_path / "libfmcompress.so", "it has not been built")
    monkeypatch.setenv("CC", "no-such-compiler -O3")
    found = native_finding(core)
    assert found.status == "warning"
    assert found.text.startswith("not in use: it has not been built; rows are scored by numpy")
    assert found.hint.startswith("install a C compiler, gcc or clang, then install fmcompress again: pip install ")
    monkeypatch.setenv("CC", "sh")
    assert native_finding(core).hint.startswith("there is a C compiler now: install fmcompress again")


def test_a_core_that_is_switched_off(tmp_path, monkeypatch):
    monkeypatch.setenv("FMCOMPRESS_NATIVE", "0")
    assert native_finding(NativeStatus(tmp_path, "FMCOMPRESS_NATIVE=0 leaves it out")).hint == "unset FMCOMPRESS_NATIVE"


def test_a_core_that_cannot_be_loaded(tmp_path):
    path = tmp_path / "libfmcompress.so"
    path.touch()
    found = native_finding(NativeStatus(path, "it cannot be loaded: file too short"))
    assert "it cannot be loaded: file too short" in found.text
    assert found.hint.endswith("on this machine")
