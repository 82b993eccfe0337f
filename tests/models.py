"""Models for the tests: small quantized and packed ones of any shape, checkpoints, rows, a plain scorer."""

import numpy as np

from fmcompress.artifact import Origin, Quality, pack_model
from fmcompress.checkpoints import FMCheckpoint
from fmcompress.data.generate import random_click_model
from fmcompress.quantized import QuantizedField, QuantizedFM, table_shapes
from fmcompress.quantizer import parse_quantizer
from fmcompress.schema import Schema

# Embedding size, and for each field: categories, quantizer of the embeddings, quantizer of the linear weights.
SHAPES = {
    "one field": (4, "9 2x4 4"),
    "one category": (3, "1 raw raw", "1 shared shared", "1 1x2 2", "5 1x4 raw"),
    "dim 1": (1, "6 1x4 2", "3 raw 4", "8 shared raw"),
    "mixed": (
        *(8, "300 4x64 16", "211 256,64,64,64 raw", "17 raw raw", "7 raw shared", "24 shared raw"),
        *("2 shared shared", "50 raw 8", "33 shared 4", "90 2x16 shared", "12 2x1 raw", "12 4x1 4"),
    ),
    "uneven subspaces": (7, "40 3x8 4", "31 4x4 raw", "20 2x16 8", "9 5x2 2"),
    "no powers of two": (6, "40 3x7 5", "33 2x100 3", "70 3,17,1 raw", "9 1x3 9"),
    "wide rows": (32, "45 32x256 256", "60 16x16 raw", "21 8x1024 4", "8 32x3 5"),
    "widest codes": (8, "77 5x4096 4096", "30 6x4096 raw", "10 8x4096 2"),
    "many raw rows": (5, "5000 raw raw", "4097 raw 16", "4096 raw raw", "4500 raw shared", "30 2x4 2"),
    "no codes at all": (4, "5 raw raw", "1 shared shared"),
}

ODD_NAMES = ("größe", '価格 "¥"', "a\\b\n|<i>", "🛒" * 9, "=1+1\x1b[31m")


def quantized(dim, *fields, names=None, seed=0, bias=-0.5):
    """Return a quantized factorization machine with random tables, exact in fp16, and random codes.

    Its fields are described as in ``SHAPES``, and named f0, f1, … where no names are given.
    """
    rng = np.random.default_rng(seed)
    scale = (len(fields) * dim) ** -0.5
    parts = [field.split() for field in fields]
    names = names or [f"f{number}" for number in range(len(fields))]
    return QuantizedFM(
        schema=Schema.of(zip(names, (cardinality for cardinality, _, _ in parts), strict=True)),
        dim=dim,
        link="sigmoid",
        bias=float(np.float32(bias)),
        fields=tuple(_field(rng, dim, scale, int(cardinality), *quantizer) for cardinality, *quantizer in parts),
    )


def _field(rng, dim, scale, cardinality, embedding, linear):
    quantizer = parse_quantizer(embedding, linear)

    def table(*shape):
        return (rng.normal(size=shape) * scale).astype(np.float16).astype(np.float32)

    codes = [rng.integers(0, k, cardinality) for k in quantizer.codewords]
    linear_codes = rng.integers(0, max(1, quantizer.linear_codewords), 0 if quantizer.linear_raw else cardinality)
    return QuantizedField(
        quantizer=quantizer,
        tables=tuple(table(*shape) for shape in table_shapes(quantizer, cardinality, dim)),
        codes=np.array(codes, dtype=np.uint16).reshape(len(codes), cardinality).T,
        linear_table=table(quantizer.linear_values(cardinality)),
        linear_codes=linear_codes.astype(np.uint16),
        error=float(f"{rng.random() * 1e-3:.2e}"),
    )


def origin(*, budget_bytes=10_000_000, quality=True, **changes):
    """Return an origin with everything in it that real ones have."""
    scores = {
        "source": Quality(12345, 0.801234, 0.456789),
        "untuned": Quality(12345, 0.791234, 0.466789),
        "artifact": Quality(12345, 0.800234, 0.457789),
    }
    values = {
        "budget_bytes": budget_bytes,
        "method": "auto",
        "seed": 7,
        "source": ("pytorch-fm", "fm.pt", "0123456789abcdef" * 4),
        "libraries": {"fmcompress": "0.1.0", "faiss": "1.15.1", "numpy": "2.4.6", "torch": "2.13.0+cpu"},
        "quality": scores if quality else {},
    }
    return Origin(**(values | changes))


def packed(dim, *fields, names=None, seed=0, **changes):
    """Return a compressed factorization machine; ``changes`` are the origin's."""
    return pack_model(quantized(dim, *fields, names=names, seed=seed), origin(**changes))


def random_checkpoint(sizes, *, dim, seed=0, counts=True):
    """Return a factorization machine with fields f0, f1, … of these sizes, and counts as in real data."""
    schema = Schema.of((f"f{number}", size) for number, size in enumerate(sizes))
    model = random_click_model(schema, dim=dim, seed=seed)
    rng = np.random.default_rng(seed)
    seen = (1000 / rng.integers(1, 1000, schema.categories)).astype(np.int64) if counts else None
    return FMCheckpoint(schema, model.bias, model.linear, model.embeddings, counts=seen)


def random_ids(schema, rows, *, seed=0, missing=0.1):
    """Return random ids, int32 (rows, fields), a share of them missing."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, schema.cardinalities, (rows, len(schema))).astype(np.int32)
    ids[rng.random(ids.shape) < missing] = -1
    return ids


def plain_logits(model, ids):
    """Return the logits of a quantized model by the textbook formula, in float64."""
    logits = np.full(len(ids), model.bias, dtype=np.float64)
    sums = np.zeros((len(ids), model.dim))
    squares = np.zeros((len(ids), model.dim))
    for column, field in enumerate(model.fields):
        present = (ids[:, column] >= 0)[:, None]
        vectors = field.embeddings().astype(np.float64)[ids[:, column]] * present
        sums += vectors
        squares += vectors**2
        logits += field.linear().astype(np.float64)[ids[:, column]] * present[:, 0]
    return logits + 0.5 * (sums**2 - squares).sum(axis=1)


def sigmoid(logits):
    """Return 1 / (1 + exp(-logits))."""
    return 1 / (1 + np.exp(-logits))
