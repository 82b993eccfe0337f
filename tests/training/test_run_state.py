"""The files of a long run: a state that is taken up again or refused in one line, a history that goes on."""

import hashlib
import json
import pickle

import pytest
import torch

from fmcompress.errors import OutputError, StateError, UsageError
from fmcompress.training import run_state as module
from fmcompress.training.run_state import RunFiles, RunState, open_run_state, read_state, write_state
from tests.notes import Notes

PRINT = {"seed": 0, "lr": 0.001, "torch": "2.13.0", "l2": None}
MEMORY = {
    "run": {"weights": torch.arange(6.0).reshape(2, 3), "groups": [{"lr": 1e-3, "betas": (0.9, 0.99)}]},
    "best": None,
}


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def files(tmp_path):
    return RunFiles(tmp_path / "out.resume", tmp_path / "history.jsonl")


def resumed(files, fingerprint=PRINT, **more):
    return open_run_state(RunFiles(files.state, files.history, resume=True), fingerprint, **more)


def test_a_silent_run_state_keeps_nothing():
    silent = RunState()
    silent.write("step", {})
    silent.save("tuning", MEMORY, "epoch 2")
    silent.finish("search", {})
    silent.clear()
    assert (silent.in_progress("tuning"), silent.position, silent.due) == (None, None, False)


def test_a_phase_in_progress_is_taken_up(files):
    open_run_state(files, PRINT).save("tuning", MEMORY, "epoch 2 of the tuning")
    notes = Notes()
    again = resumed(files, progress=notes)
    assert notes.lines == [f"{files.state}: going on from epoch 2 of the tuning"]
    assert again.position == "epoch 2 of the tuning"
    assert again.in_progress("search") is None
    found = again.in_progress("tuning")
    torch.testing.assert_close(found["run"].pop("weights"), MEMORY["run"]["weights"], rtol=0, atol=0)
    assert found == {**MEMORY, "run": {"groups": MEMORY["run"]["groups"]}}


def test_finished_phases_are_skipped(files):
    first = open_run_state(files, PRINT)
    first.save("search", MEMORY, "epoch 1 of the search")
    first.finish("search", {"widths": [8, 4]})
    again = resumed(files)
    assert again.position == "the end of the search"
    assert (again.in_progress("search"), again.result("search"), again.result("tuning")) == (
        None,
        {"widths": [8, 4]},
        None,
    )
    again.save("tuning", MEMORY, "epoch 3 of the tuning")
    third = resumed(files)
    assert third.result("search") == {"widths": [8, 4]}
    assert third.in_progress("tuning") is not None
    with pytest.raises(TypeError):
        third.finish("tuning", {"weights": torch.zeros(1)})


def test_seconds_go_on(files, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    first = open_run_state(files, PRINT)
    now[0] += 299
    assert not first.due
    now[0] += 1
    assert first.due
    first.save("tuning", MEMORY, "epoch 1")
    assert not first.due
    now[0] = 5.0
    again = resumed(files)
    now[0] += 2
    assert again.seconds == 302


def test_no_state_to_resume(files):
    notes = Notes()
    assert resumed(files, progress=notes).position is None
    assert notes.lines == [f"{files.state} does not exist: the run starts from its beginning"]
    with pytest.raises(UsageError, match="no state"):
        open_run_state(RunFiles(resume=True), PRINT)


def test_starting_afresh_replaces_the_state_when_there_is_a_new_one(files):
    open_run_state(files, PRINT).save("tuning", MEMORY, "epoch 2")
    files.history.unlink()
    before = files.state.read_bytes()
    notes = Notes()
    afresh = open_run_state(files, {"seed": 1}, progress=notes)
    assert "--resume" in notes.lines[0]
    assert (afresh.in_progress("tuning"), afresh.position) == (None, None)
    afresh.clear()
    assert files.state.read_bytes() == before
    afresh.save("tuning", MEMORY, "epoch 1")
    assert read_state(files.state)["fingerprint"] == {"seed": 1}
    afresh.clear()
    assert not files.state.exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"lr": 0.01, "seed": 3}, "its seed was 0, and now it is 3"),
        ({"lr": 0.01}, "its lr was 0.001, and now it is 0.01"),
        ({"torch": "2.14.0"}, r"its torch was 2\.13\.0, and now it is 2\.14\.0"),
        ({"l2": 1.0}, "its l2 was None, and now it is 1.0"),
        ({"gumbel": 1}, "its gumbel was None, and now it is 1"),
    ],
)
def test_the_state_of_another_run_is_refused(files, changes, says):
    open_run_state(files, PRINT).save("tuning", MEMORY, "epoch 2")
    with pytest.raises(StateError, match=says):
        resumed(files, {**PRINT, **changes})


