"""Small tables of vectors, and packed ones."""

import numpy as np

from fmcompress.artifact import pack_tables
from fmcompress.fm.quantized_fm import QuantizedField
from fmcompress.fm.quantizer import parse_quantizer
from fmcompress.fm.schema import Schema, SharedField, VectorField
from fmcompress.fm.tiers import Tiers
from fmcompress.serve.compressed_tables import CompressedTables
from tests.models import origin


def vectors(rows, dim, *, rank=4, seed=0):
    """Return vectors of few dimensions and some noise, float32 (rows, dim), as learned ones are."""
    rng = np.random.default_rng([seed, rows, dim])
    low = rng.normal(size=(rows, rank)) @ rng.normal(size=(rank, dim))
    return (low + 0.1 * rng.normal(size=(rows, dim))).astype(np.float32)


def zipf_counts(rows, *, seed=0):
    """Return counts of rows of which few are looked up often, int64 (rows,)."""
    rng = np.random.default_rng([seed, rows])
    return rng.permutation((10 * rows / (1 + np.arange(rows))).astype(np.int64))


def packed_tables(*, with_tiers=False, seed=0):
    """Return three packed tables of different sizes, one of them the copy of another, of random numbers."""
    rng = np.random.default_rng(seed)
    schema = Schema.in_order(
        [
            VectorField("user", 9, dim=4, zeros=(0, 3), axes=with_tiers),
            SharedField("copy", "user"),
            VectorField("item", 40, dim=7),
        ]
    )
    parts = [(9, 4, "2x3:8"), (40, 7, "raw:8")]
    of = np.zeros(49, dtype=np.uint8)
    if with_tiers:
        parts = [(9, 4, "raw"), (10, 7, "raw:32"), (30, 7, "b21")]
        of[9 + rng.permutation(40)[:30]] = 1
    fields = [_part(rng, *part) for part in parts]
    tiers = Tiers(schema, of)
    axes = [rng.normal(size=(4, 4)).astype(np.float16)] if with_tiers else []
    return CompressedTables.of(pack_tables(fields, tiers, origin(quality=False, cosines=(0.9912, 0.5)), axes))


def _part(rng, rows, dim, spec):
    quantizer = parse_quantizer(spec)
    codes = [rng.integers(0, size, rows) for size in quantizer.codewords]
    tables = [rng.normal(size=shape).astype(np.float32) for shape in quantizer.table_shapes(rows, dim)]
    none = np.empty(0, dtype=np.float32), np.empty(0, dtype=np.uint16)
    codes = np.array(codes, dtype=np.uint16).reshape(len(codes), rows).T
    return QuantizedField(quantizer, tuple(tables), codes, *none, error=2e-3)
