"""The paper's tables, from the results of the cells."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from cells import Cell, Place
from grid import BASELINES, MAIN, Study
from markdown import Row, markdown, with_deviation

Result = dict[str, Any]

_LIGHTFM = f"LightFM, K = {MAIN}"


def table_1(studies: Sequence[Study]) -> str:
    """Return the data sets: rows, fields, categories."""
    rows = []
    for study in studies:
        found = study.place.result(study.counted())
        if found is None:
            rows.append((study.data, *[_why(study.place, [study.counted()])] * 6))
            continue
        counts = (f"{found['rows'][part]:,}" for part in ("train", "valid", "test"))
        sizes = (str(found["fields"]), f"{found['categories']:,}", f"{found['positive']:.3f}")
        rows.append((study.data, *counts, *sizes))
    head = ("data", "training rows", "validation", "test", "fields", "categories", "share of label 1")
    return markdown(head, rows)


def table_2(studies: Sequence[Study]) -> str:
    """Return all systems: scores and bytes."""
    head = ("data", "model", "test AUC", "LogLoss", "bytes", "ratio", "paper's Params, MiB", "seeds")
    return markdown(head, [row for study in studies for row in _systems(study)])


def _systems(study: Study) -> Iterable[Row]:
    full = _results(study.place, study.table_2["FM"])
    for title, cells in study.table_2.items():
        found = _results(study.place, cells)
        if not found:
            yield (study.data, title, *[_why(study.place, cells)] * 5, "0")
            continue
        name = title if title not in BASELINES else _name_of(title, found[0])
        size = statistics.mean(one["bytes"] for one in found)
        ratio = f"{full[0]['bytes'] / size:.1f}" if full else "no FM"
        params = f"{found[0]['params_mib']:.3f}"
        scores = _spread(found, "auc"), _spread(found, "logloss")
        yield study.data, name, *scores, _bytes(found), ratio, params, _n(found)


def _name_of(title: str, result: Result) -> str:
    """Return the title of a baseline with what was built: ``QR (5 collisions, product)``."""
    _, _, more = result["method"].partition(", ")
    return f"{title} ({more})" if more else title


def ahead(studies: Sequence[Study]) -> str:
    """Return by how much LightFM and auto are ahead of each baseline, at bytes as near to its own as there are."""
    rows = []
    for study in studies:
        for title in BASELINES:
            for ours in ("LightFM", "auto"):
                found = _nearest(study, ours, study.table_2[title])
                if found is None:
                    rows.append((study.data, title, ours, *["not run"] * 2, "0"))
                    continue
                name, pairs = found
                rows.append((study.data, title, name, _difference(pairs), _more_bytes(pairs), _n(pairs)))
    return markdown(("data", "baseline", "against it", "ΔAUC", "its bytes", "seeds"), rows)


def _nearest(study: Study, ours: str, theirs: Sequence[Cell]) -> tuple[str, list[tuple[Result, Result]]] | None:
    """Return the largest of our models that has no more bytes than a baseline, or else the smallest, seed by seed."""
    found = []
    for title, cells in {**study.figure_4, **study.table_2}.items():
        pairs = _pairs(study, cells, theirs) if title.startswith(ours) else []
        if pairs:
            found.append((statistics.mean(one["bytes"] / other["bytes"] for one, other in pairs), title, pairs))
    found.sort(key=lambda each: each[0])
    within = [each for each in found if each[0] <= 1]
    nearest = (within[-1:] or found[:1] or [None])[0]
    return None if nearest is None else nearest[1:]


def searched(studies: Sequence[Study]) -> str:
    """Return xLightFM beside LightFM: AUC, bytes, time."""
    head = ("data", "xLightFM", "ΔAUC to LightFM", "ΔLogLoss", "its bytes", "search, × LightFM's tuning", "seeds")
    rows = []
    for study in studies:
        for title, cells in study.table_2.items():
            if not title.startswith("xLightFM"):
                continue
            pairs = _pairs(study, cells, study.table_2[_LIGHTFM])
            if not pairs:
                rows.append((study.data, title, *[_why(study.place, cells)] * 4, "0"))
                continue
            loss = _difference(pairs, "logloss")
            rows.append((study.data, title, _difference(pairs), loss, _more_bytes(pairs), _times(pairs), _n(pairs)))
    return markdown(head, rows)


def _times(pairs: Sequence[tuple[Result, Result]]) -> str:
    """Return the time of the search as a multiple of that of LightFM's tuning, where neither was broken off."""
    whole = [(one, other) for one, other in pairs if not one["resumed"] and not other["resumed"]]
    if not whole:
        return "broken off and resumed"
    times = [
        sum(stage["seconds"] for name, stage in one["stages"].items() if name != "tuning")
        / other["stages"]["tuning"]["seconds"]
        for one, other in whole
    ]
    return f"{statistics.mean(times):.2f}"


