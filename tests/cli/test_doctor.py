"""``doctor`` reports what is there and what is wrong, and survives whatever is broken."""

import json
import re
from dataclasses import replace

import pytest
from fmcompress_cli.doctor import terminal, to_text

from fmcompress.diagnosis import Finding, home_as_tilde, worst
from fmcompress.diagnosis.machine import cpu_quota, disk, memory, threads
from fmcompress.diagnosis.packages import PACKAGES, faiss_finding, gpu, openmp, package_finding
from fmcompress.diagnosis.probe import Probed, probe

pytestmark = pytest.mark.slow

NO_GPU = {"cuda": None, "device": "cpu", "gpus": [], "error": None, "driver": False}
TORCH = next(package for package in PACKAGES if package.name == "torch")
GIB = 2**30


def test_the_report(fmcompress):
    (fmcompress.folder / "fmcompress.toml").write_text('[quantize]\nbudget = "10MB"\n')
    shown = json.loads(fmcompress("doctor", "--format", "json", env={"FMCOMPRESS_SEED": "3"}).stdout)
    found = [(finding["name"], finding["text"]) for finding in shown["findings"]]
    names = {name for name, _ in found}
    assert {"python", "numpy", "torch", "faiss", "GPU", "threads", "memory", "temporary folder", "OpenMP"} <= names
    assert re.match(r"faiss-\w+ \d", dict(found)["faiss"])
    assert "--device auto takes " in dict(found)["GPU"]
    assert ("configuration", "budget = 10MB, from [quantize] of fmcompress.toml, for quantize") in found
    assert any(text.startswith("seed = 3, from FMCOMPRESS_SEED, for train, quantize") for _, text in found)
    assert shown["status"] in ("ok", "warning")


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


def test_packages_that_break_are_reported_and_the_rest_is_looked_at(tmp_path, monkeypatch):
    modules = {
        "fine_a": "",
        "lacks_library": "raise ImportError('libx.so:\\nno such file')",
        "ends_python": "import os; os.abort()",
        "needs_other": "import not_there_at_all",
        "exits": "import sys; print('bye', file=sys.stderr); sys.exit(3)",
        "fine_b": "print('noise')",
    }
    for name, code in modules.items():
        (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    found = probe([*modules, "not_there_at_all"])
    assert found.errors == {
        "lacks_library": "ImportError: libx.so: no such file",
        "ends_python": "it ends Python with signal SIGABRT",
        "needs_other": "ModuleNotFoundError: No module named 'not_there_at_all'",
        "exits": "it ends Python with exit code 3: bye",
        "not_there_at_all": None,
    }


def test_the_current_folder_hides_no_package(tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("raise ImportError('not numpy')")
    monkeypatch.chdir(tmp_path)
    assert probe(["numpy"]).errors == {}


def test_packages():
    def found(version, least="2.10", **errors):
        return package_finding(TORCH, version, least, Probed(errors))

    assert found("2.13.0+cpu") == Finding("torch", "2.13.0+cpu")
    assert found("2.10.0").status == "ok"
    old = found("2.9.1")
    assert old.status == "warning"
    assert "older than 2.10: a hostile checkpoint may run code" in old.text
    assert old.hint == "pip install -U 'torch>=2.10'"
    missing = found(None, torch=None)
    assert (missing.status, missing.hint) == ("problem", "pip install 'torch'")
    assert missing.text == "not installed: train and quantize cannot work"
    broken = found("2.13.0", torch="OSError: libcudart.so")
    assert broken.status == "problem"
    assert "2.13.0 cannot be imported: OSError: libcudart.so" in broken.text


def test_faiss():
    cpu, both = [("faiss-cpu", "1.15.1")], [("faiss-cpu", "1.15.1"), ("faiss-gpu", "1.14.0")]
    assert faiss_finding(cpu, Probed()) == Finding("faiss", "faiss-cpu 1.15.1")
    twice = faiss_finding(both, Probed())
    assert twice.status == "warning"
    assert "both write the same module" in twice.text
    assert "pip uninstall faiss-cpu faiss-gpu, then pip install 'fmcompress[cpu]'" in twice.hint
    missing = faiss_finding([], Probed({"faiss": None}))
    assert missing.status == "problem"
    assert "not installed" in missing.text
    assert faiss_finding(both, Probed({"faiss": "ImportError: x"})).status == "problem"


def test_gpu():
    assert "--device auto takes cpu" in gpu(NO_GPU).text
    assert gpu(NO_GPU).status == "ok"
    one = {**NO_GPU, "cuda": "12.8", "gpus": ["NVIDIA H100 (80 GiB)"], "device": "cuda", "driver": True}
    assert gpu(one) == Finding(
        "GPU", "NVIDIA H100 (80 GiB); torch is built for CUDA 12.8; --device auto takes cuda"
    )  # fmt: skip
    broken = gpu({**one, "error": "RuntimeError: no kernel image"})
    assert broken.status == "warning"
    assert "NVIDIA H100 (80 GiB) that does not work: RuntimeError: no kernel image" in broken.text
    unused = gpu({**NO_GPU, "driver": True})
    assert (unused.status, unused.hint) == ("warning", "install torch for CUDA")
    assert "CUDA_VISIBLE_DEVICES" in gpu({**NO_GPU, "cuda": "12.8", "driver": True}).hint


def test_openmp():
    assert openmp(["libgomp", "libgomp"]) == Finding("OpenMP", "libgomp")
    assert openmp(["libomp", "libgomp", "libiomp"]).status == "warning"


def test_threads(tmp_path):
    assert threads(8, None, {}) == Finding("threads", "8 CPUs")
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    quota = cpu_quota(tmp_path)
    found = threads(8, quota, {})
    assert found.status == "warning"
    assert "the container may use 1.5 of them" in found.text
    assert "OMP_NUM_THREADS=1" in found.hint
    assert threads(8, quota, {"OMP_NUM_THREADS": "1"}).status == "ok"
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert cpu_quota(tmp_path) is None
    assert cpu_quota(tmp_path / "none") is None


def test_memory_and_disk(tmp_path):
    assert memory(16 * GIB, 4 * GIB) == Finding("memory", "4.0 GiB of 16.0 GiB free")
    assert memory(16 * GIB, GIB // 2).status == "warning"
    assert memory(None, None).status == "ok"
    assert disk("folder", tmp_path).text.startswith(f"{tmp_path}, ")
    assert disk("folder", tmp_path / "none").status == "warning"


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
