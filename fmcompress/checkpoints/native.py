"""Our own checkpoints: a torch file (``.pt``) or a safetensors file, with the same tensors in it.

embeddings   float32 (categories, dim)
linear       float32 (categories,)
bias         float32 ()
counts       int64 (categories,), optional
fmcompress   {"version": 1, "fields": [[name, cardinality], …], "link": "sigmoid"} as text
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from fmcompress.checkpoints.candidate import Candidate
from fmcompress.checkpoints.checkpoint import FMCheckpoint
from fmcompress.checkpoints.damage import damaged
from fmcompress.checkpoints.dialect import Given, agreed_fields, claim
from fmcompress.checkpoints.safetensors_file import write_safetensors
from fmcompress.checkpoints.tensor import Tensor
from fmcompress.errors import CheckpointError, OutputError, UsageError
from fmcompress.files import check_writable, replacing
from fmcompress.schema import Schema

VERSION = 1
_LABEL = "fmcompress"
_NEEDED = ("embeddings", "linear", "bias")
_COUNTS = "counts"

_Arrays = Mapping[str, npt.NDArray[Any]]


def check_saveable(path: Path, *, force: bool = False) -> None:
    """Raise now what ``save_checkpoint`` would raise for this path after a long training.

    Raises:
        OutputError: the suffix is neither .pt nor .safetensors, or the file cannot be written.
    """
    if path.suffix not in _WRITERS:
        raise OutputError(
            f"{path} has suffix {path.suffix!r}, expected {' or '.join(_WRITERS)}",
            hint="name it fm.pt, for instance",
        )
    check_writable(path, force=force)


def save_checkpoint(ckpt: FMCheckpoint, path: str | Path, *, force: bool = False) -> None:
    """Write a checkpoint that ``load_checkpoint`` reads back bit by bit, but for ``source``.

    Args:
        ckpt: the model; its bias is rounded to float32.
        path: where to; the suffix chooses the container: ``.pt`` for one that ``torch.load`` reads, with
            ``weights_only`` too, or ``.safetensors``.
        force: replace a file that exists.

    Raises:
        OutputError: it exists and ``force`` is not set, the suffix is another one, the system refuses.
        CheckpointError: the bias is too large for float32.
    """
    path = Path(path)
    check_saveable(path, force=force)
    if abs(ckpt.bias) > float(np.finfo(np.float32).max):
        raise CheckpointError(f"bias {ckpt.bias} is too large for float32")
    # The int64 counts stand first, so that every tensor of a safetensors file is aligned.
    arrays = {} if ckpt.counts is None else {_COUNTS: np.ascontiguousarray(ckpt.counts, np.int64)}
    arrays["embeddings"] = np.ascontiguousarray(ckpt.embeddings, np.float32)
    arrays["linear"] = np.ascontiguousarray(ckpt.linear, np.float32)
    arrays["bias"] = np.array(ckpt.bias, np.float32)
    fields = [[field.name, field.cardinality] for field in ckpt.schema.fields]
    label = json.dumps({"version": VERSION, "fields": fields, "link": ckpt.link}, separators=(",", ":"))
    with replacing(path, force=force) as file:
        _WRITERS[path.suffix](file, arrays, label)


def _write_torch(file: BinaryIO, arrays: _Arrays, label: str) -> None:
    import torch

    # torch warns of arrays that it could write to by accident, such as memory-mapped ones.
    tensors = {
        name: torch.from_numpy(values if values.flags.writeable else values.copy()) for name, values in arrays.items()
    }
    try:
        torch.save({**tensors, _LABEL: label}, file)
    except RuntimeError as error:
        # After a failed write torch still tries to end the archive, and fails again with an error of its own.
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def _write_safetensors(file: BinaryIO, arrays: _Arrays, label: str) -> None:
    write_safetensors(file, arrays, {_LABEL: label})


_WRITERS: dict[str, Callable[[BinaryIO, _Arrays, str], None]] = {
    ".pt": _write_torch,
    ".safetensors": _write_safetensors,
}


def recognises(candidate: Candidate) -> bool:
    """Return whether a file is ours: a checkpoint, or an artifact given by mistake."""
    return candidate.text(_LABEL) is not None


def read(candidate: Candidate, given: Given) -> FMCheckpoint:
    """Read a checkpoint of ours; names in ``given.fields`` replace its own.

    Raises:
        CheckpointError: it is damaged, of a newer version, or an artifact; the fields given have other sizes.
    """
    own, link = _read_label(candidate.text(_LABEL) or "")
    weights = claim(candidate.weights.tensors, _NEEDED, (_COUNTS,))
    embeddings = _values(weights, "embeddings", np.float32)
    bias = _values(weights, "bias", np.float32)
    if embeddings.ndim != 2 or bias.shape != ():
        raise CheckpointError(
            f"embeddings have shape {embeddings.shape} and bias {bias.shape}, expected (categories, dim) and ()"
        )
    return FMCheckpoint(
        schema=agreed_fields(own, given.fields, rows=len(embeddings)),
        bias=float(bias),
        linear=_values(weights, "linear", np.float32),
        embeddings=embeddings,
        link=link,
        counts=_values(weights, _COUNTS, np.int64) if _COUNTS in weights else None,
    )


def _read_label(text: str) -> tuple[Schema, str]:
    with damaged("its description cannot be read"):
        label = json.loads(text)
        if not isinstance(label, dict):
            raise TypeError("it is no JSON object")
    if "schema_version" in label:
        raise CheckpointError(
            "it is an artifact of fmcompress, which is compressed already; expected a checkpoint",
            hint="give the checkpoint that it was made from; report, evaluate and score read artifacts",
        )
    version = label.get("version")
    if type(version) is int and version > VERSION:
        raise CheckpointError(
            f"it is a checkpoint of version {version}, this fmcompress reads version {VERSION}",
            hint="upgrade fmcompress",
        )
    with damaged("its description cannot be read"):
        if version != VERSION or not isinstance(label.get("link"), str):
            raise ValueError("it has no version or no link")
        return _fields(label["fields"]), label["link"]


def _fields(pairs: list[tuple[str, int]]) -> Schema:
    for name, cardinality in pairs:
        if not isinstance(name, str) or type(cardinality) is not int or cardinality >= 2**31:
            raise ValueError("a field is no pair of a name and a size")
    try:
        return Schema.of(pairs)
    except UsageError as error:
        raise CheckpointError(f"its description makes no sense: {error}") from error


def _values(weights: Mapping[str, Tensor], key: str, dtype: type[np.generic]) -> npt.NDArray[Any]:
    values = weights[key].read()
    if values.dtype != dtype:
        raise CheckpointError(f"{key!r} has type {values.dtype}, expected {np.dtype(dtype)}")
    return values