class Evil:
    def __reduce__(self):
        return print, ("evil",)


def sealed(content):
    return b"fmcompress state 3\n" + hashlib.sha256(content).digest() + content


def broken_states(path):
    whole = path.read_bytes()
    yield from (whole[:size] for size in (0, 5, 19, 40, 51, 100, len(whole) - 1))
    for place in range(0, len(whole), 97):
        yield whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
    yield from (whole + b"\0", b"PK\x03\x04 something else", whole.replace(b"state 3", b"state 2"))
    yield from (sealed(content) for content in (b"", b"nothing", pickle.dumps(Evil(), protocol=2)))


def test_damaged_states_are_refused(files, capsys):
    open_run_state(files, PRINT).save("tuning", MEMORY, "epoch 2")
    for content in list(broken_states(files.state)):
        files.state.write_bytes(content)
        with pytest.raises(StateError, match=r"is damaged|is not the state") as caught:
            resumed(files)
        assert str(caught.value).count("\n") == 0
    assert "evil" not in capsys.readouterr().out


GOOD = {
    "fingerprint": {"seed": 0},
    "finished": {},
    "stage": "tuning",
    "course": {},
    "position": "",
    "seconds": 0.0,
    "history": 0,
}


@pytest.mark.parametrize("name", GOOD)
def test_sealed_states_of_another_shape_are_refused(files, name):
    for content in ({key: GOOD[key] for key in GOOD if key != name}, [], None):
        write_state(files.state, content)
        with pytest.raises(StateError, match="is damaged"):
            resumed(files, {"seed": 0})
    write_state(files.state, {"fingerprint": Evil(), **{key: GOOD[key] for key in GOOD if key != "fingerprint"}})
    with pytest.raises(StateError, match="is damaged"):
        resumed(files, {"seed": 0})


def test_states_that_cannot_be_files(tmp_path):
    for path in (tmp_path, tmp_path / "none" / "out.resume", tmp_path / ("x" * 300)):
        with pytest.raises(OutputError):
            open_run_state(RunFiles(path), PRINT)


def test_the_history_is_as_of_an_unbroken_run(files):
    first = open_run_state(files, PRINT)
    first.write("step", {"step": 1, "loss": 0.5})
    first.save("tuning", MEMORY, "epoch 1")
    first.write("step", {"step": 2, "loss": float("nan")})
    assert lines(files.history) == [
        {"event": "start", **PRINT},
        {"event": "step", "step": 1, "loss": 0.5},
        {"event": "step", "step": 2, "loss": None},
    ]
    with files.history.open("ab") as file:
        file.write(b'{"event": "st')  # broken off in the middle of a line
    again = resumed(files)
    again.write("step", {"step": 2, "loss": 0.25})
    assert [line.get("loss") for line in lines(files.history)] == [None, 0.5, 0.25]


def test_nothing_is_written_before_the_first_event(files):
    run_state = open_run_state(files, PRINT)
    assert not files.history.exists()
    run_state.write("end", {})
    assert len(lines(files.history)) == 2


def test_a_history_that_exists_is_not_overwritten(files):
    files.history.write_text("another file\n")
    for resume in (False, True):
        with pytest.raises(OutputError, match="exists"):
            open_run_state(RunFiles(files.state, files.history, resume=resume), PRINT)
    assert files.history.read_text() == "another file\n"
    open_run_state(RunFiles(files.state, files.history, force=True), PRINT).write("end", {})
    assert [line["event"] for line in lines(files.history)] == ["start", "end"]


def test_a_history_begun_before_the_first_state_starts_again(files):
    open_run_state(files, PRINT).write("step", {"step": 100})
    resumed(files).write("step", {"step": 100})
    assert [line["event"] for line in lines(files.history)] == ["start", "step"]


def test_a_history_that_was_cut_is_refused(files):
    first = open_run_state(files, PRINT)
    first.write("step", {"step": 100})
    first.save("tuning", MEMORY, "epoch 1")
    heading = files.history.read_bytes().splitlines(keepends=True)[0]
    files.history.write_bytes(heading)
    with pytest.raises(StateError, match="expected the"):
        resumed(files)
