"""Figure 6: how long a training step and the inference of a batch take; the models take turns, on one thread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle

import numpy as np
import torch
from runs import Run, Workplace, first_seed

import fmcompress as fc
from fmcompress.backbones.vanilla_fm import TrainOptions, begin_training
from fmcompress.data.batch import Batch
from fmcompress.data.rows import count_categories, open_training_rows
from fmcompress.data.shuffle import shuffled
from fmcompress.evaluation.predictors import predictor
from fmcompress.finetune.tuner import begin_tuning
from fmcompress.fm.tiers import Tiers
from fmcompress.methods.code_updates import code_update
from fmcompress.methods.xlightfm.options import SearchOptions, SpaceOptions
from fmcompress.methods.xlightfm.search import SearchStart, begin_search
from fmcompress.methods.xlightfm.search_space import lay_out
from fmcompress.quantization import sensitivity
from fmcompress.quantization.codebooks import fit_codebooks

_BATCH_ROWS = 2048
_STEPS = 5
_REPEATS = 20
_INFERENCES = 100


def time_steps(place: Workplace, data: str) -> dict[str, float]:
    """Return the seconds of a training step of each method."""
    if not place.checkpoint(data).exists():
        return {}
    torch.set_num_threads(1)
    checkpoint = fc.load_checkpoint(place.checkpoint(data))
    folder = place.data / data
    rows, valid = open_training_rows(folder / "train.parquet", folder / "valid.parquet", schema=checkpoint.schema)
    counts = count_categories(rows)
    model = fc.quantize(checkpoint, method=fc.LightFM(codewords=256))
    moving = fc.TuneOptions(moving=fc.MovingOptions())
    found = sensitivity.from_moments(checkpoint, counts)
    space = lay_out(checkpoint, SpaceOptions(), model.header.origin)
    models = [fit_codebooks(checkpoint, found, q, seed=0, metric="euclidean") for q in space.by_candidate()]
    codes = code_update(moving, checkpoint, Tiers.none(checkpoint.schema), counts=counts)
    runs = {
        "FM": begin_training(rows, TrainOptions(batch_size=_BATCH_ROWS), 1e-3),
        "LightFM, K = 256, codes fixed": begin_tuning(model, checkpoint, fc.TuneOptions(), steps=10**6),
        "LightFM, K = 256": begin_tuning(model, checkpoint, moving, codes, steps=10**6),
        "xLightFM": begin_search(SearchStart(checkpoint, counts, models, space), valid, SearchOptions(), moving),
    }
    batches = cycle([batch for batch, _ in zip(shuffled(rows, _BATCH_ROWS, seed=0), range(20), strict=False)])

    def steps(step: Callable[[Batch], object]) -> Callable[[], None]:
        return lambda: [step(next(batches)) for _ in range(_STEPS)] and None

    seconds = _in_turn({name: steps(run.step) for name, run in runs.items()}, _REPEATS)
    return {name: value / _STEPS for name, value in seconds.items()}


def time_inference(place: Workplace, data: str, runs: Sequence[Run]) -> dict[str, float]:
    """Return the seconds that each model takes for a batch of 2048 test rows."""
    if not place.checkpoint(data).exists():
        return {}
    torch.set_num_threads(1)
    checkpoint = fc.load_checkpoint(place.checkpoint(data))
    models = {"FM": predictor(checkpoint)}
    for run in runs:
        if run.seed == first_seed(runs) and place.artifact(run).exists():
            if run.method == "xlightfm" and run.share == 1:
                models["xLightFM"] = fc.load(place.artifact(run))
            elif run.codewords == 256 and (run.codes, run.distance) == ("moving", "popularity"):
                models["LightFM, K = 256"] = fc.load(place.artifact(run))
    rows, _ = open_training_rows(place.data / data / "test.parquet", None, schema=checkpoint.schema)
    ids = next(rows.batches()).ids[:_BATCH_ROWS]
    works = {name: (lambda m=model: np.asarray(m.predict(ids))) for name, model in models.items()}
    return _in_turn(works, _INFERENCES)


def _in_turn(works: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the median seconds of each work; they take turns, after a round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(repeats + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(found) for name, found in seconds.items()}
