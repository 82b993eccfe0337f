"""``doctor`` reports what is there and what is wrong, and survives whatever is broken."""

import json
import re
from dataclasses import replace

import pytest
from fmcompress_cli.doctor import terminal, to_text

from fmcompress.diagnosis import Finding, home_as_tilde, worst

pytestmark = pytest.mark.slow


def test_the_report(fmcompress):
    (fmcompress.folder / "fmcompress.toml").write_text('[quantize]\nbudget = "10MB"\n')
    shown = json.loads(fmcompress("doctor", "--format", "json", env={"FMCOMPRESS_SEED": "3"}).stdout)
    found = [(finding["name"], finding["text"]) for finding in shown["findings"]]
    names = {name for name, _ in found}
    assert {
        "python",
        "native core",
        "numpy",
        "torch",
        "faiss",
        "GPU",
        "threads",
        "memory",
        "temporary folder",
        "OpenMP",
    } <= names
    assert re.match(r"faiss-\w+ \d", dict(found)["faiss"])
    assert "--device auto takes " in dict(found)["GPU"]
    assert ("configuration", "budget = 10MB, from [quantize] of fmcompress.toml, for quantize") in found
    assert any(text.startswith("seed = 3, from FMCOMPRESS_SEED, for train, quantize") for _, text in found)
    assert shown["status"] in ("ok", "warning")


def test_without_the_native_core_it_says_so(fmcompress):
    shown = fmcompress("doctor", env={"FMCOMPRESS_NATIVE": "0"}).stdout
    assert re.search(r"\nwarning  native core +not in use: FMCOMPRESS_NATIVE=0 .*\n +unset FMCOMPRESS_NATIVE\n", shown)


def test_all_that_is_broken_is_reported_at_once(fmcompress):
    (fmcompress.folder / "faiss.py").write_text("raise ImportError('libfaiss.so: no such file')")
    env = {"FMCOMPRESS_SEEED": "3", "TMPDIR": str(fmcompress.folder / "none"), "PYTHONPATH": str(fmcompress.folder)}
    done = fmcompress("doctor", rc=1, env=env)
    assert re.search(r"\nproblem +configuration +unknown environment variable FMCOMPRESS_SEEED", done.stdout)
    assert "did you mean FMCOMPRESS_SEED?" in done.stdout
    assert re.search(r"\nproblem +faiss .* cannot be imported: ImportError: libfaiss.so: no such file", done.stdout)
    assert re.search(r"\nwarning +temporary folder .*TMPDIR is .*none, which cannot be written", done.stdout)
    assert re.search(r"\nok +torch ", done.stdout)
    assert done.stderr == ""


@pytest.mark.parametrize(("encoding", "status"), [("utf-8", "ok"), ("UTF8", "ok"), ("ascii", "warning")])
def test_output(encoding, status):
    assert terminal(encoding).status == status


def test_a_text_of_one_line_each_without_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    finding = Finding("python", "3.13, /home/ada/venv/bin/python", "warning", "hint")
    shown = to_text([replace(finding, text=home_as_tilde(finding.text) + "\n")])
    assert shown == "warning  python  3.13, ~/venv/bin/python\\n\n                 hint\n\nproblems: 0, warnings: 1"
    assert worst([finding, Finding("a", "b")]) == "warning"
    assert worst([]) == "ok"
