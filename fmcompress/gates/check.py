"""Whether artifacts keep their limits of size and quality: the gate in a release pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmcompress.arguments import checked_arguments
from fmcompress.data.options import DataOptions, Match, Oov
from fmcompress.errors import UsageError, missing_packages_named
from fmcompress.files import without_secrets
from fmcompress.fm.field_specs import Fields
from fmcompress.gates.gate import GATES, Limit, parse_limits
from fmcompress.gates.judging import Measured, judge, measure
from fmcompress.gates.uncertainty import check_confidence
from fmcompress.progress import SILENT, Progress
from fmcompress.reporting.verdict import Check, JudgedModel, Verdict
from fmcompress.serve.compressed_fm import load_fm

if TYPE_CHECKING:
    from fmcompress.evaluation.predictors import Model
    from fmcompress.evaluation.scores import ScoredRows
    from fmcompress.fm.vocabulary import Vocabulary


@missing_packages_named()
@checked_arguments
def check(  # noqa: D417 -- arguments that are told elsewhere share an entry
    artifacts: str | Path | Sequence[str | Path],
    *,
    max_size: str | int | None = None,
    baseline: str | Path | None = None,
    max_growth: str | int | None = None,
    data: str | Path | None = None,
    min_auc: str | float | None = None,
    max_auc_drop: str | float | None = None,
    max_logloss_rise: str | float | None = None,
    max_rmse: str | float | None = None,
    max_rmse_rise: str | float | None = None,
    confidence: float | None = None,
    label: str = "label",
    match: Match = "name",
    oov: Oov = "error",
    first_index: int = 0,
    fields: Fields | None = None,
    link: str | None = None,
    key: str | None = None,
    keys: Mapping[str, str] | str | None = None,
    vocabulary: Vocabulary | None = None,
    instance_norm: bool | None = None,
    dataset: str | Path | None = None,
    activation: str | None = None,
    progress: Progress = SILENT,
) -> Verdict:
    """Hold artifacts against limits, and say of each whether it is kept, broken, or cannot be judged.

    What cannot be judged, a damaged file or data of another kind, is told in the verdict and stops no other check.

    Args:
        artifacts: one file or several.
        max_size: size at most: bytes, or a text such as ``10MB``.
        baseline: an artifact, or a checkpoint of any tool, to compare with.
        max_growth: how much larger than the baseline's file at most: bytes, ``100KB`` or ``5%``.
        data: labelled rows to score: file, folder, glob or URI.
        min_auc: AUC at least.
        max_auc_drop: how far the AUC may be below the baseline's.
        max_logloss_rise: how far the LogLoss may be above the baseline's: nats, or ``1%``.
        max_rmse: RMSE of a regression at most.
        max_rmse_rise: how far the RMSE may be above the baseline's, or ``1%``.
        confidence: with which limits of scores must be kept, or broken, such as 0.95; None judges by the figures.
        label, match, oov, first_index: how the data are read, as for ``evaluate``.
        fields, link, key, keys, instance_norm, dataset, activation: what it does not tell; see ``load_checkpoint``.
        vocabulary: tokens of the categories, of the baseline and of the data.
        progress: told of ids that are out of range.

    Raises:
        UsageError: a limit makes no sense, there is none, one has not what it needs, or nothing needs what is given.
    """
    given = (max_size, max_growth, min_auc, max_auc_drop, max_logloss_rise, max_rmse, max_rmse_rise)
    limits = parse_limits({gate.name: limit for gate, limit in zip(GATES, given, strict=True)})
    paths = [artifacts] if isinstance(artifacts, str | Path) else list(artifacts)
    _check_given(paths, limits, baseline, data, confidence)
    told: dict[str, Any] = {"fields": fields, "link": link, "key": key, "keys": keys}
    told |= {"instance_norm": instance_norm, "dataset": dataset, "activation": activation}
    score = _scorer(data, DataOptions(label, match, oov, first_index), vocabulary, progress)
    compared = _measure_baseline(baseline, limits, score, vocabulary=vocabulary, **told)
    return _verdict(limits, (measure(path, load_fm, score) for path in paths), compared, confidence)


def _scorer(
    data: str | Path | None, options: DataOptions, vocabulary: Vocabulary | None, progress: Progress
) -> Callable[[Model, str], ScoredRows] | None:
    """Return what scores a model of a name on the data; None where there are none."""
    if data is None:
        return None
    from fmcompress.evaluation.scores import score_data

    return partial(score_data, data=data, options=options, vocabulary=vocabulary, progress=progress)


def _measure_baseline(
    baseline: str | Path | None, limits: Sequence[Limit], score: Callable[[Model, str], ScoredRows] | None, **told: Any
) -> Measured | None:
    """Measure what artifacts are compared with, and score it where a limit compares scores."""
    if baseline is None:
        return None
    from fmcompress.checkpoints.model_files import load_model

    scored = any(limit.gate.scores and limit.gate.compares for limit in limits)
    return measure(baseline, partial(load_model, **told), score if scored else None)


def _verdict(
    limits: Sequence[Limit], measured: Iterable[Measured], compared: Measured | None, confidence: float | None
) -> Verdict:
    """Judge one artifact after the other; predictions of one are let go before the next one is measured."""
    checks: list[Check] = []
    models: list[JudgedModel] = []
    for artifact in measured:
        checks += [judge(limit, artifact, compared, confidence) for limit in limits]
        models.append(artifact.model)
    return Verdict(tuple(checks), tuple(models), compared.model if compared else None)


def _check_given(
    paths: Sequence[str | Path],
    limits: Sequence[Limit],
    baseline: str | Path | None,
    data: str | Path | None,
    confidence: float | None,
) -> None:
    """Raise where a limit has not what it needs, or something is given that no limit needs."""
    if not paths:
        raise UsageError("there is no artifact to check")
    scored = [limit.gate.name for limit in limits if limit.gate.scores]
    compared = [limit.gate.name for limit in limits if limit.gate.compares]
    if scored and data is None:
        raise UsageError(f"{scored[0]} needs labelled rows", hint="give them with --data")
    if compared and baseline is None:
        raise UsageError(f"{compared[0]} needs something to compare with", hint="give it with --baseline")
    check_confidence(confidence)
    if confidence is not None and not scored:
        raise UsageError(
            f"there is a confidence ({confidence}), and no limit of a score",
            hint="sizes are known for certain; add a limit such as --max-auc-drop 0.001",
        )
    if data is not None and not scored:
        raise UsageError(
            f"there are data ({without_secrets(data)}), and no limit that needs them",
            hint="add one such as --min-auc 0.8",
        )
    if baseline is not None and not compared:
        raise UsageError(
            f"there is a baseline ({baseline}), and no limit that compares with it",
            hint="add one such as --max-growth 5%",
        )
