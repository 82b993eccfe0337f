"""The paper's tables, from the results of the runs."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from runs import LOSSES, SIZES, SWEEP, Run, Workplace
from timings import time_inference, time_steps

BEGIN, END = "<!-- begin: examples/paper -->", "<!-- end: examples/paper -->"
_MISSING = "–"

Runs = Mapping[str, Sequence[Run]]


def write_between(path: Path, text: str) -> None:
    """Put a text between the markers of a page; they are added where the page has none."""
    old = path.read_text() if path.exists() else ""
    if BEGIN not in old:
        old = f"{old.rstrip()}\n\n{BEGIN}\n{END}\n".lstrip()
    before, rest = old.split(BEGIN, 1)
    path.write_text(f"{before}{BEGIN}\n{text.strip()}\n{END}{rest.split(END, 1)[1]}")


def page(place: Workplace, several: Runs, figures: Sequence[str], *, timings: bool) -> str:
    """Return all tables and links to the plots, as Markdown; ``timings`` are measured now."""
    parts = [
        ("### Table 2", _table_2(place, several)),
        ("### Codes that move, and the distance loss", _comparison(place, several)),
        ("### Figure 4: sizes of codebooks", _figure_4(place, several)),
        *([("### Figure 6: time", _figure_6(place, several))] if timings else []),
    ]
    text = "\n\n".join(f"{title}\n\n{table}" for title, table in parts)
    return "\n\n".join([text, *(f"![{Path(name).stem}]({name})" for name in figures)])


def _table_2(place: Workplace, several: Runs) -> str:
    rows = []
    for data, runs in several.items():
        fm = _first(runs, method="fm")
        full = place.result(fm)
        chosen = {
            "FM": fm,
            **{f"LightFM, K = {k}": _first(runs, method="lightfm", codewords=k, codes="moving", distance="popularity")
               for k in SWEEP},
            "xLightFM": _first(runs, method="xlightfm", share=1.0),
            "xLightFM, 0.85 of its bytes": _first(runs, method="xlightfm", share=0.85),
        }  # fmt: skip
        for name, run in chosen.items():
            found = place.result(run)
            if found is None:
                rows.append((data, name, *[_MISSING] * 5))
                continue
            ratio = f"{full['bytes'] / found['bytes']:.1f}" if full else _MISSING
            rows.append((data, name, _auc(found), _logloss(found), f"{found['bytes']:,}", ratio, _params(found)))
    return _markdown(("data", "model", "test AUC", "LogLoss", "bytes", "ratio", "paper's Params, MiB"), rows)


def _comparison(place: Workplace, several: Runs) -> str:
    rows = []
    for data, runs in several.items():
        for codewords in SIZES:
            for name, settings in (
                ("fixed", {"codes": "fixed"}),
                *((f"moving, distance {loss}", {"codes": "moving", "distance": loss}) for loss in LOSSES),
            ):
                found = [place.result(r) for r in _matching(runs, method="lightfm", codewords=codewords, **settings)]
                done = [result for result in found if result]
                rows.append(
                    (data, str(codewords), name, _spread(done, "auc"), _spread(done, "logloss"), str(len(done)))
                )
    return _markdown(("data", "K", "codes", "test AUC", "LogLoss", "seeds"), rows)


def _figure_4(place: Workplace, several: Runs) -> str:
    rows = []
    for data, runs in several.items():
        same = [r for r in (place.result(run) for run in _matching(runs, method="xlightfm", share=1.0)) if r]
        less = [r for r in (place.result(run) for run in _matching(runs, method="xlightfm", share=0.85)) if r]
        fixed_size = _matching(runs, method="lightfm", codewords=256, codes="moving", distance="popularity")
        light = [r for r in (place.result(run) for run in fixed_size) if r]
        for name, found in (("LightFM, K = 256", light), ("xLightFM, the same bytes", same), ("0.85 of them", less)):
            size = f"{found[0]['bytes']:,}" if found else _MISSING
            rows.append((data, name, size, _spread(found, "auc"), _spread(found, "logloss"), str(len(found))))
    return _markdown(("data", "model", "bytes", "test AUC", "LogLoss", "seeds"), rows)


def _figure_6(place: Workplace, several: Runs) -> str:
    rows = []
    for data, runs in several.items():
        training = time_steps(place, data)
        inference = time_inference(place, data, runs)
        for name in dict.fromkeys((*training, *inference)):
            rows.append((data, name, _ms(training.get(name)), _ms(inference.get(name))))
    return _markdown(("data", "model", "training step, ms", "inference of a batch, ms"), rows)


def _matching(runs: Iterable[Run], **settings: Any) -> list[Run]:
    return [run for run in runs if all(getattr(run, name) == value for name, value in settings.items())]


def _first(runs: Iterable[Run], **settings: Any) -> Run:
    return _matching(runs, **settings)[0]


def _auc(found: dict[str, Any]) -> str:
    return f"{found['test']['auc']:.5f}"


def _logloss(found: dict[str, Any]) -> str:
    return f"{found['test']['logloss']:.5f}"


def _params(found: dict[str, Any]) -> str:
    return f"{found['params_mib']:.3f}"


def _spread(found: Sequence[dict[str, Any]], score: str) -> str:
    values = [result["test"][score] for result in found]
    if not values:
        return _MISSING
    spread = f" ± {statistics.stdev(values):.5f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.5f}{spread}"


def _ms(seconds: float | None) -> str:
    return _MISSING if seconds is None else f"{seconds * 1e3:.2f}"


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    numbers: Callable[[str], str] = lambda _: "---"  # noqa: E731
    lines = [head, [numbers(name) for name in head], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
