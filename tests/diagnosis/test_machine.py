"""Limits of machines and containers, memory and disks: what is found, and when it is a warning."""

from pathlib import Path

from fmcompress.diagnosis.machine import Finding, cpu_quota, disk, machine_findings, memory, memory_bytes, threads

GIB = 2**30


def test_threads(tmp_path):
    assert threads(8, None, None) == Finding("threads", "8 CPUs")
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    quota = cpu_quota(tmp_path)
    found = threads(8, quota, None)
    assert found.status == "warning"
    assert "the container may use 1.5 of them" in found.text
    assert "OMP_NUM_THREADS=1" in found.hint
    assert threads(8, quota, "1").status == "ok"
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert cpu_quota(tmp_path) is None
    assert cpu_quota(tmp_path / "none") is None


def test_memory_and_disk(tmp_path):
    assert memory(16 * GIB, 4 * GIB) == Finding("memory", "4.0 GiB of 16.0 GiB free")
    assert memory(16 * GIB, GIB // 2).status == "warning"
    assert memory(None, None).status == "ok"
    assert disk("folder", tmp_path).text.startswith(f"{tmp_path}, ")
    assert disk("folder", tmp_path / "none").status == "warning"


def test_a_container_has_the_memory_that_its_limit_leaves(tmp_path):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       16777216 kB\nMemFree:         1048576 kB\nMemAvailable:    8388608 kB\n")
    assert memory_bytes(meminfo, tmp_path) == (16 * GIB, 8 * GIB)
    (tmp_path / "memory.current").write_text(f"{GIB}\n")
    for limit, found in (
        ("max", (16, 8)),
        (4 * GIB, (4, 3)),
        (12 * GIB, (12, 8)),
        (GIB // 2, (0.5, 0)),
        (64 * GIB, (16, 8)),
    ):
        (tmp_path / "memory.max").write_text(f"{limit}\n")
        assert memory_bytes(meminfo, tmp_path) == tuple(gib * GIB for gib in found)


def test_without_linux_only_the_total_is_known(tmp_path):
    total, available = memory_bytes(tmp_path / "none", tmp_path)
    assert total > GIB // 4
    assert available is None


def test_folders(tmp_path, monkeypatch):
    def found(name):
        return next(one for one in machine_findings() if one.name == name)

    monkeypatch.chdir(tmp_path)
    assert found("current folder").text.startswith(f"{tmp_path}, ")
    monkeypatch.setattr("os.access", lambda *_: False)
    assert (found("current folder").status, found("current folder").text[-9:]) == ("warning", "read-only")

    def deleted():
        raise FileNotFoundError

    monkeypatch.setattr(Path, "cwd", deleted)
    assert found("current folder") == Finding(
        "current folder", "it has been deleted", "problem", "change to another folder"
    )
    monkeypatch.setenv("TMPDIR", "/none")
    wrong = found("temporary folder")
    assert (wrong.status, wrong.hint) == ("warning", "set TMPDIR to a folder that can be written")
    assert wrong.text.endswith("; TMPDIR is /none, which cannot be written")
