"""Errors that a user can meet.

    FMCompressError
    ├── UsageError         an option that makes no sense
    ├── CheckpointError    a checkpoint that cannot be read, or is no factorization machine
    ├── DataError          rows that cannot be used
    ├── ArtifactError      an artifact that is damaged, too new, or none at all
    ├── OutputError        a file that cannot be written
    ├── StateError         the state of a run that cannot be gone on from
    ├── BudgetError        a budget that no artifact can meet
    ├── ProcessError       another process of the run that has ended
    └── DependencyError    an optional package that is missing

and one warning, FMCompressWarning, of results that may be worth nothing.

Each message says what was found and what was expected; ``hint`` says what to try.
"""

from collections.abc import Iterator
from contextlib import contextmanager

_ALL = "pip install 'fmcompress[cpu]' (or 'fmcompress[gpu]' for faiss on CUDA)"
_INSTALL = {
    **dict.fromkeys(("faiss", "jinja2", "pyarrow", "safetensors", "scipy", "sklearn"), _ALL),
    **dict.fromkeys(("threadpoolctl", "tomli", "torch", "typer"), _ALL),
    "matplotlib": "pip install 'fmcompress[plot]'",
    "onnx": "pip install 'fmcompress[onnx]'",
}
"""What installs modules that loading and scoring do without."""


class FMCompressError(Exception):
    """Base of all errors that are not a bug of ours: one line, and a hint where there is one."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(FMCompressError):
    """An option has a value that makes no sense."""


class CheckpointError(FMCompressError):
    """A checkpoint cannot be read, or is no factorization machine."""


class DataError(FMCompressError):
    """Rows cannot be used: columns, types, ids or labels are wrong."""


class ArtifactError(FMCompressError):
    """An artifact is damaged, of a newer schema version, or none at all."""


class OutputError(FMCompressError):
    """A file cannot be written."""


class StateError(FMCompressError):
    """The state of a run is damaged, or of another run: it cannot be resumed."""


class BudgetError(FMCompressError):
    """No artifact of this model fits the budget.

    Attributes:
        smallest_bytes: size of the smallest artifact that there is.
    """

    def __init__(self, message: str, *, smallest_bytes: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.smallest_bytes = smallest_bytes


class ProcessError(FMCompressError):
    """Another of the processes that do a job together has ended, or cannot be joined."""


class DependencyError(FMCompressError):
    """An optional package is missing."""


class FMCompressWarning(UserWarning):
    """Something works, but what comes of it may be worth nothing: rows that say hardly anything, say."""


@contextmanager
def missing_packages_named() -> Iterator[None]:
    """Say of a package that is not installed which extra brings it: around a block, or a function as its decorator.

    Raises:
        DependencyError: the block imports a module of an extra that is not there.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in _INSTALL:
            raise
        raise DependencyError(f"{error.name} is not installed", hint=_INSTALL[error.name]) from error
