"""Models for the tests: small quantized and packed ones of any shape, checkpoints, rows, a plain scorer."""

import numpy as np

from fmcompress.artifact import Origin, Quality
from fmcompress.artifact import pack_model as pack
from fmcompress.artifact.numbers import as_stored, tables_as_stored
from fmcompress.checkpoints import FMCheckpoint
from fmcompress.data.click_model import random_click_model
from fmcompress.fm.quantized_fm import QuantizedField, QuantizedFM
from fmcompress.fm.quantizer import parse_quantizer
from fmcompress.fm.schema import Schema
from fmcompress.fm.tiers import Tiers
from fmcompress.serve.compressed_fm import CompressedFM

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

# The same with numbers in int8, and with fields in tiers, which stand between bars.
TIERED_SHAPES = {
    "int8": (
        *(8, "300 4x64:8 16", "17 raw:8 raw", "24 shared:8 shared", "50 raw:8 8", "31 b4322:8 raw"),
        *("9 1x3:8 9", "4500 raw:8 2", "5 raw raw"),
    ),
    "fp32": (
        *(8, "300 4x64:32 16", "17 raw:32 raw", "24 shared:32 shared", "50 raw:32 8", "31 b4322:32 raw"),
        *("9 1x3:32 9", "4500 raw:32 2", "5 raw raw", "7 raw:32 raw | 40 2x8 4 | 12 raw:8 raw"),
    ),
    "two tiers": (6, "30 3x8 4 | 91 1x16:8 2", "7 raw raw", "400 b84 raw | 1 shared shared", "1 raw raw | 1 raw:8 4"),
    "many tiers": (
        *(8, "200 4x32:8 16 | 1500 2x16 4 | 3300 shared:8 2", "40 2x7 raw | 60 1x16:8 raw | 9 raw 3 | 5 8x2 2"),
        *("1 raw raw | 1 shared shared | 1 raw:8 2 | 1 1x2 raw", "5000 raw:8 raw | 4200 raw 4 | 30 raw raw"),
    ),
    "wide tiers": (32, "45 32x256 256 | 60 16x16:8 raw | 20 32x3 5", "21 8x1024 4 | 300 b88888888888888888887 2"),
}
EVERY_SHAPE = SHAPES | TIERED_SHAPES

ODD_NAMES = ("größe", '価格 "¥"', "a\\b\n|<i>", "🛒" * 9, "=1+1\x1b[31m")


def pack_model(model, origin):
    """Return a quantized factorization machine packed, so that it predicts and can be saved."""
    return CompressedFM.of(pack(model, origin))


def quantized(dim, *fields, names=None, seed=0, bias=-0.5):
    """Return a quantized factorization machine with random tables, exact as they are stored, and random codes.

    Its fields are described as in ``SHAPES``, and named f0, f1, … where no names are given.
    """
    rng = np.random.default_rng(seed)
    tiers = [[tier.split() for tier in field.split("|")] for field in fields]
    scale = (len(fields) * dim) ** -0.5
    names = names or [f"f{number}" for number in range(len(fields))]
    sizes = [[int(size) for size, _, _ in field] for field in tiers]
    schema = Schema.of(zip(names, map(sum, sizes), strict=True))
    shuffle = np.random.default_rng([seed, 1]).permutation
    of = [shuffle(np.repeat(np.arange(len(own)), own)) for own in sizes]
    return QuantizedFM(
        schema=schema,
        dim=dim,
        link="sigmoid",
        bias=float(np.float32(bias)),
        fields=tuple(_part(rng, dim, scale, int(size), *names) for field in tiers for size, *names in field),
        tiers=Tiers(schema, np.concatenate(of).astype(np.uint8)),
    )


def _part(rng, dim, scale, cardinality, embedding, linear):
    quantizer = parse_quantizer(embedding, linear)

    def table(*shape):
        return (rng.normal(size=shape) * scale).astype(np.float32)

    codes = [rng.integers(0, k, cardinality) for k in quantizer.codewords]
    linear_codes = rng.integers(0, max(1, quantizer.linear_codewords), 0 if quantizer.linear_raw else cardinality)
    return QuantizedField(
        quantizer=quantizer,
        tables=tables_as_stored([table(*shape) for shape in quantizer.table_shapes(cardinality, dim)], quantizer),
        codes=np.array(codes, dtype=np.uint16).reshape(len(codes), cardinality).T,
        linear_table=as_stored(table(quantizer.linear_values(cardinality)), quantizer.value_bytes),
        linear_codes=linear_codes.astype(np.uint16),
        error=float(f"{rng.random() * 1e-3:.1e}"),
    )


def origin(*, budget_bytes=10_000_000, quality=True, **changes):
    """Return an origin with everything in it that real ones have; ``quality`` may be other figures, or False."""
    scores = {
        "source": Quality(12345, 0.80123, 0.45679),
        "untuned": Quality(12345, 0.79123, 0.46679),
        "artifact": Quality(12345, 0.80023, 0.45779),
    }
    values = {
        "budget_bytes": budget_bytes,
        "method": "auto",
        "seed": 7,
        "source": ("pytorch-fm", "fm.pt", "0123456789abcdef" * 4),
        "libraries": {"fmcompress": "0.1.0", "faiss": "1.15.1", "numpy": "2.4.6", "torch": "2.13.0+cpu"},
        "quality": scores if quality is True else quality or {},
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
    parts = iter(model.fields)
    for column, of in enumerate(model.schema.split(model.tiers.of)):
        embeddings, linear = np.empty((len(of), model.dim)), np.empty(len(of))
        for tier in range(of.max() + 1):
            part = next(parts)
            embeddings[of == tier], linear[of == tier] = part.embeddings(), part.linear()
        present = (ids[:, column] >= 0)[:, None]
        vectors = embeddings[ids[:, column]] * present
        sums += vectors
        squares += vectors**2
        logits += linear[ids[:, column]] * present[:, 0]
    return logits + 0.5 * (sums**2 - squares).sum(axis=1)


def sigmoid(logits):
    """Return 1 / (1 + exp(-logits))."""
    return 1 / (1 + np.exp(-logits))
