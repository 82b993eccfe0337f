"""Completion in bash, with the script that the command prints."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import console_script

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")

COMPLETE = """
eval "$(fmcompress --show-completion)"
for line in "$@"; do
    COMP_WORDS=($line); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    [[ $line == *" " ]] && COMP_WORDS+=("") && COMP_CWORD=$((COMP_CWORD + 1))
    COMPREPLY=(); _fmcompress_completion fmcompress
    echo "${COMPREPLY[*]}"
done
complete -p fmcompress
"""


def bash(folder, code, *args, **env):
    path = f"{Path(console_script()).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "--norc", "-c", code, "bash", *args],
        cwd=folder,
        env={**os.environ, "PATH": path, **env},
        capture_output=True,
        encoding="utf-8",
        check=True,
    ).stdout


def test_commands_options_choices_and_files(tmp_path):
    lines = ("fmcompress q", "fmcompress quantize --cod", "fmcompress quantize fm.pt --method l", "fmcompress report ")
    found = bash(tmp_path, COMPLETE, *lines, FMCOMPRESS_NONSENSE="1").splitlines()
    assert found[0] == "quantize"
    assert found[1].split() == ["--codewords", "--codes"]
    assert found[2] == "lightfm"
    assert found[3] == ""  # nothing of ours: then bash completes files
    assert found[4] == "complete -o default -F _fmcompress_completion fmcompress"


def test_it_can_be_installed(tmp_path):
    said = bash(tmp_path, "fmcompress --install-completion; true", HOME=str(tmp_path))
    assert "bash completion installed in" in said
    assert "complete" in (tmp_path / ".bash_completions" / "fmcompress.sh").read_text()
