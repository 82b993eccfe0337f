"""Checkpoints for the tests: genuine ones, small ones of our own, and hand-made torch files."""

import zipfile
from pathlib import Path

import numpy as np

from fmcompress.checkpoints import FMCheckpoint
from fmcompress.fm.schema import Schema

FILES = Path(__file__).parent / "genuine"
WHOLE_MODEL = FILES / "pytorch-fm" / "fm.pt"
STATE_DICT = FILES / "pytorch-fm" / "fm_state_dict.pt"

FIELDS = Schema.of([("user", 7), ("item", 5), ("cat", 11)])


def small_checkpoint(*, counts=True, seed=0):
    rng = np.random.default_rng(seed)
    schema = Schema.of([("user", 4), ("größe", 3)])
    return FMCheckpoint(
        schema=schema,
        bias=float(np.float32(-0.3)),
        linear=rng.normal(size=7).astype(np.float32),
        embeddings=rng.normal(size=(7, 3)).astype(np.float32),
        counts=rng.integers(0, 100, 7) if counts else None,
    )


def predict(ckpt, ids, values=None):
    """Return the predictions of rows of ids, and of values of numeric fields, by the textbook formula."""
    rows = ids + ckpt.schema.id_offsets
    linear = ckpt.linear.astype(np.float64)[rows]
    vectors = ckpt.embeddings.astype(np.float64)[rows]
    if values is not None:
        linear = np.concatenate([linear, values * ckpt.numeric.linear], axis=1)
        vectors = np.concatenate([vectors, values[:, :, None] * ckpt.numeric.embeddings], axis=1)
    pairs = 0.5 * (vectors.sum(axis=1) ** 2 - (vectors**2).sum(axis=1)).sum(axis=1)
    return ckpt.link_function.predict(ckpt.bias + linear.sum(axis=1) + pairs)


def write_torch_zip(path, pickle, storages=(), *, compression=zipfile.ZIP_STORED, byteorder=b"little"):
    """Write a torch file with the given pickle and the bytes of storages 0, 1, …"""
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("fm/data.pkl", pickle)
        file.writestr("fm/byteorder", byteorder)
        for number, data in enumerate(storages):
            file.writestr(f"fm/data/{number}", data)
    return path


def rewritten(source, target, **entries):
    """Copy a torch file with some of its entries replaced, named by their last part."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            new.writestr(info.filename, entries.get(info.filename.split("/")[-1], old.read(info)))
    return target
