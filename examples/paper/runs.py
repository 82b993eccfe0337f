"""The runs behind the paper's tables and figures: what each is, and its result, kept in one file each."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import fmcompress as fc

SIZES = (64, 256)
LOSSES = ("none", "mean", "popularity")
SWEEP = (64, 128, 256, 512, 1024)


@dataclass(frozen=True)
class Run:
    """One model, made and scored.

    Attributes:
        data: name of the data set.
        method: ``fm``, ``lightfm`` or ``xlightfm``.
        epochs: of tuning.
        codewords: K of LightFM.
        codes: ``fixed`` or ``moving``.
        distance: the distance loss.
        seed: of everything.
        share: xLightFM's budget, as a share of the bytes of the LightFM with K = 256.
        steps: of xLightFM's search.
    """

    data: str
    method: str
    epochs: int = 0
    codewords: int = 0
    codes: str = "moving"
    distance: str = "popularity"
    seed: int = 0
    share: float = 1.0
    steps: int = 0

    @property
    def name(self) -> str:
        """Name of the run's files."""
        parts = {
            "fm": [],
            "lightfm": [self.codewords, self.codes if self.codes == "fixed" else self.distance],
            "xlightfm": [self.share, f"{self.steps}steps"],
        }[self.method]
        return "-".join(map(str, [self.data, self.method, *parts, f"{self.epochs}epochs", f"seed{self.seed}"]))


def comparisons(data: str, epochs: int, seeds: Iterable[int]) -> list[Run]:
    """Return LightFM with fixed codes and with moving ones and each distance loss, for all sizes and seeds."""
    return [
        Run(data, "lightfm", epochs, codewords, codes, distance, seed)
        for seed in seeds
        for codewords in SIZES
        for codes, distance in (("fixed", "none"), *(("moving", loss) for loss in LOSSES))
    ]


def all_runs(data: str, epochs: int, seeds: list[int], steps: int) -> list[Run]:
    """Return the runs of one data set, the most telling first."""
    compared = comparisons(data, epochs, seeds)
    first = [run for run in compared if run.seed == seeds[0]]
    searched = [Run(data, "xlightfm", epochs, seed=seed, steps=steps) for seed in seeds]
    cheaper = replace(searched[0], share=0.85)
    sweep = [Run(data, "lightfm", epochs, codewords, seed=seeds[0]) for codewords in SWEEP]
    return list(dict.fromkeys([Run(data, "fm"), *first, searched[0], *compared, *sweep, cheaper, *searched[1:]]))


def first_seed(runs: Iterable[Run]) -> int:
    """Return the seed of the runs that have only one; a factorization machine's is always 0."""
    return next(run.seed for run in runs if run.method != "fm")


@dataclass(frozen=True)
class Workplace:
    """Where data are and results are kept.

    Attributes:
        data: folder of the sets, each a folder of ``train.parquet``, ``valid.parquet`` and ``test.parquet``.
        results: folder of checkpoints, artifacts, histories and results.
    """

    data: Path
    results: Path

    def checkpoint(self, data: str) -> Path:
        """Return where the factorization machine of a set is kept."""
        return self.results / f"{data}.pt"

    def artifact(self, run: Run) -> Path:
        """Return where the artifact of a run is kept."""
        return self.results / f"{run.name}.safetensors"

    def result(self, run: Run) -> dict[str, Any] | None:
        """Return the result of a run, None where it is not there yet."""
        path = self.results / f"{run.name}.json"
        found: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
        return found

    def history(self, run: Run, event: str = "epoch") -> list[dict[str, Any]]:
        """Return lines of a run's history; those of its tuning, where there are several stages."""
        path = self.results / f"{run.name}.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [line for line in lines if line["event"] == event and line.get("stage") == "tuning"]

    def carry_out(self, run: Run) -> dict[str, Any]:
        """Make the model of a run, score it on the test rows, once, and keep the result."""
        train, valid, test = (self.data / run.data / f"{part}.parquet" for part in ("train", "valid", "test"))
        start = time.perf_counter()
        if run.method == "fm":
            path = self.checkpoint(run.data)
            if not path.exists():
                command = ["fmcompress", "train", train, "--valid", valid, "-o", path, "--quiet"]
                subprocess.run([*map(str, command)], check=True)
            checkpoint = fc.load_checkpoint(path)
            result: dict[str, Any] = {
                "bytes": checkpoint.fp32_bytes,
                "params_mib": 4 * checkpoint.embeddings.size / 2**20,
                "validation": asdict(fc.evaluate(checkpoint, valid)),
            }
            scores = fc.evaluate(checkpoint, test)
        else:
            result = self._compress(run, train, valid)
            scores = fc.evaluate(fc.load(self.artifact(run)), test)
        result |= {"run": asdict(run), "seconds": time.perf_counter() - start, "test": asdict(scores)}
        unfinished = self.results / f"{run.name}.json.part"
        unfinished.write_text(json.dumps(result))
        unfinished.rename(self.results / f"{run.name}.json")
        return result

    def _compress(self, run: Run, train: Path, valid: Path) -> dict[str, Any]:
        checkpoint = fc.load_checkpoint(self.checkpoint(run.data))
        moving = fc.MovingOptions(distance=run.distance) if run.codes == "moving" else None
        model = fc.quantize(
            checkpoint,
            None if run.method == "lightfm" else self._budget(checkpoint, run.share),
            method=fc.LightFM(codewords=run.codewords) if run.method == "lightfm" else self._search(run),
            train=train,
            valid=valid,
            seed=run.seed,
            tuning=fc.TuneOptions(epochs=run.epochs, moving=moving),
            state=self.results / f"{run.name}.resume",
            resume=True,
            history=self.results / f"{run.name}.jsonl",
        )
        model.save(self.artifact(run), force=True)
        report = fc.report(self.artifact(run))
        quality = model.header.origin.quality["artifact"]
        return {
            "bytes": model.file_bytes,
            "params_mib": report.paper_params_mib,
            "validation": {"auc": quality.auc, "logloss": quality.logloss},
        }

    def _search(self, run: Run) -> fc.XLightFM:
        return fc.XLightFM(search=fc.SearchOptions(steps=run.steps))

    def _budget(self, checkpoint: fc.FMCheckpoint, share: float) -> int:
        """Return a share of the bytes of the LightFM with K = 256."""
        from fmcompress.pipeline import make_plan, open_job

        return int(make_plan(open_job(checkpoint, method=fc.LightFM(codewords=256))).file_bytes * share)


def carry_out_all(place: Workplace, runs: list[Run], *, jobs: int) -> Iterator[tuple[Run, dict[str, Any]]]:
    """Yield each run that is not there yet, with its result, as they are done; ``jobs`` processes side by side.

    Each process keeps to one thread where there are several.
    """
    missing = [run for run in runs if place.result(run) is None]
    if jobs > 1:
        os.environ["OMP_NUM_THREADS"] = "1"  # read when a process starts
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from zip(missing, pool.map(place.carry_out, missing), strict=True)
