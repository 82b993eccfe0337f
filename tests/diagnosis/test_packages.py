"""Packages that are there, missing, old or broken; GPUs; runtimes that do not get on with each other."""

from fmcompress.diagnosis import Finding
from fmcompress.diagnosis.packages import PACKAGES, faiss_finding, gpu, openmp, package_finding, probe

NO_GPU = {"cuda": None, "device": "cpu", "gpus": [], "error": None, "driver": False}
TORCH = next(package for package in PACKAGES if package.name == "torch")


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
        return package_finding(TORCH, version, least, errors)

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
    assert faiss_finding(cpu, {}) == Finding("faiss", "faiss-cpu 1.15.1")
    beside_a_gpu = faiss_finding(cpu, {}, on_gpu=True)
    assert (beside_a_gpu.status, beside_a_gpu.text) == (
        "warning",
        "faiss-cpu 1.15.1, not built for GPUs: torch does k-means there",
    )
    assert "fmcompress[gpu]" in beside_a_gpu.hint
    assert faiss_finding([("faiss-gpu", "1.15.1")], {}, on_gpu=True).status == "ok"
    twice = faiss_finding(both, {})
    assert twice.status == "warning"
    assert "both write the same module" in twice.text
    assert "pip uninstall faiss-cpu faiss-gpu, then pip install 'fmcompress[cpu]'" in twice.hint
    missing = faiss_finding([], {"faiss": None})
    assert missing.status == "problem"
    assert "not installed" in missing.text
    assert faiss_finding(both, {"faiss": "ImportError: x"}).status == "problem"


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
    assert openmp({"libgomp"}) == Finding("OpenMP", "libgomp")
    assert openmp({"libomp", "libgomp", "libiomp"}).status == "warning"
