"""The guide to configuration: its files and variables are understood, and its commands do with them what it says."""

import re
import shutil
from pathlib import Path

import pytest

from tests.docs.conftest import small_rows
from tests.docs.pages import ROOT, blocks, commands
from tests.docs.test_commands import check, is_run

pytestmark = pytest.mark.slow

PAGE = ROOT / "docs" / "configuration.md"
MISTAKE = '[quantize]\nbugdet = "10MB"\n'
IN_FORCE = 'label = "click"\n[quantize]\nbudget = "10MB"\n'


def shown(start):
    (found,) = [one for one in commands(PAGE) if one.command == start]
    return found


def in_pyproject(text):
    return "[tool.fmcompress" in text


@pytest.fixture
def project(tmp_path, workspace, monkeypatch):
    """Return a folder as the file of the guide has it: rows with another label, and the checkpoint."""
    monkeypatch.chdir(tmp_path)
    for path in ("data/train", "models", ".git"):
        Path(path).mkdir(parents=True)
    small_rows(tmp_path / "data", label="click")
    shutil.move("data/train.parquet", "data/train/part-0.parquet")
    shutil.copy(workspace / "fm.pt", "models")
    return tmp_path


def test_the_file_is_all_that_there_is_to_type(project, in_process):
    (text,) = [text for text in blocks(PAGE, "toml") if not in_pyproject(text)]
    Path("fmcompress.toml").write_text(text, "utf-8")
    for command in ("fmcompress quantize models/fm.pt", "fmcompress check models/artifact.safetensors"):
        check(shown(command), in_process(command))


def test_pyproject(folder, in_process, monkeypatch):
    (text,) = [text for text in blocks(PAGE, "toml") if in_pyproject(text)]
    Path("fmcompress.toml").unlink()
    Path("pyproject.toml").write_text(text, "utf-8")
    code, _, err = in_process("fmcompress quantize fm.pt --debug")
    assert code == 0, err
    assert "budget = 10MB, from [tool.fmcompress.quantize] of pyproject.toml" in err


def test_another_file_or_none(folder, in_process):
    Path("fmcompress.toml").write_text("nonsense = 1\n")
    for command in (
        "fmcompress --config release.toml check artifact.safetensors",
        "fmcompress --no-config quantize fm.pt --budget 10MB",
    ):
        check(shown(command), in_process(command))


def test_variables_are_understood(folder, in_process, monkeypatch):
    exports = [one.command for one in commands(PAGE) if one.command.startswith("export ")]
    for name, value in re.findall(r"(FMCOMPRESS_\w+)=(\S+)", " ".join(exports)):
        monkeypatch.setenv(name, value)
    code, _, err = in_process("fmcompress quantize fm.pt --debug")
    assert code == 0, err
    assert "budget = 10MB, from FMCOMPRESS_QUANTIZE_BUDGET" in err
    assert in_process("fmcompress check artifact.safetensors")[0] == 0


def test_a_mistake(folder, in_process):
    Path("fmcompress.toml").write_text(MISTAKE)
    one = shown("fmcompress quantize fm.pt")
    code, _, err = in_process(one.command)
    assert (code, err) == (2, one.output)


def test_what_is_in_force(folder, in_process, monkeypatch):
    Path("fmcompress.toml").write_text(IN_FORCE)
    monkeypatch.setenv("FMCOMPRESS_SEED", "3")
    one = shown("fmcompress quantize fm.pt --debug")
    code, _, err = in_process(one.command)
    assert code == 0
    assert err.startswith(one.output)


def test_no_command_is_left_out():
    text = Path(__file__).read_text(encoding="utf-8")
    for one in filter(is_run, commands(PAGE)):
        assert one.command in text or one.command.startswith("export "), one.command
