"""What came out of the checks, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fmcompress.gates.gate import Unit

if TYPE_CHECKING:
    from fmcompress.evaluation.scores import Scores

Outcome = Literal["pass", "FAIL", "not judged"]


@dataclass(frozen=True)
class Check:
    """One limit, and whether an artifact keeps it.

    Attributes:
        name: name of the gate: ``max-size``, ``max-growth``, ``min-auc``, …
        artifact: the artifact.
        actual: what the limit is held against: a figure of the artifact, or how much worse it is than the baseline's;
            None where it could not be judged.
        limit: the limit.
        unit: what both are counted in; ``%`` is of the baseline's figure.
        passed: whether the limit is kept; None where that could not be judged.
        value: the artifact's own figure; None where it is not known.
        baseline: the baseline's figure; None where it is not known or not compared with.
        value_unit: what these two are counted in.
        reason: why it could not be judged; else empty.
    """

    name: str
    artifact: str
    actual: float | None
    limit: float
    unit: Unit | Literal["%"]
    passed: bool | None
    value: float | None
    baseline: float | None
    value_unit: Unit
    reason: str = ""

    @property
    def outcome(self) -> Outcome:
        """The verdict, in a word or two."""
        if self.passed is None:
            return "not judged"
        return "pass" if self.passed else "FAIL"


@dataclass(frozen=True)
class JudgedModel:
    """An artifact that is checked, or the baseline.

    Attributes:
        name: its file.
        kind: what it is: ``artifact``, ``checkpoint of libFM``; empty where it cannot be read.
        file_bytes: size of the file, or of all files of a folder; None where it cannot be read.
        scores: its scores; None where they are not asked for, or the data cannot be used.
    """

    name: str
    kind: str
    file_bytes: int | None
    scores: Scores | None


@dataclass(frozen=True)
class Verdict:
    """What came out of the checks.

    Attributes:
        checks: the checks, artifact by artifact.
        artifacts: the artifacts.
        baseline: what they are compared with, or None.
    """

    checks: tuple[Check, ...]
    artifacts: tuple[JudgedModel, ...]
    baseline: JudgedModel | None

    @property
    def passed(self) -> bool:
        """Whether all limits are kept, for certain."""
        return all(check.passed for check in self.checks)

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks whose limits are not kept."""
        return tuple(check for check in self.checks if check.passed is False)

    @property
    def not_judged(self) -> tuple[Check, ...]:
        """The checks that could not be judged."""
        return tuple(check for check in self.checks if check.passed is None)

    def to_text(self) -> str:
        """Return the verdict as plain text."""
        from fmcompress.reporting.verdict import to_text

        return to_text(self)

    def to_json(self) -> str:
        """Return the verdict as JSON."""
        from fmcompress.reporting.verdict import to_json

        return to_json(self)

    def to_markdown(self) -> str:
        """Return the verdict as Markdown, for the summary of a job."""
        from fmcompress.reporting.verdict import to_markdown

        return to_markdown(self)

    def to_github(self) -> str:
        """Return the verdict as workflow commands of GitHub, which it shows as annotations."""
        from fmcompress.reporting.annotations import to_github

        return to_github(self)
