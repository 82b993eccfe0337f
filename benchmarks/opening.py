"""Opening an artifact of 10 MB of either layout, its codes skewed as real ones are, all of them entropy coded."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks import criteo
from benchmarks.timing import interleaved, ratio
from fmcompress.artifact import Origin, pack_model
from fmcompress.fm.quantized_fm import QuantizedField, QuantizedFM
from fmcompress.methods.lightfm.method import LightFM
from fmcompress.serve.compressed_fm import CompressedFM, load
from fmcompress.serve.native_library import SWITCH

_ROUNDS = 15
_QUANTIZERS = LightFM(subspaces=8, codewords=256, linear_codewords=256).quantizers(criteo.CARDINALITIES, criteo.DIM)
_FIRST = "import sys, numpy as np, fmcompress as fc; fc.load(sys.argv[1]).predict(np.zeros((1, 39), np.int64))"


def run() -> list[tuple[str, ...]]:
    """Return rows of the table: what, milliseconds, times those of the plain layout."""
    with TemporaryDirectory() as folder:
        plain, compact = (Path(folder) / layout for layout in ("plain", "compact"))
        for path in (plain, compact):
            _model(path.name).save(path)
        rows = []
        for native in ("1", "0"):
            os.environ[SWITCH] = native
            core = "native core" if native == "1" else "numpy alone"
            loads = [partial(load, path) for path in (plain, compact)]
            firsts = [
                partial(subprocess.run, [sys.executable, "-c", _FIRST, path], check=True) for path in (plain, compact)
            ]
            for what, works in (("`load`", loads), ("process that loads and predicts", firsts)):
                times = interleaved(works, _ROUNDS)
                for layout, found in zip(("plain", "compact"), times, strict=True):
                    name, median = f"{what}, {layout}, {core}", 1000 * statistics.median(found)
                    rows.append((name, f"{median:.0f} ms", f"{ratio(found, times[0]):.2f}"))
        del os.environ[SWITCH]
    return rows


def _model(layout: str) -> CompressedFM:
    """Return a model of 10 MB whose codes are chosen unequally often."""
    rng, fields = np.random.default_rng(0), []
    for cardinality, quantizer in zip(criteo.CARDINALITIES, _QUANTIZERS, strict=True):
        tables = [
            0.1 * rng.standard_normal(shape, np.float32) for shape in quantizer.table_shapes(cardinality, criteo.DIM)
        ]
        codes = np.array([_drawn(rng, k, cardinality) for k in quantizer.codewords], np.uint16).T
        linear = 0.1 * rng.standard_normal(quantizer.linear_values(cardinality), np.float32)
        own = _drawn(rng, 256, 0 if quantizer.linear_raw else cardinality).astype(np.uint16)
        fields.append(QuantizedField(quantizer, tuple(tables), codes.reshape(cardinality, -1), linear, own))
    quantized = QuantizedFM(criteo.SCHEMA, criteo.DIM, "sigmoid", 0.0, tuple(fields))
    return CompressedFM.of(pack_model(quantized, Origin(10**7, "lightfm", 0, layout=layout)))


def _drawn(rng: np.random.Generator, codewords: int, count: int) -> np.ndarray:
    shares = np.exp(-4 * np.arange(codewords) / codewords)
    return rng.choice(codewords, size=count, p=shares / shares.sum())


if __name__ == "__main__":
    for row in run():
        print(*row, sep=" | ")
