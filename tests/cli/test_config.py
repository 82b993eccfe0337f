"""Configuration: what a file and the environment say, who wins, and what is refused."""

import os
import re
import sys
from pathlib import Path

import pytest
import typer
from fmcompress_cli.command import ConfiguredCommand
from fmcompress_cli.config import configure
from fmcompress_cli.main import app, run

from fmcompress.errors import UsageError
from tests.conftest import BUDGET

COMMANDS = {
    name: command
    for name, command in typer.main.get_command(app).commands.items()
    if isinstance(command, ConfiguredCommand)
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def values(command, start=None, env=None, file=None, use_file=True):
    """Return what configuration says for a command, by option."""
    found = configure(COMMANDS, start or Path.cwd(), env or {}, file=file, use_file=use_file)
    return {setting.key.name: setting.value for setting in found.commands.get(command, {}).values()}


def refusal(text="", env=None, name="fmcompress.toml"):
    """Return the error, with its hint, that a file or the environment ends in."""
    Path(name).write_text(text, "utf-8")
    with pytest.raises(UsageError) as caught:
        values("quantize", env=env)
    return f"{caught.value} ({caught.value.hint})"


def test_a_table_for_one_command_and_keys_for_all(folder):
    (folder / "fmcompress.toml").write_text('label = "click"\nseed = 3\n[quantize]\nbudget = "10MB"\nseed = 4\n')
    assert values("quantize") == {"label": "click", "budget": "10MB", "seed": 4}
    assert values("train") == {"label": "click", "seed": 3}
    assert values("report") == {}


def test_what_the_library_heeds_is_no_option(folder):
    assert values("quantize", env={"FMCOMPRESS_NATIVE": "0", "FMCOMPRESS_ISA": "avx2"}) == {}


def test_the_environment_wins_over_the_file(folder):
    (folder / "fmcompress.toml").write_text('label = "a"\n[quantize]\nlabel = "b"\nepochs = 1\nlr = 0.1\n')
    assert values("quantize", env={"FMCOMPRESS_LABEL": "c"})["label"] == "c"
    env = {"FMCOMPRESS_LABEL": "c", "FMCOMPRESS_QUANTIZE_LABEL": "d", "FMCOMPRESS_QUANTIZE_EPOCHS": "2"}
    assert values("quantize", env=env) == {"label": "d", "epochs": 2, "lr": 0.1}
    assert values("quantize", env={"FMCOMPRESS_LABEL": ""})["label"] == "b"
    assert values("sweep", env=env, use_file=False) == {"label": "c"}


def test_types_of_toml_and_of_variables(folder):
    (folder / "fmcompress.toml").write_text(
        '[quantize]\nbudget = 4096\nlr = 1\nwith-vocab = true\ninstance-norm = false\nmethod = "lightfm"\n'
        'fields = ["user:7", "item:5"]\n[train]\nl2 = 0.001\n[sweep]\nbudgets = [4096, "10x"]\n'
    )
    assert values("quantize") == {
        "budget": "4096", "lr": 1.0, "with-vocab": True, "instance-norm": False, "method": "lightfm",
        "fields": "user:7,item:5",
    }  # fmt: skip
    assert values("train") == {"l2": "0.001"}
    assert values("sweep") == {"budgets": "4096,10x"}
    variables = {"BATCH_SIZE": "16", "WITH_VOCAB": "no", "INSTANCE_NORM": "1", "BUDGET": "4KB"}
    found = values("quantize", env={f"FMCOMPRESS_QUANTIZE_{name}": text for name, text in variables.items()})
    assert {"batch-size": 16, "with-vocab": False, "instance-norm": True, "budget": "4KB"}.items() <= found.items()


def test_a_shared_value_is_for_the_commands_that_know_it(folder):
    (folder / "fmcompress.toml").write_text('format = "markdown"\n')
    assert values("report") == values("evaluate") == {"format": "markdown"}
    assert values("train") == {}


def test_the_nearest_file_is_found_up_to_the_root_of_the_repository(folder):
    deep = folder / "a" / "b"
    deep.mkdir(parents=True)
    (folder / "fmcompress.toml").write_text("seed = 1\n")
    assert values("quantize", deep) == {"seed": 1}
    (folder / "a" / "pyproject.toml").write_text("[tool.other]\nthis = is not TOML\n")
    assert values("quantize", deep) == {"seed": 1}
    (folder / "a" / "pyproject.toml").write_text("[tool.fmcompress]\nseed = 2\n[tool.fmcompress.quantize]\nlr = 0.5\n")
    assert values("quantize", deep) == {"seed": 2, "lr": 0.5}
    (folder / "a" / "fmcompress.toml").write_text("seed = 3\n")
    assert values("quantize", deep) == {"seed": 3}
    assert values("quantize", deep, file=folder / "fmcompress.toml") == {"seed": 1}
    assert values("quantize", deep, use_file=False) == {}
    (deep / ".git").mkdir()
    assert values("quantize", deep) == {}


def test_paths_are_relative_to_the_file(folder):
    here = folder / "a[1]"
    here.mkdir()
    (folder / "fmcompress.toml").write_text(
        'vocab = "vocab.json"\n[quantize]\ntrain = "data/*.parquet"\noutput = "~/m.safetensors"\n'
        f'valid = "{folder}/v"\n'
    )
    expected = {"vocab": "vocab.json", "train": "data/*.parquet", "valid": f"{folder}/v"}
    assert expected.items() <= values("quantize").items()
    found = values("quantize", here)
    assert found["vocab"] == f"{folder}/vocab.json"
    assert found["train"] == f"{folder}/data/*.parquet"
    assert found["output"] == os.path.expanduser("~/m.safetensors")
    (here / "fmcompress.toml").write_text('[quantize]\ntrain = "*.parquet"\nvalid = "v"\n')
    assert values("quantize", here / "b") == {"train": f"{folder}/a[[]1]/*.parquet", "valid": f"{here}/v"}
    assert values("quantize", env={"FMCOMPRESS_QUANTIZE_TRAIN": "t"})["train"] == "t"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("lable = 'x'", "unknown key 'lable' in fmcompress.toml .did you mean label"),
        ("budget = '1KB'", r"unknown key 'budget' in fmcompress.toml .it belongs in \[quantize\]"),
        ("output = 'x'", r"unknown key 'output'.*belongs in \[train\], \[quantize\]"),
        ("train = 'x'", r"unknown key 'train'.*\[train\] is a table"),
        ("force = true", "unknown key 'force'.*--force is asked for at each run"),
        ("[quantise]", r"unknown table \[quantise\] in fmcompress.toml .did you mean quantize"),
        ("[quantize]\nbatch_size = 2", r"'batch_size' in \[quantize\] of fmcompress.toml .did you mean batch-size"),
        ("[quantize]\nplot = 'x'", r"'plot' in \[quantize\].*it belongs in \[sweep\]"),
        ("[quantize]\nresume = true", "'resume'.*asked for at each run"),
        ("[quantize]\nepochs = '2'", r"epochs in \[quantize\] of fmcompress.toml is '2', expected a whole number, 0"),
        ("[quantize]\nepochs = true", "is True, expected a whole number"),
        ("[quantize]\nepochs = 1.5", "is 1.5, expected a whole number"),
        ("[quantize]\nlr = 'fast'", "is 'fast', expected a number"),
        ("[quantize]\nbudget = ['1KB']", "expected a text"),
        ("[quantize]\nbudget = 2020-01-01", "expected a text"),
        ("[quantize]\nwith-vocab = 1", "is 1, expected true or false"),
        ("[quantize]\nvalid = ''", "is '', expected a path"),
        ("seed = -1", "seed in fmcompress.toml is -1, expected a whole number from 0 to 2147483647"),
        ("match = 'nmae'", "is 'nmae', expected name or order"),
        ("match = {a = 1}", r"unknown table \[match\]"),
        ("[report]\nformat = 'xml'", "is 'xml', expected text, json"),
        ("[quantize\n", "fmcompress.toml is not TOML: .*line 1"),
        ("quiet = 'yes'", "quiet in fmcompress.toml is 'yes', expected true or false"),
    ],
)  # fmt: skip
def test_what_a_file_cannot_say(folder, text, says):
    assert re.search(says, refusal(text))


