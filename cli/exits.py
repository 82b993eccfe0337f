"""How the command line ends: one line for an error, with what is wrong with a command line, and an exit code."""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import typer

from fmcompress.errors import BudgetError, FMCompressError, ProcessError, missing_packages_named
from fmcompress.text import printable

from .config_keys import keys_of

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_BUG = 70
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

# typer has click inside in some versions and beside it in others; their base of usage errors is found here.
ParseError: type[Exception] = typer.BadParameter.__mro__[1]

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


class Ended(Exception):  # noqa: N818 -- it has been told what it is
    """The end of a process, of which all has been found out that there is to say.

    Attributes:
        message: what to say; empty says nothing.
        code: the exit code.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


@contextmanager
def interruptible(hint: Callable[[], str | None]) -> Iterator[None]:
    """Say, where the block is interrupted, how the job goes on.

    Args:
        hint: asked then; None says nothing.

    Raises:
        Interrupted: Ctrl-C, or a polite kill.
        ProcessError: another process of the run has ended.
    """
    try:
        yield
    except ProcessError as error:
        raise ProcessError(str(error), hint=hint()) from error
    except KeyboardInterrupt as error:
        raise Interrupted(EXIT_INTERRUPTED, hint()) from error
    except SystemExit as error:
        raise Interrupted(int(error.code or 0), hint()) from error


def exit_code_of(
    command: Callable[[], object], *, debug: bool, heard: Callable[[str], str] = lambda message: message
) -> int:
    """Run a command to its end and return its exit code.

    Args:
        command: what runs; it may return an exit code.
        debug: whether an error shows its traceback too.
        heard: from what is to be said of an error to what this process says of it.
    """
    _prepare()
    try:
        with missing_packages_named():
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
        if isinstance(error, Ended):
            message, code = error.message, error.code
        else:
            message, code = verdict(error)
            message = heard(message)
        tell(message)
    else:
        if code == EXIT_INTERRUPTED:  # typer turns an interrupt into its exit code
            tell(verdict(KeyboardInterrupt())[0])
    _settle()
    return code


def verdict(error: BaseException) -> tuple[str, int]:
    """Return what to say of an error, and the exit code."""
    if isinstance(error, SystemExit):
        error = Interrupted(int(error.code or 0), None)
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


def tell(message: str) -> None:
    """Say a line on standard error, if there is one."""
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


def usage_message(error: Any) -> str:
    """Return what to say of a usage error, with a hint; nothing where the help has been shown instead.

    Args:
        error: of typer.
    """
    context = getattr(error, "ctx", None)
    message = _wrong_value(error, context) or _unknown_option(error, context) or _missing(error) or _plain(error)
    if not message:
        return ""
    path = getattr(context, "command_path", "fmcompress")
    return f"error: {message} ({path} --help shows the usage)"


def one_dash_too_few(args: Sequence[str], options: Collection[str]) -> str | None:
    """Return an option that is written with one dash, ``-budget``: typer would read ``-b udget``."""
    end = args.index("--") if "--" in args else len(args)
    names = (arg.partition("=")[0] for arg in args[:end])
    return next((name for name in names if len(name) > 2 and f"-{name}" in options), None)


def _plain(error: Any) -> str:
    message = str(getattr(error, "format_message", error.__str__)())
    return " ".join(message.split()).removesuffix(".")


def _wrong_value(error: Any, context: Any) -> str:
    """Say which value an option cannot have, and what it expects."""
    parameter = getattr(error, "param", None)
    errors = getattr(error.__cause__, "errors", None)  # of what reads values for typer
    if context is None or parameter is None or errors is None:
        return ""
    key = next((key for key in keys_of(context.command).values() if key.parameter == parameter.name), None)
    return "" if key is None else f"--{key.name} is {str(errors()[0]['input'])!r}, expected {key.expected}"


def _missing(error: Any) -> str:
    """Say what is missing, and what it is."""
    parameter = getattr(error, "param", None)
    if parameter is None or not hasattr(error, "param_type"):
        return ""
    help_ = getattr(parameter, "help", None) or ""
    return f"{_plain(error)}: {help_[:1].lower()}{help_[1:].split('. ')[0].removesuffix('.')}" if help_ else ""


def _unknown_option(error: Any, context: Any) -> str:
    name = getattr(error, "option_name", "")
    if not hasattr(error, "possibilities") or context is None:
        return ""
    message = f"No such option: {name}"
    others = _commands_with(name, context)
    if others:
        return f"{message}; {' and '.join(others)} {'has' if len(others) == 1 else 'have'} it"
    return f"{message}. Did you mean {' or '.join(sorted(error.possibilities))}?" if error.possibilities else message


def _commands_with(option: str, context: Any) -> list[str]:
    commands = getattr(context.find_root().command, "commands", {})
    return [name for name, command in commands.items() if any(option in one.opts for one in command.params)]
