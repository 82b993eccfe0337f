"""Help that a newcomer can read, and what the command line says to one who errs."""

import subprocess
import sys
from pathlib import Path

import pytest
import typer
from fmcompress_cli.main import EXAMPLES, app, run

from tests.conftest import console_script

GROUP = typer.main.get_command(app)
HEAVY = ("torch", "faiss", "pyarrow", "sklearn", "scipy", "numpy")


def shown(capsys, monkeypatch, *args):
    """Return exit code, standard output and standard error of a command line, run in this process."""
    monkeypatch.setattr(sys, "argv", ["fmcompress", *args])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as caught:
        run()
    return caught.value.code, *capsys.readouterr()


def test_no_help_imports_anything_heavy():
    code = (
        "import sys; from fmcompress_cli.main import run\n"
        "for command in sys.argv[1:]:\n"
        "    sys.argv[1:] = [command, '--help']\n"
        "    try: run()\n"
        "    except SystemExit as end: assert end.code == 0\n"
        f"print('heavy:', [name for name in {HEAVY} if name in sys.modules])"
    )
    python = Path(console_script()).with_name("python")
    done = subprocess.run([python, "-c", code, *GROUP.commands], capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.count("Usage: ") == len(GROUP.commands)
    assert done.stdout.endswith("heavy: []\n")


def test_the_list_of_commands_is_not_cut_short(capsys, monkeypatch):
    code, out, _ = shown(capsys, monkeypatch, "--help")
    listed = out.split("Commands:\n")[1].split("\n\n")[0].splitlines()
    assert code == 0
    assert len(listed) == len(GROUP.commands)
    assert all(line.endswith(".") and not line.endswith("...") for line in listed)


@pytest.mark.parametrize("command", GROUP.commands)
def test_help_fits_and_explains_every_option(command, capsys, monkeypatch):
    _, out, _ = shown(capsys, monkeypatch, command, "-h")
    assert max(map(len, out.splitlines())) <= 80
    assert "\nExamples:\n  fmcompress " in out
    for parameter in GROUP.commands[command].params:
        said = parameter.help.split("  [default")[0]
        assert said.endswith("."), said
        assert said[:1].isupper() or said.startswith("auto"), said


@pytest.mark.parametrize("command", EXAMPLES)
def test_examples_parse(command, monkeypatch):
    lines = "\n".join(EXAMPLES[command]).replace("\\\n", " ").splitlines()
    for line in lines:
        program, name, *args = line.split()
        assert (program, name) == ("fmcompress", command)
        GROUP.commands[command].make_context(command, args)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (
            ["train"],
            "Missing argument 'DATA': file, folder, glob or URI of training rows: Parquet, CSV or",
        ),
        (["train", "a"], "Missing option '--output' / '-o': checkpoint to write, .pt or .safetensors ("),
        (["quantize", "fm.pt", "--budgte", "1KB"], "No such option: --budgte. Did you mean --budget? ("),
        (["quantize", "fm.pt", "-budget", "1KB"], "No such option: -budget (did you mean --budget?)"),
        (["quantize", "fm.pt", "--budget"], "Option '--budget' requires an argument (fmcompress quantize --help shows"),
        (["quantize", "fm.pt", "--method", "lightfn"], "--method is 'lightfn', expected auto, lightfm or xlightfm ("),
        (["quantize", "fm.pt", "--epochs", "x"], "--epochs is 'x', expected a whole number, 0 or more ("),
        (["quantize", "fm.pt", "--lr", "fast"], "--lr is 'fast', expected a number ("),
        (["quantize", "fm.pt", "--plot", "a.svg"], "No such option: --plot; sweep has it ("),
        (["quantize", "fm.pt", "10MB"], "unexpected extra argument(s) (10MB) (fmcompress quantize --help"),
        (["quantise"], "No such command 'quantise'. Did you mean 'quantize'? (fmcompress --help shows"),
        (["--quiet"], "Missing command (fmcompress --help shows the usage)"),
        (["report", "README.md"], "an artifact is a file that quantize wrote; inspect shows checkpoints"),
    ],
)
def test_what_a_newcomer_gets_wrong(args, says, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "README.md").write_text("# No artifact\n")
    code, out, err = shown(capsys, monkeypatch, *args)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: ")
    assert says in err


def test_the_demo_replaces_no_file_of_yours(capsys, monkeypatch, tmp_path):
    (tmp_path / "fm.pt").write_bytes(b"mine")
    code, _, err = shown(capsys, monkeypatch, "demo", "--folder", str(tmp_path))
    assert code == 2
    assert "fm.pt exists (pass --force to replace it)" in err
    assert [path.name for path in tmp_path.iterdir()] == ["fm.pt"]
