"""Bytes of what is stored, to the byte, and decoding it."""

import json

import numpy as np
import pytest

from fmcompress.baselines.integers import INT4, INT8
from fmcompress.baselines.stored import FloatRows, IntegerRows, KeptRows, RowwiseRows, StoredFM
from fmcompress.fm.schema import Schema

SCHEMA = Schema.of([("a", 50), ("b", 8)])
ROWS, DIM = 58, 6
RNG = np.random.default_rng(0)
VALUES = RNG.normal(size=(ROWS, DIM)).astype(np.float32)
LINEAR = FloatRows(VALUES[:, :1])
STEPS = np.ones((2, DIM), dtype=np.float16)
KEPT = np.arange(ROWS) % 3 == 0
FORMS = {
    "fp32": (FloatRows(VALUES), 4 * ROWS * DIM),
    "fp16": (FloatRows(VALUES.astype(np.float16)), 2 * ROWS * DIM),
    "int8": (IntegerRows(SCHEMA, VALUES.astype(np.int8), STEPS, INT8), ROWS * DIM + 2 * 2 * DIM),
    "int4": (IntegerRows(SCHEMA, VALUES.astype(np.int8), STEPS, INT4), ROWS * DIM // 2 + 2 * 2 * DIM),
    "row-wise": (
        RowwiseRows(VALUES.astype(np.uint8) & 15, VALUES[:, 0].astype(np.float16), VALUES[:, 1].astype(np.float16)),
        ROWS * (DIM // 2 + 4),
    ),
    "kept": (KeptRows(VALUES[KEPT].astype(np.float16), KEPT), 2 * DIM * KEPT.sum() + 8),
}


@pytest.mark.parametrize("form", FORMS)
def test_all_bytes_are_counted(form):
    table, table_bytes = FORMS[form]
    assert sum(array.nbytes for array in table.arrays().values()) == table_bytes
    payload_bytes = table_bytes + 4 * ROWS + 4
    header_bytes = StoredFM(SCHEMA, "sigmoid", 0.1, LINEAR, table).file_bytes - payload_bytes
    names = ["bias", "linear.values", *(f"embeddings.{name}" for name in table.arrays())]
    assert len(json.dumps(names)) < header_bytes < 100 * len(names)


def test_int4_is_smaller_than_int8_and_int8_than_floats():
    sizes = [
        StoredFM(SCHEMA, "sigmoid", 0.1, LINEAR, FORMS[form][0]).file_bytes for form in ("int4", "int8", "fp16", "fp32")
    ]
    assert sizes == sorted(set(sizes))


def test_decoding_gives_the_numbers_that_are_stored():
    model = StoredFM(SCHEMA, "sigmoid", 0.1, LINEAR, FORMS["kept"][0]).decode()
    assert model.bias == float(np.float32(0.1))
    np.testing.assert_array_equal(model.linear, VALUES[:, 0])
    np.testing.assert_array_equal(model.embeddings, VALUES.astype(np.float16).astype(np.float32) * KEPT[:, None])
