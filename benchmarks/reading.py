"""Reading checkpoints of 1.09M × 32, against ``torch.load`` of the same tensors."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks import criteo
from benchmarks.timing import interleaved, memory_row, peak_bytes, peak_of, ratio
from fmcompress.checkpoints import FMCheckpoint, load_checkpoint, save_checkpoint

_ROUNDS = 15
_TENSOR_BYTES = 4 * criteo.SCHEMA.categories * (criteo.DIM + 1)
_NAMES = {"fm.pt": "checkpoint of fmcompress", "state_dict.pt": "state_dict of pytorch-fm"}


def run() -> list[tuple[str, ...]]:
    """Return rows of the table: what, milliseconds, times those of ``torch.load``."""
    rows: list[tuple[str, ...]] = []
    with TemporaryDirectory() as folder:
        for path, name in _write(Path(folder)).items():
            times = _times(path)
            for how, found in zip(("`torch.load`", "`load_checkpoint`", "then its SHA-256"), times, strict=True):
                median = statistics.median(found)
                rows.append((f"{name}, {how}", f"{1000 * median:.0f} ms", f"{ratio(found, times[0]):.2f}"))
    return rows


def _times(path: Path) -> list[list[float]]:
    loaded: list[FMCheckpoint] = []
    works = (
        lambda: _load_with_torch(path),
        lambda: loaded.append(_load(path)),
        lambda: loaded.pop().source.sha256,  # waits for it, so that it takes nothing from the next round
    )
    return interleaved(works, _ROUNDS)


def memory() -> list[tuple[str, ...]]:
    """Return rows of the table: what, MiB, times the tensors; each measured in a process of its own."""
    rows = [memory_row("the tensors", _TENSOR_BYTES, _TENSOR_BYTES)]
    with TemporaryDirectory() as folder:
        for path, name in _write(Path(folder)).items():
            for how in ("torch.load", "load_checkpoint"):
                rows.append(memory_row(f"{name}, `{how}`", peak_of("reading", how, str(path)), _TENSOR_BYTES))
    return rows


def _write(folder: Path) -> dict[Path, str]:
    """Write a model in each form, and return what it is called."""
    model = criteo.bare_checkpoint()
    save_checkpoint(model, folder / "fm.pt")
    state = {
        "embedding.embedding.weight": torch.from_numpy(model.embeddings),
        "linear.fc.weight": torch.from_numpy(model.linear[:, None]),
        "linear.bias": torch.tensor([model.bias]),
    }
    torch.save(state, folder / "state_dict.pt")
    return {folder / file: name for file, name in _NAMES.items()}


def _load_with_torch(path: Path) -> object:
    return torch.load(path, weights_only=True)


def _load(path: Path) -> FMCheckpoint:
    return load_checkpoint(path, fields=criteo.SCHEMA)


def _measure_memory(how: str, path: Path) -> int:
    load = {"torch.load": _load_with_torch, "load_checkpoint": _load}[how]
    before = peak_bytes(anew=True)
    load(path)
    return peak_bytes() - before


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(_measure_memory(sys.argv[1], Path(sys.argv[2])))
    else:
        for row in [*run(), *memory()]:
            print(" | ".join(row))
