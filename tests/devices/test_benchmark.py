"""The script that measures a GPU, rehearsed on the CPU."""

import pytest
import torch

from benchmarks import gpu, gpu_phases

pytestmark = pytest.mark.slow
PAGE = f"before\n\n{gpu._BEGIN}\nold\n{gpu._END}\n\nafter\n"


def test_a_rehearsal_measures_each_phase_and_writes_its_section(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu, "_ROUNDS", 1)
    (tmp_path / "page.md").write_text(PAGE)
    assert gpu.main(["--device", "cpu", "--out", str(tmp_path / "page.md")]) == 0
    page = (tmp_path / "page.md").read_text()
    assert page.startswith("before\n")
    assert page.endswith("\nafter\n")
    assert "old" not in page
    for phase in gpu_phases.phases(gpu_phases.SMALL):
        assert f"| {phase.name} | " in page
    assert "A rehearsal: torch on the CPU" in page
    assert page.split(gpu._BEGIN)[1].split(gpu._END)[0].strip() in capsys.readouterr().out


def test_phases_that_no_time_is_left_for_are_named(capsys):
    assert gpu.main(["--device", "cpu", "--seconds", "0"]) == 0
    assert "No time was left for: counts, a batch, H_f, a batch" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU")
def test_without_a_gpu_one_line_says_so(capsys):
    assert gpu.main([]) == 1
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", f"{gpu.NO_GPU}\n")


def test_the_page_has_the_section():
    page = gpu._PAGE.read_text(encoding="utf-8")
    assert page.count(gpu._BEGIN) == page.count(gpu._END) == 1
