"""What a long run keeps on the disk, so that it can be broken off and taken up again: its state, its history.

A run has phases, such as a search and the tuning of what it found. The state holds the results of the phases
that are done, and what the one in progress goes on from; a resumed run skips the former and goes on in the latter.
"""

import hashlib
import io
import json
import pickle
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fmcompress.errors import StateError, UsageError
from fmcompress.files import check_writable, replacing
from fmcompress.processes.world import World, this_process
from fmcompress.progress import SILENT, Progress
from fmcompress.training.history import History, open_history

Fingerprint = Mapping[str, str | int | float | None]

_MAGIC = b"fmcompress state 3\n"
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


def _now() -> float:
    return time.monotonic()


@dataclass
class RunState:
    """The state and the history of a run; ``RunState()`` keeps nothing, ``open_run_state`` opens files.

    Attributes:
        path: file of the state; None keeps none.
        fingerprint: all that decides the result of the run.
        history: where events are written; None writes none.
        position: where a resumed run would go on; None where nothing has been saved.
    """

    path: Path | None = None
    fingerprint: Fingerprint = field(default_factory=dict)
    history: History | None = None
    position: str | None = None
    _finished: dict[str, dict[str, Any]] = field(default_factory=dict)
    _in_progress: tuple[str, dict[str, Any]] | None = None
    _started: float = field(default_factory=_now)
    _saved: float = field(default_factory=_now)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Turn what a saved phase of another shape leads to into the error for a damaged state."""
        try:
            yield
        except _SHAPE_ERRORS as error:
            raise damaged(self.path or Path()) from error

    @property
    def seconds(self) -> float:
        """Seconds that the run has taken so far, those before it was broken off included."""
        return time.monotonic() - self._started

    @property
    def due(self) -> bool:
        """Whether the state should be saved again: so much time has gone by."""
        return self.path is not None and time.monotonic() - self._saved >= _SAVE_EVERY_S

    def result(self, phase: str) -> dict[str, Any] | None:
        """Return the result of a phase that is done, None if it is not."""
        return self._finished.get(phase)

    def finish(self, phase: str, result: dict[str, Any]) -> None:
        """Keep the result of a phase, which JSON must be able to tell.

        Raises:
            OutputError: a file cannot be written.
        """
        self._finished[phase] = json.loads(json.dumps(result))
        self._in_progress = None
        self.write("result", {"stage": phase, "result": self._finished[phase]})
        self._save(f"the end of the {phase}")

    def in_progress(self, phase: str) -> dict[str, Any] | None:
        """Return what was saved of a phase in progress; None where it is to start from its beginning."""
        return self._in_progress[1] if self._in_progress and self._in_progress[0] == phase else None

    def take_up(self, state: Mapping[str, Any]) -> int:
        """Go on from a saved state, and return the bytes that the history had then.

        Raises:
            StateError: it is damaged, or of another run.
        """
        with self.reading():
            check_same(self.path or Path(), state["fingerprint"], self.fingerprint)
            self.position = str(state["position"])
            self._finished = dict(state["finished"])
            self._in_progress = (state["stage"], state["course"]) if state["stage"] else None
            self._started = time.monotonic() - float(state["seconds"])
            return int(state["history"])

    def save(self, phase: str, saved: dict[str, Any], position: str) -> None:
        """Save the state.

        Args:
            phase: the phase in progress.
            saved: nested dicts and lists of tensors, numbers and texts that it goes on from.
            position: where that is, in words.

        Raises:
            OutputError: a file cannot be written.
        """
        self._in_progress = None  # what has been saved is not kept in memory twice
        self._save(position, phase, saved)

    def _save(self, position: str, phase: str = "", saved: Mapping[str, Any] | None = None) -> None:
        if self.path is None:
            return
        state = {
            "fingerprint": dict(self.fingerprint),
            "finished": self._finished,
            "stage": phase,
            "course": saved or {},
            "position": position,
            "seconds": self.seconds,
            "history": self.history.mark() if self.history else 0,
        }
        write_state(self.path, state)
        self.position = position
        self._saved = time.monotonic()

    def write(self, event: str, figures: Mapping[str, Any]) -> None:
        """Add a line to the history.

        Raises:
            OutputError: the file cannot be written.
        """
        if self.history:
            self.history.write(event, figures)

    def clear(self) -> None:
        """Remove the state: the run is over, and its output written."""
        if self.path is not None and self.position is not None:
            self.path.unlink(missing_ok=True)
            self.position = None


def open_run_state(files: RunFiles, fingerprint: Fingerprint, *, progress: Progress = SILENT) -> RunState:
    """Check the files that a run keeps, and read the state where it is resumed.

    Of several processes the first keeps them, and tells the others what it has read.

    Args:
        files: the files to keep.
        fingerprint: all that decides the result of the run: a state is taken up where it is the same.
        progress: told from where the run goes on.

    Raises:
        UsageError: a run without a state is to be resumed.
        StateError: the state is damaged, or of another run.
        OutputError: the history exists, or a file cannot be written.
    """
    world = this_process()
    _check_alike(world, fingerprint)
    files = files if world.first else RunFiles()
    run_state, history_bytes = RunState(files.state, fingerprint), 0
    saved = world.of_first(_saved_state(files, progress))
    if saved is not None:
        history_bytes = run_state.take_up(saved)
        progress.note(f"{files.state}: going on from {run_state.position}")
    if files.history is not None:
        run_state.history = open_history(
            files.history, fingerprint, force=files.force, resume=files.resume, size=history_bytes
        )
    return run_state


def _check_alike(world: World, fingerprint: Fingerprint) -> None:
    """Raise UsageError where processes, perhaps on other machines, would do another job than the first."""
    for name, value in world.of_first(dict(fingerprint)).items():
        if fingerprint.get(name) != value:
            raise UsageError(
                f"{name} is {fingerprint.get(name)} in process {world.rank}, and {value} in the first",
                hint="all processes are to be given the same files and options",
            )


def _saved_state(files: RunFiles, progress: Progress) -> dict[str, Any] | None:
    """Return the state that a run goes on from; None where it starts from its beginning."""
    path = files.state
    if path is None:
        if files.resume:
            raise UsageError("there is no state to resume from", hint="name the file that the run keeps its state in")
        return None
    check_writable(path, force=True)
    if path.exists() and files.resume:
        return read_state(path)
    if path.exists():
        progress.note(f"{path} is of a run that was broken off, and is replaced (--resume goes on with it)")
    elif files.resume:
        progress.note(f"{path} does not exist: the run starts from its beginning")
    return None


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
