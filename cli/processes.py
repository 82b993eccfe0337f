"""Commands that several processes carry out together, as ``torchrun`` starts them; of all the first alone speaks."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from typing import NoReturn, ParamSpec, TypeVar

from fmcompress.errors import ProcessError, UsageError
from fmcompress.processes.joining import first_word, joined, started_by_torchrun
from fmcompress.processes.world import World

from .exits import Ended, Interrupted, verdict

TOGETHER = ("train", "quantize")
"""The commands that several processes carry out together."""

Given = ParamSpec("Given")
Found = TypeVar("Found")


def together(command: Callable[Given, Found]) -> Callable[Given, Found]:
    """Let a command join the processes of its run; where one ends, all do, each with one line."""

    @wraps(command)
    def joining(*given: Given.args, **named: Given.kwargs) -> Found:
        try:
            with joined() as world:
                try:
                    return command(*given, **named)
                except (Exception, KeyboardInterrupt, SystemExit) as error:
                    if world.alone:
                        raise
                    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun ends those that are left: we end anyway
                    raise Ended(*_last_word(world, error)) from error
        except ProcessError as error:
            raise Ended(*_alike(*verdict(error))) from error

    return joining


def leave(code: int) -> NoReturn:
    """End this process; of several without waiting for threads that torch may have left."""
    if started_by_torchrun():
        os._exit(code)
    sys.exit(code)


def check_together(command: str | None) -> None:
    """Raise where several processes have been started for a command that one carries out.

    Raises:
        UsageError: so it is.
    """
    if started_by_torchrun() and command not in TOGETHER:
        raise UsageError(
            f"torchrun has started {os.environ['WORLD_SIZE']} processes, and {command} is done by one",
            hint=f"only {' and '.join(TOGETHER)} are for several: start it without torchrun",
        )


def only_first(message: str) -> str:
    """Return what to say where all processes of a run say the same and have not joined: the first says it."""
    return "" if started_by_torchrun() and os.environ["RANK"] != "0" else message


def _alike(message: str, code: int) -> tuple[str, int]:
    return only_first(message), code


def _last_word(world: World, error: BaseException) -> tuple[str, int]:
    """Return what this process says at its end, and its exit code."""
    interrupted = isinstance(error, (Interrupted, KeyboardInterrupt, SystemExit))
    message, code = verdict(error)
    if not interrupted and not isinstance(error, ProcessError):
        said = first_word(world, f"{world.rank} {message}")
        number, _, first = said.partition(" ")
        if number == str(world.rank):
            return message, code
        return ("" if first == message else f"process {world.rank}: {message}"), code
    _, _, first = first_word(world, "").partition(" ")
    if first:
        return f"error: another process of the run ended: {first.removeprefix('error: ')}", code
    if interrupted and not world.first:
        return "error: the run was stopped, or another process of it ended", code
    return message, code