def test_a_table_of_pyproject_is_named_in_full(folder):
    text = "[tool.fmcompress.quantize]\nepochs = -1\n"
    assert "epochs in [tool.fmcompress.quantize] of pyproject.toml is -1" in refusal(text, name="pyproject.toml")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("LABLE", "x", "unknown environment variable FMCOMPRESS_LABLE .did you mean FMCOMPRESS_LABEL"),
        ("QUANTIZE_BUGDET", "x", "did you mean FMCOMPRESS_QUANTIZE_BUDGET"),
        ("QUANTIZE_FORCE", "1", "--force is asked for at each run"),
        ("SEED", "three", "FMCOMPRESS_SEED is 'three', expected a whole number"),
        ("QUANTIZE_WITH_VOCAB", "maybe", "is 'maybe', expected true or false"),
        ("MATCH", "nmae", "is 'nmae', expected name or order"),
    ],
)
def test_what_a_variable_cannot_say(folder, name, text, says):
    assert re.search(says, refusal(env={f"FMCOMPRESS_{name}": text}))


def test_the_examples_of_the_documentation_are_right(folder):
    text = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text("utf-8")
    whole, project = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    (folder / "fmcompress.toml").write_text(whole)
    assert values("quantize")["train"] == "data/train/*.parquet"
    assert values("check")["data"] == "data/test.parquet"
    (folder / "fmcompress.toml").unlink()
    (folder / "pyproject.toml").write_text(project)
    assert values("quantize") == {"label": "click", "budget": "10MB"}
    exported = [word.partition("=")[::2] for line in re.findall(r"\$ export (.*)", text) for word in line.split()]
    assert values("check", env=dict(exported))["max-size"] == "10MB"
    told = re.search(r"error: (unknown key .*) \(did", text)[1]
    assert told in refusal("[quantize]\nbugdet = 1\n")


