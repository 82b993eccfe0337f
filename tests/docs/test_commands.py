"""Every command that a page shows runs, ends as it should, and says what the page says that it says."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, commands, name_of

pytestmark = pytest.mark.slow

NOT_RUN = {
    "make": "makes an environment of its own",
    "pip": "installs packages",
    "torchrun": "starts processes; tests/processes/test_runs.py",
    "python -m benchmarks.gpu": "needs a GPU; tests/devices/test_benchmark.py rehearses it",
    "python examples/paper": "hours; tests/examples runs it on little data",
    "python examples/benchmark": "hours; tests/examples runs it on little data",
    "cd": "the tests are there",
    "fmcompress demo": "a minute; the files of the quickstart are made by its code, from less",
    "fmcompress --install-completion": "changes the shell's settings; tests/cli/test_completion.py",
    "fmcompress --show-completion": "needs a shell around it; tests/cli/test_completion.py",
    "fmcompress check artifact.safetensors --max-size 5KB --baseline": "tests/examples/test_release.py",
    "fmcompress check --max-size 20MB": "names a row of measurements",
    "fmcompress inspect FILE": "stands for the commands that follow",
    "fmcompress sweep …": "stands for the whole command",
    "fmcompress sweep fm.pt --budgets 10x,20x,40x,80x --train …": "stands for the whole command",
    "fmcompress train DATA/": "DATA stands for real data",
    "fmcompress quantize fm.pt --budget BYTES": "BYTES stands for a size",
    "fmcompress evaluate fm.pt ptq.safetensors tuned.safetensors --data DATA/": "DATA stands for real data",
}
"""How commands begin that are not run, and why."""

CODES = {
    "fmcompress quantize fm.pt --budget 200B -o tiny.safetensors": 1,
    "fmcompress check artifact.safetensors --max-size 10KB": 1,
}
"""Exit codes other than 0."""

SETTINGS = {
    "fmcompress quantize fm.pt --method xlightfm": {"FMCOMPRESS_QUANTIZE_SEARCH_STEPS": "2"},
}
"""Variables of the environment, by how commands begin."""

OF_THEIR_OWN = ("docs/quickstart.md", "docs/checkpoints.md", "docs/configuration.md", "docs/serving.md")
"""Pages whose commands are run by tests of their own: below, in test_checkpoints.py, test_configuration.py, and
tests/examples/test_serving_languages.py."""


def is_run(shown):
    return not any(shown.command.startswith(start) for start in NOT_RUN)


def settings_of(command):
    return next((settings for start, settings in SETTINGS.items() if command.startswith(start)), {})


def clear_outputs(command):
    """Remove what a command is about to write: each command of a page stands for itself."""
    for path in ["fm.fmc.safetensors", *re.findall(r" (?:-o|--output|--plot) (\S+)", command)]:
        Path(path).unlink(missing_ok=True)


def outline(text):
    """Return a text without what differs from model to model and from run to run.

    That are digests, figures, their signs and units, quantizers, whether a field is split, which fields are stored in
    another way than before, and the widths of columns.
    """
    text = re.sub(r"^\S+, tier \d+ of \d+ .*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"(^\S+ +re-quantized .*→.*\n)+", "FIELDS re-quantized →\n", text, flags=re.MULTILINE)
    text = re.sub(r"\b[0-9a-f]{64}\b", "DIGEST", text)
    text = re.sub(r"\b(raw|shared|b[\da-c]+|\d+x\d+|\d+(?:,\d+)+)(:(?:[234568]|32))?\b", "9", text)
    text = re.sub(r"[-+−]?\d[\d.,]*(e[-+]?\d+)?%?( [KMG]?B\b)?", "9", text)
    return re.sub(r"9(( \+)? 9)+", "9", re.sub(r"[ -]+", " ", text)).strip()


def check(shown, done):
    code, out, err = done
    assert code == CODES.get(shown.command, 0), err or out
    assert outline(shown.output) in outline(f"{out}{err}" if code else f"{out}\n{err}")


@pytest.mark.parametrize(
    "page", [page for page in PAGES if commands(page) and name_of(page) not in OF_THEIR_OWN], ids=name_of
)
def test_commands(page, folder, in_process, monkeypatch):
    for shown in filter(is_run, commands(page)):
        clear_outputs(shown.command)
        with monkeypatch.context() as patch:
            for name, value in settings_of(shown.command).items():
                patch.setenv(name, value)
            check(shown, in_process(shown.command))


def test_the_quickstart_is_a_session(demo_folder, in_shell, in_process, monkeypatch):
    """One command after the other, in the folder of the demo; those that need no torch by the console script itself."""
    monkeypatch.chdir(demo_folder)
    for shown in filter(is_run, commands(ROOT / "docs" / "quickstart.md")):
        clear_outputs(shown.command)
        ran = in_shell if re.match("fmcompress (inspect|report) ", shown.command) else in_process
        check(shown, ran(shown.command))


def test_no_excuse_is_left_over():
    shown = [one.command for page in PAGES for one in commands(page)]
    for start in (*NOT_RUN, *CODES, *SETTINGS):
        assert any(command.startswith(start) for command in shown), start
