"""How the command line ends: one line for an error, and an exit code."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import typer

from fmcompress.errors import BudgetError, FMCompressError
from fmcompress.text import printable

from .usage import ParseError, usage_message

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_BUG = 70
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

_NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")


class Interrupted(Exception):  # noqa: N818 -- it is no error
    """Ctrl-C, or a polite kill, in a job that can go on later.

    Attributes:
        code: the exit code.
        hint: how the job goes on; None where nothing of it has been kept.
    """

    def __init__(self, code: int, hint: str | None) -> None:
        super().__init__(hint)
        self.code = code
        self.hint = hint


@contextmanager
def interruptible(hint: Callable[[], str | None]) -> Iterator[None]:
    """Say, where the block is interrupted, how the job goes on.

    Args:
        hint: asked then; None says nothing.

    Raises:
        Interrupted: Ctrl-C, or a polite kill.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted(EXIT_INTERRUPTED, hint()) from error
    except SystemExit as error:
        raise Interrupted(int(error.code or 0), hint()) from error


def exit_code_of(command: Callable[[], object], *, debug: bool) -> int:
    """Run a command to its end and return its exit code.

    Args:
        command: what runs; it may return an exit code.
        debug: whether an error shows its traceback too.
    """
    _prepare()
    try:
        found = command()
        code = found if isinstance(found, int) else 0
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        code = EXIT_BROKEN_PIPE  # whoever read our output has gone; there is nobody to tell
    except SystemExit as error:
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        code = EXIT_BROKEN_PIPE  # typer met it first
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            traceback.print_exc()
        message, code = _verdict(error)
        _tell(message)
    else:
        if code == EXIT_INTERRUPTED:  # typer turns an interrupt into its exit code
            _tell(_verdict(KeyboardInterrupt())[0])
    _settle()
    return code


def _verdict(error: BaseException) -> tuple[str, int]:
    """Return what to say of an error, and the exit code."""
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        error = Interrupted(EXIT_INTERRUPTED, None)
    hint = f" ({error.hint})" if isinstance(error, (Interrupted, FMCompressError)) and error.hint else ""
    if isinstance(error, Interrupted):
        return f"interrupted: no output was written{hint}", error.code
    if isinstance(error, FMCompressError):
        return f"error: {error}{hint}", EXIT_FAILED if isinstance(error, BudgetError) else EXIT_USAGE
    if isinstance(error, ParseError):
        return usage_message(error), EXIT_USAGE
    if isinstance(error, MemoryError) or any(text in str(error) for text in _NO_MEMORY):
        return "error: there is not enough memory for a model of this size (are the ids 0, 1, 2, …?)", EXIT_USAGE
    if isinstance(error, OSError):
        what = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
        return f"error: the system refuses: {what}", EXIT_USAGE
    return f"error: a bug in fmcompress: {error!r} (add --debug to see where, and report it)", EXIT_BUG


def _tell(message: str) -> None:
    if message and sys.stderr is not None:
        print(printable(message), file=sys.stderr)


def _prepare() -> None:
    """Let output survive any encoding, and a polite kill clean up as Ctrl-C does."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, _terminate)


def _terminate(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _settle() -> None:
    """Keep Python from flushing, at its end, to a reader that has gone or a disk that is full."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
