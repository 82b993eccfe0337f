"""Where an artifact comes from: what it says of itself, and what decides whether a run can be gone on with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from fmcompress.artifact import Origin, Quality
from fmcompress.data.train_valid import TuningData
from fmcompress.errors import UsageError
from fmcompress.files import check_apart
from fmcompress.finetune.options import TuneOptions
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.field_specs import format_fields
from fmcompress.methods.registry import Auto, Method
from fmcompress.progress import SILENT, Progress
from fmcompress.quantization import kmeans
from fmcompress.sizes import parse_size
from fmcompress.training.device import device_kind
from fmcompress.training.run_state import Journal, RunFiles
from fmcompress.version import __version__


def origin_of(
    checkpoint: FMCheckpoint, budget_bytes: int, method: Method, seed: int, data: TuningData | None
) -> Origin:
    """Return what an artifact says of where it comes from; its quality is not known yet, but has its place."""
    source = checkpoint.source
    libraries = {"fmcompress": __version__, "faiss": kmeans.version(), "numpy": np.__version__}
    quality = {}
    if data is not None:
        import torch

        libraries["torch"] = torch.__version__
        unknown = Quality(data.valid.rows, 0.0, 0.0)  # takes its place in the header until it is known
        quality = dict.fromkeys(("source", "untuned", "artifact"), unknown)
    return Origin(
        budget_bytes=budget_bytes,
        method=method.name,
        seed=seed,
        source=() if source is None else (source.tool, source.name, source.sha256),
        libraries=libraries,
        quality=quality,
    )


def open_journal(
    checkpoint: FMCheckpoint,
    budget: str | int | None,
    data: TuningData | None,
    tuning: TuneOptions,
    files: RunFiles,
    *,
    method: Method | None = None,
    seed: int = 0,
    carry_vocabulary: bool = False,
    progress: Progress = SILENT,
) -> Journal:
    """Open the files that a run keeps; they are checked before anything is computed.

    Args:
        checkpoint: the factorization machine.
        budget: size of the artifact at most.
        data: rows to tune on.
        tuning: how to tune.
        files: the files.
        method: how to quantize.
        seed: of k-means, tuning and shuffling.
        carry_vocabulary: whether the artifact carries the checkpoint's vocabulary.
        progress: told from where a resumed run goes on.

    Raises:
        UsageError: there is nothing to tune, and so nothing to resume or to tell of, or no state is named.
        StateError: the state is damaged, or of another run.
        OutputError: the history exists, or a file cannot be written, or is an input.
    """
    if data is None:
        for name, wanted in (("resume", files.resume), ("history", files.history is not None)):
            if wanted:
                raise UsageError(f"{name} without training data: only tuning takes long", hint="--train gives them")
        return Journal()
    for path in (files.state, files.history):
        if path is not None:
            check_apart(path, [*data.rows.files, *data.valid.files])
    method = method or Auto()
    origin = origin_of(checkpoint, 0 if budget is None else parse_size(budget), method, seed, data)
    fingerprint = _fingerprint(checkpoint, origin, method, data, tuning, carry_vocabulary=carry_vocabulary)
    return Journal(files, fingerprint, progress=progress)


def _fingerprint(
    checkpoint: FMCheckpoint,
    origin: Origin,
    method: Method,
    data: TuningData,
    tuning: TuneOptions,
    *,
    carry_vocabulary: bool,
) -> dict[str, str | int | float | None]:
    """Return all that decides the result of tuning, in the order in which differences are best told."""
    vocabulary = checkpoint.vocabulary
    options = {name: value for name, value in asdict(tuning).items() if name not in ("seed", "device")}
    rows = {
        f"{part}_{unit}": number
        for part, found in (("train", data.rows), ("valid", data.valid))
        for unit, number in (("rows", found.rows), ("bytes", sum(Path(file).stat().st_size for file in found.files)))
    }
    return {
        "checkpoint_sha256": origin.source[-1] if origin.source else _digest(checkpoint),
        "fields": format_fields(checkpoint.schema),
        "link": checkpoint.link,
        "weights_sha256": _digest(checkpoint),
        "vocabulary": "" if vocabulary is None else hashlib.sha256(vocabulary.encode()).hexdigest(),
        "carries_vocabulary": carry_vocabulary,
        "budget_bytes": origin.budget_bytes,
        "method": origin.method,
        "seed": origin.seed,
        **_flat(asdict(method)),
        **_flat(options),
        **rows,
        **asdict(data.options),
        "device": device_kind(tuning.device),
        # Plain texts: torch's version is of a class of its own, which no state may hold.
        **{name: str(version) for name, version in origin.libraries.items()},
    }


def _flat(options: Mapping[str, Any]) -> dict[str, str | int | float | None]:
    """Return options as plain numbers and texts, those of a part with its name before theirs."""
    found: dict[str, str | int | float | None] = {}
    for name, value in options.items():
        if isinstance(value, Mapping):
            found |= {f"{name}_{setting}": figure for setting, figure in _flat(value).items()}
        else:
            found[name] = value if isinstance(value, str | int | float | None) else repr(value)
    return found


def _digest(checkpoint: FMCheckpoint) -> str:
    """Return the SHA-256 of a model's weights."""
    digest = hashlib.sha256(repr((checkpoint.bias, checkpoint.link)).encode())
    for weights in (checkpoint.linear, checkpoint.embeddings, checkpoint.numeric.linear, checkpoint.numeric.embeddings):
        digest.update(np.ascontiguousarray(weights).data)
    return digest.hexdigest()
