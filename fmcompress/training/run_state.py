"""What a long run keeps on the disk, so that it can be broken off and taken up again: its state, its history.

A run has stages, such as a search and the tuning of what it found. The state holds the results of the stages
that are done, and the memory of the one in progress; a resumed run skips the former and goes on in the latter.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmcompress.errors import StateError, UsageError
from fmcompress.files import check_writable, replacing
from fmcompress.progress import SILENT, Progress
from fmcompress.training.history import History

Fingerprint = Mapping[str, str | int | float | None]

_MAGIC = b"fmcompress state 1\n"
_SAVE_EVERY_S = 300.0
_AFRESH = "start afresh without --resume"
# What reading raises where the bytes, sealed though they are, hold something else than we write.
_SHAPE_ERRORS = (ValueError, TypeError, KeyError, IndexError, AttributeError)
_LOAD_ERRORS = (pickle.UnpicklingError, RuntimeError, EOFError, OSError, *_SHAPE_ERRORS)


@dataclass(frozen=True)
class RunFiles:
    """The files that a long run keeps.

    Attributes:
        state: what a run needs to go on, written while it runs; None keeps none.
        history: JSON lines that tell how the run went; None writes none.
        resume: whether to go on from the state, if there is one.
        force: whether an existing history is replaced.
    """

    state: Path | None = None
    history: Path | None = None
    resume: bool = False
    force: bool = False


class Journal:
    """The state and the history of a run; ``Journal()`` keeps nothing.

    Attributes:
        position: where a resumed run would go on; None where nothing has been saved.
    """

    def __init__(
        self, files: RunFiles | None = None, fingerprint: Fingerprint | None = None, *, progress: Progress = SILENT
    ) -> None:
        """Check the files, and read the state where the run is resumed.

        Args:
            files: the files to keep.
            fingerprint: all that decides the result of the run: a state is taken up where it is the same.
            progress: told from where the run goes on.

        Raises:
            UsageError: a run without a state is to be resumed.
            StateError: the state is damaged, or of another run.
            OutputError: the history exists, or a file cannot be written.
        """
        files = files or RunFiles()
        self._path = files.state
        self._fingerprint = dict(fingerprint or {})
        self._finished: dict[str, dict[str, Any]] = {}
        self._course: tuple[str, dict[str, Any]] | None = None
        self.position: str | None = None
        self._started = self._saved = time.monotonic()
        size = self._resume(files.resume, progress)
        self._history = (
            None
            if files.history is None
            else History(files.history, self._fingerprint, force=files.force, resume=files.resume, size=size)
        )

    def _resume(self, wanted: bool, progress: Progress) -> int:
        """Take up the saved state, and return the size that the history had then."""
        if self._path is None:
            if wanted:
                raise UsageError(
                    "there is no state to resume from", hint="name the file that the run keeps its state in"
                )
            return 0
        check_writable(self._path, force=True)
        if not self._path.exists():
            if wanted:
                progress.note(f"{self._path} does not exist: the run starts from its beginning")
            return 0
        if not wanted:
            progress.note(f"{self._path} is of a run that was broken off, and is replaced (--resume goes on with it)")
            return 0
        return self._take_up(self._path, read_state(self._path), progress)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Turn what a memory of another shape leads to into the error for a damaged state."""
        try:
            yield
        except _SHAPE_ERRORS as error:
            raise damaged(self._path or Path()) from error

    def _take_up(self, path: Path, state: dict[str, Any], progress: Progress) -> int:
        with self.reading():
            check_same(path, state["fingerprint"], self._fingerprint)
            self._finished = dict(state["finished"])
            self._course = (state["stage"], state["course"]) if state["stage"] else None
            self.position = str(state["position"])
            self._started -= float(state["seconds"])
            size = int(state["history"])
        progress.note(f"{path}: going on from {self.position}")
        return size

    @property
    def keeps_state(self) -> bool:
        """Whether there is a file for the state."""
        return self._path is not None

    @property
    def seconds(self) -> float:
        """Seconds that the run has taken so far, those before it was broken off included."""
        return time.monotonic() - self._started

    @property
    def due(self) -> bool:
        """Whether the state should be saved again: so much time has gone by."""
        return self._path is not None and time.monotonic() - self._saved >= _SAVE_EVERY_S

    def result(self, stage: str) -> dict[str, Any] | None:
        """Return the result of a stage that is done, None if it is not."""
        return self._finished.get(stage)

    def finish(self, stage: str, result: dict[str, Any]) -> None:
        """Keep the result of a stage, which JSON must be able to tell.

        Raises:
            OutputError: a file cannot be written.
        """
        self._finished[stage] = json.loads(json.dumps(result))
        self._course = None
        self.write("result", {"stage": stage, "result": self._finished[stage]})
        self._save(f"the end of the {stage}")

    def memory(self, stage: str) -> dict[str, Any] | None:
        """Return what was saved of a stage in progress; None where it is to start from its beginning."""
        return self._course[1] if self._course and self._course[0] == stage else None

    def save(self, stage: str, memory: dict[str, Any], position: str) -> None:
        """Save the state.

        Args:
            stage: the stage in progress.
            memory: nested dicts and lists of tensors, numbers and texts that it goes on from.
            position: where that is, in words.

        Raises:
            OutputError: a file cannot be written.
        """
        self._course = stage, memory
        self._save(position)
        self._course = None  # what has been saved is not kept in memory twice

    def _save(self, position: str) -> None:
        if self._path is None:
            return
        stage, course = self._course or ("", {})
        state = {
            "fingerprint": self._fingerprint,
            "finished": self._finished,
            "stage": stage,
            "course": course,
            "position": position,
            "seconds": self.seconds,
            "history": self._history.mark() if self._history else 0,
        }
        write_state(self._path, state)
        self.position = position
        self._saved = time.monotonic()

    def write(self, event: str, figures: Mapping[str, Any]) -> None:
        """Add a line to the history.

        Raises:
            OutputError: the file cannot be written.
        """
        if self._history:
            self._history.write(event, figures)

    def clear(self) -> None:
        """Remove the state: the run is over, and its output written."""
        if self._path is not None and self.position is not None:
            self._path.unlink(missing_ok=True)
            self.position = None


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write a state, sealed by its SHA-256; a reader sees the old one or the new one, never a part.

    Raises:
        OutputError: the system refuses.
    """
    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getbuffer()
    with replacing(path, force=True) as file:
        file.write(_MAGIC + hashlib.sha256(content).digest())
        file.write(content)


def read_state(path: Path) -> dict[str, Any]:
    """Return what ``write_state`` wrote; no code from the file is ever run.

    Raises:
        StateError: it is something else, damaged, or cannot be read.
    """
    import torch

    try:
        content = memoryview(path.read_bytes())
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror or error}") from error
    seal_end = len(_MAGIC) + hashlib.sha256().digest_size
    if content[: len(_MAGIC)] != _MAGIC:
        raise StateError(f"{path} is not the state of a run, as this version writes it", hint=_AFRESH)
    if content[len(_MAGIC) : seal_end] != hashlib.sha256(content[seal_end:]).digest():
        raise damaged(path)
    try:
        state = torch.load(io.BytesIO(content[seal_end:]), map_location="cpu", weights_only=True)
    except _LOAD_ERRORS as error:
        raise damaged(path) from error
    if not isinstance(state, dict):
        raise damaged(path)
    return state


def damaged(path: Path) -> StateError:
    """Return the error for a state that cannot be gone on from."""
    return StateError(f"{path} is damaged: no run can go on from it", hint=_AFRESH)


def check_same(path: Path, then: Fingerprint, now: Fingerprint) -> None:
    """Raise if a state is of another run, and name the first thing that differs.

    Raises:
        StateError: so it is.
    """
    for name in dict.fromkeys([*now, *then]):
        if then.get(name) != now.get(name):
            raise StateError(
                f"{path} is of another run: its {name} was {then.get(name)}, and now it is {now.get(name)}",
                hint="repeat what that run was given, or start afresh without --resume",
            )