def table_3(studies: Sequence[Study]) -> str:
    """Return the networks, whole and compressed."""
    rows = []
    for study in studies:
        for title, (cells, whole) in study.table_3.items():
            found = _results(study.place, cells)
            if not found:
                rows.append((study.data, title, *[_why(study.place, cells)] * 5, "0"))
                continue
            pairs = _pairs(study, cells, whole)
            ratio = f"{statistics.mean(b['bytes'] / a['bytes'] for a, b in pairs):.1f}"
            change = "0" if cells == whole else _difference(pairs)
            scores = _spread(found, "auc"), _spread(found, "logloss")
            rows.append((study.data, title, *scores, change, _bytes(found), ratio, _n(found)))
    head = ("data", "model", "test AUC", "LogLoss", "ΔAUC to the network", "bytes", "ratio", "seeds")
    return markdown(head, rows)


def figure_4(studies: Sequence[Study]) -> str:
    """Return sizes of codebooks."""
    rows = []
    for study in studies:
        for title, cells in study.figure_4.items():
            found = _results(study.place, cells)
            scores = [_spread(found, "auc"), _spread(found, "logloss")] if found else [_why(study.place, cells)] * 2
            rows.append((study.data, title, _bytes(found) if found else "0", *scores, _n(found)))
    return markdown(("data", "model", "bytes", "test AUC", "LogLoss", "seeds"), rows)


def figure_5(studies: Sequence[Study]) -> str:
    """Return what the three losses come to."""
    rows = []
    for study in studies:
        for title, cells in study.figure_5.items():
            found = _results(study.place, cells)
            if not found:
                rows.append((study.data, title, *[_why(study.place, cells)] * 4, "0"))
                continue
            last = [one["curve"][-1] for one in found]
            best = [max(epoch["auc"] for epoch in one["curve"]) for one in found]
            learnt, end = _mean(epoch["loss"] for epoch in last), _mean(epoch["auc"] for epoch in last)
            rows.append((study.data, title, learnt, _mean(best), end, _spread(found, "auc"), _n(found)))
    head = ("data", "loss", "training LogLoss at the end", "best validation AUC", "at the end", "test AUC", "seeds")
    return markdown(head, rows)


def figure_6(studies: Sequence[Study]) -> str:
    """Return times of training and inference."""
    rows = []
    for study in studies:
        for title, times in times_of(study).items():
            milliseconds = [_why(study.place, study.table_2[title])] * 2 if times is None else map(_ms, times)
            rows.append((study.data, title, *milliseconds))
    return markdown(("data", "model", "training step, ms", "inference of a batch, ms"), rows)


def times_of(study: Study) -> dict[str, tuple[float, float] | None]:
    """Return the seconds of a training step and of the inference of a batch, by titles; None where there are none."""
    times: dict[str, tuple[float, float] | None] = {}
    for title, cells in study.table_2.items():
        found = _results(study.place, cells)
        steps = [_step(one) for one in found]
        inferences = [one["inference_seconds"] for one in found]
        times[title] = (statistics.mean(steps), statistics.mean(inferences)) if found else None
    return times


def _step(result: Result) -> float:
    if "step_seconds" in result:
        return float(result["step_seconds"])
    stages = result["stages"].values()
    return sum(stage["seconds"] for stage in stages) / max(1, sum(stage["steps"] for stage in stages))


def _results(place: Place, cells: Iterable[Cell]) -> list[Result]:
    return [found for found in map(place.result, cells) if found is not None]


def _pairs(study: Study, ours: Sequence[Cell], others: Sequence[Cell]) -> list[tuple[Result, Result]]:
    """Return the results of two systems, of the seeds that both have."""
    by_seed = {cell.seed: cell for cell in others}
    found = [(study.place.result(one), study.place.result(by_seed[one.seed])) for one in ours]
    return [(one, other) for one, other in found if one is not None and other is not None]


def _why(place: Place, cells: Iterable[Cell]) -> str:
    """Return why there is no result."""
    failure = next((why for why in map(place.failure, cells) if why is not None), None)
    return "not run" if failure is None else f"failed: {failure}".replace("|", "/").replace("\n", " ")


def _difference(pairs: Sequence[tuple[Result, Result]], score: str = "auc") -> str:
    return with_deviation([one["test"][score] - other["test"][score] for one, other in pairs], "+.5f")


def _spread(found: Sequence[Result], score: str) -> str:
    return with_deviation([result["test"][score] for result in found], ".5f")


def _mean(values: Iterable[float]) -> str:
    return f"{statistics.mean(values):.5f}"


def _bytes(found: Sequence[Result]) -> str:
    return f"{statistics.mean(one['bytes'] for one in found):,.0f}"


def _more_bytes(pairs: Sequence[tuple[Result, Result]]) -> str:
    return f"× {statistics.mean(one['bytes'] / other['bytes'] for one, other in pairs):.3f}"


def _n(found: Sequence[Any]) -> str:
    return str(len(found))


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2f}"
