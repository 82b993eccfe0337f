"""Packing quantized models, and what a packed one says of itself."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmcompress.artifact import pack_model, unpack_model
from fmcompress.artifact.model import field_parts, to_half
from fmcompress.quantized import QuantizedFM
from fmcompress.quantizer import VALUE_BYTES
from tests.models import SHAPES, origin, packed, quantized


def assert_same(found: QuantizedFM, expected: QuantizedFM):
    assert (found.schema, found.dim, found.link, found.bias) == (
        expected.schema,
        expected.dim,
        expected.link,
        expected.bias,
    )
    for one, other in zip(found.fields, expected.fields, strict=True):
        assert (one.quantizer, one.error) == (other.quantizer, other.error)
        for table, expected_table in zip(one.tables, other.tables, strict=True):
            np.testing.assert_array_equal(table, expected_table)
            assert table.dtype == np.float32
        np.testing.assert_array_equal(one.codes, other.codes)
        np.testing.assert_array_equal(one.linear_table, other.linear_table)
        np.testing.assert_array_equal(one.linear_codes, other.linear_codes)


@pytest.mark.parametrize("shape", SHAPES)
def test_unpack_is_the_inverse_of_pack(shape):
    model = quantized(*SHAPES[shape])
    compressed = pack_model(model, origin())
    assert (compressed.values.dtype, compressed.codes.dtype) == (np.float16, np.uint8)
    assert_same(unpack_model(compressed), model)


@pytest.mark.parametrize("shape", SHAPES)
def test_each_field_takes_the_bytes_that_its_quantizer_counts(shape):
    dim, *_ = SHAPES[shape]
    model = packed(*SHAPES[shape])
    counted = sum(parts.quantizer.payload_bytes(parts.cardinality, dim) for parts in field_parts(model.header))
    assert counted == model.values.nbytes + model.codes.nbytes
    ends = [(p.linear_start + p.linear_values, p.code_start + p.code_bytes) for p in field_parts(model.header)]
    starts = [(p.tables[0][0], p.code_start) for p in field_parts(model.header)]
    assert starts == [(0, 0), *ends[:-1]]
    assert ends[-1] == (len(model.values), len(model.codes))
    assert model.values.nbytes == VALUE_BYTES * model.values.size


@settings(deadline=None)
@given(
    cardinality=st.integers(1, 60),
    dim=st.integers(1, 12),
    codewords=st.lists(st.integers(1, 300), max_size=12),
    linear=st.integers(0, 300),
    seed=st.integers(0, 1000),
)
def test_any_quantizer_goes_there_and_back(cardinality, dim, codewords, linear, seed):
    from fmcompress.quantizer import Quantizer, embedding_spec, linear_spec

    quantizer = Quantizer(tuple(codewords[:dim]), linear)
    model = quantized(
        dim, "7 raw raw", f"{cardinality} {embedding_spec(quantizer)} {linear_spec(quantizer)}", "3 shared 2", seed=seed
    )
    assert model.fields[1].quantizer == quantizer
    assert_same(unpack_model(pack_model(model, origin())), model)


def test_numbers_beyond_fp16_become_its_largest():
    table = np.array([1e9, -3e38, 65504, 65519.99, -1.5, 1e-9], dtype=np.float32)
    assert to_half(table).tolist() == [65504, -65504, 65504, 65504, -1.5, 0]


def test_a_bias_beyond_fp32_stays_finite():
    model = dataclasses.replace(quantized(2, "3 raw raw"), bias=1e300)
    assert np.isfinite(pack_model(model, origin()).bias)


def test_packing_leaves_the_model_as_it_was():
    model, same = quantized(*SHAPES["mixed"]), quantized(*SHAPES["mixed"])
    pack_model(model, origin())
    assert_same(model, same)
