"""``fmcompress check``: the gate in a release pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import typer

from .command import is_configured
from .exits import EXIT_FAILED, EXIT_USAGE, tell
from .options import CheckpointGroup, RowsGroup, shown, with_groups
from .progress import progress_of

if TYPE_CHECKING:
    from fmcompress.gates import Verdict


@dataclass(frozen=True)
class _LimitsGroup:
    """Limits that artifacts are held against."""

    PANEL: ClassVar[str] = "Limits"
    max_size: Annotated[str | None, typer.Option(metavar="SIZE", help="Size at most, such as 10MB.")] = None
    max_growth: Annotated[
        str | None,
        typer.Option(metavar="SIZE|%", help="How much larger than the baseline's file at most: 100KB, or 5%."),
    ] = None
    min_auc: Annotated[float | None, typer.Option(metavar="AUC", help="AUC at least.")] = None
    max_auc_drop: Annotated[
        float | None, typer.Option(metavar="AUC", help="How far the AUC may be below the baseline's, such as 0.001.")
    ] = None
    max_logloss_rise: Annotated[
        str | None,
        typer.Option(metavar="NATS|%", help="How far the LogLoss may be above the baseline's: 0.001, or 1%."),
    ] = None
    max_rmse: Annotated[float | None, typer.Option(metavar="RMSE", help="RMSE of a regression at most.")] = None
    max_rmse_rise: Annotated[
        str | None, typer.Option(metavar="RMSE|%", help="How far the RMSE may be above the baseline's: 0.01, or 1%.")
    ] = None
    confidence: Annotated[
        float | None,
        typer.Option(
            metavar="LEVEL",
            help="Hold limits of scores against one-sided bounds of this confidence, such as 0.95, that the rows "
            "allow; what may keep a limit or break it is not judged. Default: against the figures alone.",
        ),
    ] = None

    def needs(self) -> tuple[bool, bool]:
        """Return whether limits need data, and whether they need a baseline: configuration may have them for others."""
        from fmcompress.gates.gate import GATES

        gates = [gate for gate in GATES if getattr(self, gate.name.replace("-", "_")) is not None]
        return any(gate.scores for gate in gates), any(gate.compares for gate in gates)


@with_groups
def check(
    *,
    context: typer.Context,
    artifacts: Annotated[
        list[Path], typer.Argument(metavar="ARTIFACT", help="Files that quantize wrote.", show_default=False)
    ],
    limits: _LimitsGroup,
    baseline: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="An artifact, or a checkpoint of any tool, that limits compare with."),
    ] = None,
    data: Annotated[
        str | None, typer.Option(metavar="DATA", help="File, folder, glob or URI of labelled rows to score.")
    ] = None,
    given: CheckpointGroup,
    reading: RowsGroup,
    exit_zero: Annotated[
        bool, typer.Option("--exit-zero", help="End with 0 where a limit is broken; not where one cannot be judged.")
    ] = False,
    format_: Annotated[
        Literal["text", "json", "markdown", "github"],
        typer.Option("--format", help="How to report, to standard output; github makes annotations."),
    ] = "text",
    summary: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Add the verdict to the end of this file too, as Markdown.")
    ] = None,
) -> int:
    """Check that artifacts keep limits of size and quality.

    Exit code 0: all limits hold; 1: one is broken; 2: one could not be judged.
    """
    from fmcompress.gates import check as judge

    scored, compared = limits.needs()
    if not scored and is_configured(context, "data"):
        data = None
    if not compared and is_configured(context, "baseline"):
        baseline = None
    if not scored and is_configured(context, "confidence"):
        limits = replace(limits, confidence=None)
    arguments = given.given()
    inputs = [*artifacts, baseline, data, *given.files]
    _check_summary(summary, [path for path in inputs if path is not None])
    verdict = judge(
        artifacts,
        baseline=baseline,
        data=data,
        progress=progress_of(context),
        **asdict(limits),
        **asdict(reading),
        **arguments,
    )
    print(shown(verdict, format_))
    if summary is not None:
        _append(summary, verdict.to_markdown())
    return _ended(verdict, exit_zero=exit_zero)


def _check_summary(summary: Path | None, inputs: Sequence[Path | str]) -> None:
    if summary is not None:
        from fmcompress.files import check_apart, check_writable

        check_apart(summary, inputs)
        check_writable(summary, force=True)


def _append(summary: Path, text: str) -> None:
    with summary.open("a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(f"{text}\n")


def _ended(verdict: Verdict, *, exit_zero: bool) -> int:
    """Say on standard error what is wrong, and return the exit code.

    What could not be judged weighs more than a limit that is broken: the pipeline is, and has to be mended first.
    """
    if verdict.not_judged:
        first = verdict.not_judged[0]
        tell(f"error: {_count(verdict.not_judged, verdict)} could not be judged: {first.name}: {first.reason}")
        return EXIT_USAGE
    if verdict.failed:
        names = ", ".join(f"{check.name} of {check.artifact}" for check in verdict.failed)
        tell(f"failed: {_count(verdict.failed, verdict)}: {names}")
        return 0 if exit_zero else EXIT_FAILED
    return 0


def _count(some: tuple[object, ...], verdict: Verdict) -> str:
    return f"{len(some)} of {len(verdict.checks)} checks"
