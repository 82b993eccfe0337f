"""Small checkpoints with weights of any size, from 1e-30 to 1e30, with and without outliers.

    python -m tests.wild 1000

quantizes so many, and says what became of them: each artifact is finite, and within its budget, or the checkpoint is
refused in one line.
"""

import sys
import warnings
from collections import Counter

import numpy as np

import fmcompress as fc
from fmcompress.artifact import unpack_model
from fmcompress.checkpoints import FMCheckpoint
from fmcompress.errors import BudgetError, CheckpointError
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.fm.schema import Field, NumericField, Schema
from fmcompress.methods.lightfm.method import LightFM

POWERS = 30.0


def wild_checkpoint(seed):
    """Return a checkpoint; small seeds and large ones have the same chances of everything."""
    rng = np.random.default_rng(seed)
    sizes = rng.choice([1, 2, 5, 17, 60, 200], rng.integers(1, 5))
    fields = [Field(f"f{place}", int(size), 0 if size > 1 and rng.random() < 0.1 else None)
              for place, size in enumerate(sizes)]  # fmt: skip
    numeric = [NumericField(f"x{place}") for place in range(rng.integers(0, 2))]
    schema = Schema.in_order([*fields, *numeric])
    dim, rows = int(rng.integers(1, 17)), schema.categories
    scales = np.full(rows, scale(rng)) if rng.random() < 0.6 else np.repeat([scale(rng) for _ in sizes], sizes)
    embeddings = rng.normal(size=(rows, dim)) * scales[:, None]
    linear = rng.normal(size=rows) * (scales if rng.random() < 0.5 else scale(rng))
    for _ in range(rng.integers(0, 4) if rng.random() < 0.5 else 0):
        row = rng.integers(rows)
        kind = rng.integers(3)
        if kind == 0:
            embeddings[row] = rng.normal(size=dim) * scale(rng)
        elif kind == 1:
            embeddings[row, rng.integers(dim)] = scale(rng)
        else:
            linear[row] = -scale(rng)
    for offset, own in zip(schema.offsets.tolist(), fields, strict=True):
        if own.pad is not None:
            embeddings[offset], linear[offset] = 0, 0
    return FMCheckpoint(
        schema,
        float(rng.normal() * (scale(rng) if rng.random() < 0.2 else 1)),
        linear.astype(np.float32),
        embeddings.astype(np.float32),
        link=str(rng.choice(["sigmoid", "probit", "identity", "clip:1:5"])),
        counts=rng.integers(0, 1000, rows) if rng.random() < 0.5 else None,
        numeric=NumericWeights(
            (rng.normal(size=len(numeric)) * scales[0]).astype(np.float32),
            (rng.normal(size=(len(numeric), dim)) * scales[0]).astype(np.float32),
        ),
    )


def scale(rng):
    """Return a size of weights: half of them such as are met, half of them any."""
    return 10.0 ** (rng.uniform(-POWERS, POWERS) if rng.random() < 0.5 else rng.uniform(-3, 5))


def outcome(seed):
    """Quantize a checkpoint, and return what became of it; an artifact is checked."""
    checkpoint = wild_checkpoint(seed)
    rng = np.random.default_rng([seed, 1])
    budget = 900 + int(checkpoint.fp32_bytes * 10.0 ** rng.uniform(-1, 0.2))
    lightfm = rng.random() < 0.25
    how = {"method": LightFM(1, 16, 8)} if lightfm else {"budget": budget}
    try:
        model = fc.quantize(checkpoint, **how)
    except (CheckpointError, BudgetError) as error:
        if "\n" in str(error):
            raise
        return type(error).__name__
    assert lightfm or model.file_bytes <= budget
    for tier in unpack_model(model).fields:
        assert all(np.isfinite(table).all() for table in (*tier.tables, tier.linear_table))
    ids = rng.integers(0, checkpoint.schema.id_cardinalities, (400, len(checkpoint.schema.tables)))
    values = np.ones((400, len(checkpoint.schema.numeric)), np.float32)
    assert np.isfinite(model.predict(ids, values)).all()
    return "artifact"


def main():
    """Quantize as many as the command line says."""
    warnings.simplefilter("error")
    found = Counter()
    for seed in range(int(sys.argv[1])):
        try:
            found[outcome(seed)] += 1
        except Exception as error:
            found[f"FAILED {type(error).__name__}"] += 1
            print(seed, type(error).__name__, str(error)[:200], flush=True)
    print(dict(found))


if __name__ == "__main__":
    main()
