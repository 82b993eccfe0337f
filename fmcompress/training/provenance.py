"""Where an artifact comes from: what it says of itself, and what decides whether a run can be gone on with."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from fmcompress.artifact import Origin, Quality
from fmcompress.artifact.origin import Sampled
from fmcompress.data.rows import TuningData
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.disk_table import Table, blocks
from fmcompress.fm.field_specs import format_fields
from fmcompress.quantization import kmeans
from fmcompress.training.device import device_kind
from fmcompress.version import __version__


def origin_of(checkpoint: FMCheckpoint, budget_bytes: int, method: str, seed: int, data: TuningData | None) -> Origin:
    """Return what an artifact says of where it comes from; its quality is not known yet, but has its place.

    With data their rows are counted, once, for what is doubtful of them.

    Args:
        checkpoint: the factorization machine.
        budget_bytes: size of the artifact at most; 0 where there is no budget.
        method: name of the method.
        seed: of k-means, search, tuning and shuffling.
        data: rows to search and tune on.
    """
    source = checkpoint.source
    libraries = {"fmcompress": __version__, "faiss": kmeans.version(), "numpy": np.__version__}
    quality: dict[str, Quality] = {}
    warnings: tuple[str, ...] = ()
    if data is not None:
        import torch

        libraries["torch"] = torch.__version__
        regression = checkpoint.link_function.regression
        warnings = tuple(doubt.found for doubt in data.doubts(regression=regression))
        error = None if regression else 0.0
        # Takes its place in the header until it is known.
        unknown = Quality(data.valid.rows, 0.0, 0.0, auc_standard_error=error)
        quality = dict.fromkeys(("source", "untuned", "artifact"), unknown)
    return Origin(
        budget_bytes=budget_bytes,
        method=method,
        seed=seed,
        source=() if source is None else (source.tool, source.name, source.sha256),
        libraries=libraries,
        sampled=Sampled(0, 0, 0) if data is None else None,  # takes its place in the header, too
        quality=quality,
        warnings=warnings,
    )


def fingerprint_of(
    checkpoint: FMCheckpoint,
    origin: Origin,
    data: TuningData,
    *,
    method_settings: Mapping[str, Any],
    tuning_settings: Mapping[str, Any],
    carries_vocabulary: bool,
) -> dict[str, str | int | float | None]:
    """Return all that decides the result of tuning, in the order in which differences are best told.

    Args:
        checkpoint: the factorization machine.
        origin: what the artifact will say of itself.
        data: rows to search and tune on.
        method_settings: of the method, by name.
        tuning_settings: of the tuning, by name, with the torch device.
        carries_vocabulary: whether the artifact carries the checkpoint's vocabulary.
    """
    vocabulary, weights = checkpoint.vocabulary, _digest(checkpoint)
    settings = {name: value for name, value in tuning_settings.items() if name not in ("seed", "device")}
    rows = {
        f"{part}_{unit}": number
        for part, found in (("train", data.rows), ("valid", data.valid))
        for unit, number in (("rows", found.rows), ("bytes", found.files_bytes))
    }
    return {
        "checkpoint_sha256": origin.source[-1] if origin.source else weights,
        "fields": format_fields(checkpoint.schema),
        "link": checkpoint.link,
        "weights_sha256": weights,
        "vocabulary": "" if vocabulary is None else vocabulary.sha256,
        "carries_vocabulary": carries_vocabulary,
        "budget_bytes": origin.budget_bytes,
        "method": origin.method,
        "seed": origin.seed,
        **_flat(method_settings),
        **_flat(settings),
        **rows,
        **asdict(data.options),
        **({} if data.targets is None else {"targets": data.targets}),
        "device": device_kind(tuning_settings["device"]),
        # Plain texts: torch's version is of a class of its own, which no state may hold.
        **{name: str(version) for name, version in origin.libraries.items()},
    }


def _flat(options: Mapping[str, Any]) -> dict[str, str | int | float | None]:
    """Return options as plain numbers and texts, nested ones with the name of their group before theirs."""
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
    arrays: list[Table] = [checkpoint.linear, checkpoint.embeddings]
    arrays += [checkpoint.numeric.linear, checkpoint.numeric.embeddings]
    if checkpoint.network is not None:
        digest.update(checkpoint.network.described.encode())
        arrays += [numbers for layer in checkpoint.network.layers for numbers in (layer.weight, layer.bias)]
    for weights in arrays:
        for _, block in blocks(weights):
            digest.update(np.ascontiguousarray(block).data)
    return digest.hexdigest()
