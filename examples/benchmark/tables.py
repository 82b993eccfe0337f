"""The tables of the benchmark, from the results of the cells."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence

from markdown import Row, markdown, with_deviation
from points import MINUS, AtRatio, at_ratio, why_missing
from study import OURS, Study

Said = Callable[[AtRatio], str]


def sources(studies: Sequence[Study]) -> str:
    """Return the factorization machines."""
    head = ("data", "test AUC", "test LogLoss", "standard error of the AUC", "bytes in fp32", "seeds")
    return markdown(head, [_source(study) for study in studies], names=1)


def _source(study: Study) -> Row:
    found = [result for result in map(study.place.result, study.fms()) if result is not None]
    if not found:
        return (study.data, *["not run"] * 4, "0")
    scores = [with_deviation([one["test"][name] for one in found], ".5f") for name in ("auc", "logloss")]
    errors = [one["test"]["auc_standard_error"] for one in found]
    return (study.data, *scores, f"{statistics.mean(errors):.5f}", f"{found[0]['bytes']:,}", str(len(found)))


def aucs(study: Study) -> str:
    """Return by how much each system's AUC is above the factorization machine's, at each ratio."""
    return _by_ratio(study, lambda found: with_deviation(found.changes("auc"), "+.5f"))


def loglosses(study: Study) -> str:
    """Return by how much each system's LogLoss is above the factorization machine's, in per cent, at each ratio."""
    return _by_ratio(study, lambda found: f"{found.logloss_change:+.2%}".replace("-", MINUS).replace("%", " %"))


def _by_ratio(study: Study, said: Said) -> str:
    ratios = study.settings.ratios
    head = ("system", *[f"{ratio:g} ×" for ratio in ratios], "seeds")
    return markdown(head, [_row(study, system, said) for system in study.settings.systems], names=1)


def _row(study: Study, system: str, said: Said) -> Row:
    found = [at_ratio(study, system, ratio) for ratio in study.settings.ratios]
    figures = [
        why_missing(study, system, ratio) if one is None else said(one)
        for one, ratio in zip(found, study.settings.ratios, strict=True)
    ]
    seeds = sorted({one.seeds for one in found if one is not None}) or [0]
    return (OURS.get(system, system), *figures, " to ".join(map(str, seeds[:1] + seeds[1:][-1:])))


def ahead_of_auto(studies: Sequence[Study]) -> str:
    """Return all points at which a baseline is ahead of ``auto``, of the same seeds, at no more bytes."""
    rows = [row for study in studies for system in study.settings.systems for row in _ahead(study, system)]
    if not rows:
        return "None."
    return markdown(("data", "baseline", "ratio", "its AUC above ours", "its LogLoss above ours", "its bytes"), rows)


def _ahead(study: Study, system: str) -> Iterable[Row]:
    for ratio in study.settings.ratios if system not in OURS else ():
        ours, theirs = at_ratio(study, "auto", ratio), at_ratio(study, system, ratio)
        if ours is None or theirs is None:
            continue
        auc, logloss = theirs.mean("auc") - ours.mean("auc"), theirs.mean("logloss") - ours.mean("logloss")
        if auc > 0 or logloss < 0:
            changes = (f"{auc:+.5f}".replace("-", MINUS), f"{logloss:+.5f}".replace("-", MINUS))
            yield (study.data, system, f"{ratio:g} ×", *changes, f"{theirs.mean_bytes:,.0f}")
