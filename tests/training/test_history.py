"""The history of a run: a line for each event, gone on with from where a state was saved."""

import json

import pytest

from fmcompress.errors import FMCompressError, OutputError, StateError
from fmcompress.training.history import open_history

PRINT = {"seed": 0, "l2": None}


def events(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "history.jsonl"


def test_numbers_that_json_has_not_are_null_in_their_place(path):
    history = open_history(path, PRINT)
    assert not path.exists()
    history.write("step", {"loss": float("nan"), "lr": 0.5, "best": float("-inf"), "codewords": {"user": [4, 2]}})
    start, step = path.read_text().splitlines()
    assert start == '{"event": "start", "seed": 0, "l2": null}'
    assert step == '{"event": "step", "loss": null, "lr": 0.5, "best": null, "codewords": {"user": [4, 2]}}'


def test_what_came_after_the_mark_is_cut_off(path):
    first = open_history(path, PRINT)
    first.write("step", {"step": 1})
    size = first.mark()
    assert size == path.stat().st_size
    first.write("step", {"step": 2})
    again = open_history(path, PRINT, resume=True, size=size)
    assert len(events(path)) == 3  # nothing is cut before the first event
    again.write("step", {"step": 3})
    again.write("step", {"step": 4})
    assert [event.get("step") for event in events(path)] == [None, 1, 3, 4]


def test_a_history_of_another_run_is_begun_anew_only_by_force(path):
    open_history(path, PRINT).write("end", {})
    other = {**PRINT, "seed": 1}
    with pytest.raises(OutputError, match="exists"):
        open_history(path, other, resume=True)
    open_history(path, other, resume=True, force=True).write("step", {})
    assert [event["event"] for event in events(path)] == ["start", "step"]
    assert events(path)[0]["seed"] == 1


def test_a_history_shorter_than_it_was_is_refused(path):
    open_history(path, PRINT).write("end", {})
    with pytest.raises(StateError, match=f"expected the {path.stat().st_size + 1} of when"):
        open_history(path, PRINT, resume=True, size=path.stat().st_size + 1)


def test_a_history_that_cannot_be_written(tmp_path):
    for path in (tmp_path, tmp_path / "none" / "history.jsonl", tmp_path / ("x" * 300)):
        with pytest.raises(FMCompressError):
            open_history(path, PRINT, resume=True)
    full = tmp_path / "folder" / "history.jsonl"
    full.parent.mkdir()
    history = open_history(full, PRINT)
    full.parent.rmdir()
    for write in (lambda: history.write("step", {}), history.mark):
        with pytest.raises(OutputError, match="cannot be written"):
            write()