@pytest.mark.slow
def test_the_command_line_wins_and_required_options_may_come_from_a_file(fmcompress, files):
    (fmcompress.folder / "fmcompress.toml").write_text(
        f"quiet = true\n[quantize]\nbudget = '{BUDGET}'\noutput = 'a.safetensors'\n[evaluate]\ndata = '{files.test}'\n"
    )
    assert fmcompress("evaluate", files.ptq).stdout.startswith("model")
    told = fmcompress("quantize", files.fm, "--budget", "1MB", "--debug").stderr.splitlines()
    assert f"configuration: budget = {BUDGET}, from [quantize] of fmcompress.toml" in told
    assert all(line.startswith("configuration: ") for line in told)  # quiet: not that the budget is larger than needed
    assert (fmcompress.folder / "a.safetensors").stat().st_size > 6000


def test_check_leaves_data_alone_that_no_limit_needs(fmcompress, files):
    (fmcompress.folder / "fmcompress.toml").write_text(f"data = '{files.test}'\n[check]\nbaseline = '{files.fm}'\n")
    assert "max-size" in fmcompress("check", files.ptq, "--max-size", "10MB").stdout
    assert "max-growth" in fmcompress("check", files.ptq, "--max-growth", "1KB").stdout


def said(args, monkeypatch, capsys):
    """Return the one line that a command line ends with."""
    monkeypatch.setattr(sys, "argv", ["fmcompress", *args])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit) as caught:
        run()
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    return err


def test_an_error_says_which_setting_it_is_about(folder, monkeypatch, capsys):
    (folder / "fmcompress.toml").write_text("[quantize]\nbudget = 'tiny'\n")
    line = said(["quantize", "fm.pt"], monkeypatch, capsys)
    assert "'tiny' is not a size" in line
    assert "budget is set in [quantize] of fmcompress.toml" in line
    assert "fmcompress.toml" not in said(["quantize", "fm.pt", "--budget", "tiny"], monkeypatch, capsys)
    assert "fm.pt: there is no such file" in said(["quantize", "fm.pt", "--no-config"], monkeypatch, capsys)


def test_a_file_and_a_variable_can_name_the_file(folder, monkeypatch, capsys):
    (folder / "ci.toml").write_text("nonsense = 1\n")
    for args in (["report", "x", "--config", "ci.toml"], ["--config=ci.toml", "report", "x"]):
        assert "unknown key 'nonsense' in ci.toml" in said(args, monkeypatch, capsys)
    assert "none.toml cannot be read" in said(["report", "x", "--config", "none.toml"], monkeypatch, capsys)
    assert "--config' requires an argument" in said(["report", "x", "--config"], monkeypatch, capsys)
    monkeypatch.setenv("FMCOMPRESS_CONFIG", "ci.toml")
    assert "in ci.toml" in said(["report", "x"], monkeypatch, capsys)


def test_help_and_version_need_no_configuration(fmcompress):
    (fmcompress.folder / "fmcompress.toml").write_text("nonsense = 1\n")
    assert "--budget" in fmcompress("quantize", "--help").stdout
    assert "'nonsense'" in fmcompress("quantize", "fm.pt", rc=2).stderr
