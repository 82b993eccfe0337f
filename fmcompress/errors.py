"""Errors that a user can meet.

    FMCompressError
    ├── UsageError         an option that makes no sense
    ├── CheckpointError    a checkpoint that cannot be read, or is no factorization machine
    ├── DataError          rows that cannot be used
    ├── ArtifactError      an artifact that is damaged, too new, or none at all
    ├── OutputError        a file that cannot be written
    ├── StateError         the state of a run that cannot be gone on from
    ├── BudgetError        a budget that no artifact can meet
    └── DependencyError    an optional package that is missing

Each message says what was found and what was expected; ``hint`` says what to try.
"""


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


class DependencyError(FMCompressError):
    """An optional package is missing."""
