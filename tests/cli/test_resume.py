"""Long runs from the command line: killed and resumed, told of line by line, refused in one line."""

import json
import os
import signal

import pytest

from tests.conftest import BUDGET

pytestmark = pytest.mark.slow

EPOCHS = 6


def arguments(files, *more, epochs=EPOCHS):
    data = ("--train", files.train, "--valid", files.valid, "--device", "cpu")
    return ("quantize", files.fm, "--budget", BUDGET, *data, "--epochs", str(epochs), "--batch-size", "64", *more)


def history(path):
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def stop(fmcompress, argv, *, at, sent):
    """Start a job, send it a signal once a line of its progress holds a text, and return its last words."""
    with fmcompress.start(*argv, env={"OMP_NUM_THREADS": "2", **os.environ}) as process:
        for line in process.stderr:
            if at in line:
                process.send_signal(sent)
                break
        rest = process.stderr.read()
        return process.wait(120), rest.splitlines()[-1:]


@pytest.fixture(scope="module")
def unbroken(files, tmp_path_factory):
    from tests.conftest import CommandLine

    fmcompress = CommandLine(tmp_path_factory.mktemp("unbroken"))
    fmcompress(*arguments(files, "-o", "out.safetensors", "--history", "history.jsonl"))
    assert sorted(os.listdir(fmcompress.folder)) == ["history.jsonl", "out.safetensors"]
    return fmcompress.folder


def test_killed_and_resumed(fmcompress, files, unbroken):
    argv = arguments(files, "-o", "out.safetensors", "--history", "history.jsonl")
    rc, _ = stop(fmcompress, argv, at="epoch 2 of", sent=signal.SIGKILL)
    assert rc == -signal.SIGKILL
    assert {"history.jsonl", "out.safetensors.resume"} <= set(os.listdir(fmcompress.folder))
    rc, last = stop(fmcompress, [*argv, "--resume"], at="epoch 4 of", sent=signal.SIGINT)
    assert rc == 130
    assert last[0].startswith("interrupted: no output was written (--resume goes on from epoch ")
    done = fmcompress(*argv, "--resume")
    assert done.stderr.startswith("out.safetensors.resume: going on from epoch ")
    assert (fmcompress.folder / "out.safetensors").read_bytes() == (unbroken / "out.safetensors").read_bytes()
    assert history(fmcompress.folder / "history.jsonl") == history(unbroken / "history.jsonl")
    assert sorted(name for name in os.listdir(fmcompress.folder) if not name.endswith(".tmp")) == [
        "history.jsonl",
        "out.safetensors",
    ]


def test_the_history(files, unbroken):
    start, *lines, end = history(unbroken / "history.jsonl")
    expected = {"event": "start", "budget_bytes": 6000, "method": "auto", "seed": 0, "lr": 0.005, "batch_size": 64,
                "epochs": EPOCHS, "train_rows": 20_000, "valid_rows": 4000, "device": "cpu",
                "train_bytes": files.train.stat().st_size}  # fmt: skip
    assert {name: start[name] for name in expected} == expected
    assert len(start["checkpoint_sha256"]) == 64
    assert {"fmcompress", "torch", "numpy", "faiss"} <= set(start)
    assert {line["event"] for line in lines} == {"step", "epoch"}
    assert [line["step"] for line in lines[1:4]] == [100, 200, 300]
    size = (unbroken / "out.safetensors").stat().st_size
    assert {line["bytes"] for line in lines if line.get("best")} >= {end["bytes"]} == {size}
    assert size <= 6000
    best = [line for line in lines if line.get("best")][-1]
    assert (end["event"], end["best_epoch"], end["auc"]) == ("end", best["epoch"], best["auc"])


@pytest.fixture(scope="module")
def broken_off(files, tmp_path_factory):
    """Return a folder with the state of a run that was broken off."""
    from tests.conftest import CommandLine

    fmcompress = CommandLine(tmp_path_factory.mktemp("broken"))
    rc, last = stop(
        fmcompress, arguments(files, "-o", "out.safetensors", epochs=10_000), at="epoch 1 of", sent=signal.SIGTERM
    )
    assert rc == 143
    assert "--resume goes on from epoch" in last[0]
    assert os.listdir(fmcompress.folder) == ["out.safetensors.resume"]
    return fmcompress


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (("--epochs", "9"), "its epochs was 10000, and now it is 9"),
        (("--lr", "0.01"), "its lr was 0.005, and now it is 0.01"),
        (("--seed", "4"), "its seed was 0, and now it is 4"),
        (("--budget", "5KB"), "its budget_bytes was 6000, and now it is 5000"),
        (("--oov", "zero"), "its oov was error, and now it is zero"),
    ],
)
def test_another_run_is_not_gone_on_with(here, broken_off, files, changes, says, monkeypatch):
    monkeypatch.chdir(broken_off.folder)
    done = here(*arguments(files, *changes, "-o", "out.safetensors", "--resume", epochs=10_000), rc=2)
    assert done.stderr.startswith(f"error: out.safetensors.resume is of another run: {says} (")
    assert done.stderr.count("\n") == 1
    assert os.listdir(broken_off.folder) == ["out.safetensors.resume"]


def test_other_data_are_refused(here, broken_off, files, monkeypatch):
    monkeypatch.chdir(broken_off.folder)
    argv = [files.test if part == files.valid else part for part in arguments(files, epochs=10_000)]
    assert "valid_bytes was" in here(*argv, "-o", "out.safetensors", "--resume", rc=2).stderr


def test_starting_afresh_is_noted(broken_off, files):
    argv = arguments(files, "-o", "out.safetensors", epochs=10_000)
    state = broken_off.folder / "out.safetensors.resume"
    before = state.read_bytes()
    _, last = stop(broken_off, argv, at="--resume goes on with it", sent=signal.SIGINT)
    assert last == ["interrupted: no output was written"]  # and the earlier state is still there
    assert state.read_bytes() == before


@pytest.mark.parametrize("cut", [0, 10, 5000, -1])
def test_damaged_states_are_refused(here, broken_off, files, cut, tmp_path):
    state = tmp_path / "out.safetensors.resume"
    content = (broken_off.folder / state.name).read_bytes()[:cut]
    state.write_bytes(content)
    done = here(*arguments(files, "-o", "out.safetensors", "--resume", epochs=10_000), rc=2)
    assert done.stderr.startswith("error: out.safetensors.resume is ")
    assert done.stderr.count("\n") == 1
    assert os.listdir() == [state.name]
    assert state.read_bytes() == content


def test_nothing_to_resume(here, files):
    done = here(*arguments(files, "-o", "out.safetensors", "--resume", epochs=1))
    assert done.stderr.startswith("out.safetensors.resume does not exist: the run starts from its beginning\n")
    assert os.listdir() == ["out.safetensors"]


def test_dry_runs_keep_no_files(here, files):
    here(*arguments(files, "--dry-run", "--history", "history.jsonl"))
    assert os.listdir() == []
