"""Packing quantized models, and what a packed one says of itself."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmcompress.artifact import unpack_model
from fmcompress.artifact.header import encode, tier_bytes
from fmcompress.artifact.layout import field_layouts, tier_layouts
from fmcompress.fm.quantized_fm import QuantizedFM
from fmcompress.fm.quantizer import HALF, INT8
from tests.models import EVERY_SHAPE, SHAPES, origin, pack_model, packed, quantized
from tests.strategies import fields


def assert_same(found: QuantizedFM, expected: QuantizedFM):
    assert (found.schema, found.dim, found.link, found.bias) == (
        expected.schema,
        expected.dim,
        expected.link,
        expected.bias,
    )
    np.testing.assert_array_equal(found.tiers.of, expected.tiers.of)
    assert found.tiers.sizes == expected.tiers.sizes
    for one, other in zip(found.fields, expected.fields, strict=True):
        assert (one.quantizer, one.error) == (other.quantizer, other.error)
        for table, expected_table in zip(one.tables, other.tables, strict=True):
            np.testing.assert_array_equal(table, expected_table)
            assert table.dtype == np.float32
        np.testing.assert_array_equal(one.codes, other.codes)
        np.testing.assert_array_equal(one.linear_table, other.linear_table)
        np.testing.assert_array_equal(one.linear_codes, other.linear_codes)


@pytest.mark.parametrize("shape", EVERY_SHAPE)
def test_unpack_is_the_inverse_of_pack(shape):
    model = quantized(*EVERY_SHAPE[shape])
    compressed = pack_model(model, origin())
    assert (compressed.values.dtype, compressed.codes.dtype) == (np.float16, np.uint8)
    assert_same(unpack_model(compressed), model)


@pytest.mark.parametrize("shape", EVERY_SHAPE)
def test_each_tier_takes_the_bytes_that_its_quantizer_counts(shape):
    dim, *_ = EVERY_SHAPE[shape]
    model = packed(*EVERY_SHAPE[shape])
    parts = sum(part.quantizer.payload_bytes(part.cardinality, dim) for part in tier_layouts(model.header))
    tiers = sum(map(tier_bytes, model.header.tier_sizes))
    assert parts + tiers == model.values.nbytes + model.codes.nbytes


@pytest.mark.parametrize("shape", EVERY_SHAPE)
def test_the_tiers_lie_one_after_the_other(shape):
    model = packed(*EVERY_SHAPE[shape])
    value = code = 0
    for field in field_layouts(model.header):
        assert field.tier_start == code
        code += field.tier_bytes
        for part in field.tiers:
            for table in (*part.tables, part.linear):
                in_values = part.quantizer.value_bytes == HALF
                assert (table.in_values, table.value_bytes) == (in_values, part.quantizer.value_bytes)
                assert (value if in_values else code) == table.start
                assert table.scale == (value if table.value_bytes == INT8 else None)
                code += 0 if in_values else table.size * table.value_bytes
                value += table.size if in_values else table.scale is not None
            assert part.code_start == code
            code += part.code_bytes
    assert (value, code) == (len(model.values), len(model.codes))


@settings(deadline=None)
@given(dim=st.integers(1, 12), seed=st.integers(0, 1000), data=st.data())
def test_any_tiers_and_quantizers_go_there_and_back(dim, seed, data):
    described = data.draw(st.lists(fields(dim, largest=300), min_size=1, max_size=4))
    model = quantized(dim, *described, seed=seed)
    compressed = pack_model(model, origin())
    assert_same(unpack_model(compressed), model)
    again = pack_model(unpack_model(compressed), origin())
    assert (again.values.tobytes(), again.codes.tobytes()) == (compressed.values.tobytes(), compressed.codes.tobytes())


def test_codes_of_tiers_are_packed_first():
    model = quantized(2, "9 raw raw | 3 raw:8 raw | 2 shared shared")
    of, compressed = model.tiers.of, pack_model(model, origin())
    bits = np.unpackbits(compressed.codes[:4], bitorder="little")[: 2 * 14].reshape(14, 2)
    np.testing.assert_array_equal(bits @ [1, 2], of)
    np.testing.assert_array_equal(compressed.tiers.of, of)


def test_numbers_in_int8_stand_among_the_codes_with_their_scales_among_the_values():
    model = quantized(2, "3 raw:8 2")
    numbers = [np.array([[1, -127], [0, 5], [64, 2]]), np.array([127, -1])]
    scales = [0.5, 2**-10]
    tables = [(n * np.float32(scale)).astype(np.float32) for n, scale in zip(numbers, scales, strict=True)]
    part = dataclasses.replace(model.fields[0], tables=tuple(tables[:1]), linear_table=tables[1])
    compressed = pack_model(dataclasses.replace(model, fields=(part,)), origin())
    assert compressed.values.tolist() == scales
    assert compressed.codes[:8].view(np.int8).tolist() == [1, -127, 0, 5, 64, 2, 127, -1]
    assert len(compressed.codes) == 6 + 2 + 1


def test_numbers_in_fp32_stand_among_the_codes_as_they_are():
    model = quantized(1, "3 raw:32 2", "2 raw raw")
    numbers = np.array([[1e30], [-3e38], [1 / 3]], np.float32), np.array([1e-30, 65505], np.float32)
    part = dataclasses.replace(model.fields[0], tables=numbers[:1], linear_table=numbers[1])
    compressed = pack_model(dataclasses.replace(model, fields=(part, model.fields[1])), origin())
    assert len(compressed.values) == 4
    assert compressed.codes[:20].view("<f4").tolist() == [*numbers[0][:, 0].tolist(), *numbers[1].tolist()]
    assert len(compressed.codes) == 12 + 8 + 1


@pytest.mark.parametrize(("bits", "largest"), [(2, 1), (3, 3), (4, 7), (5, 15), (6, 31)])
def test_numbers_of_few_bits_are_int8_in_memory_with_one_scale_for_all_tables_of_a_tier(bits, largest):
    model = quantized(10, f"40 b42101:{bits} 4", f"9 raw:{bits} raw")
    found = pack_model(model, origin())
    for place in tier_layouts(found.header):
        scales = {float(found.values[table.scale]) for table in place.tables}
        numbers = np.concatenate([found.codes[table.rows].view(np.int8) for table in place.tables])
        assert (len(scales), np.abs(numbers).max()) == (1, largest)
        assert place.linear.largest == 127
    assert_same(unpack_model(found), model)
    assert '"b42101:8"' in encode(found.header, "")
    assert '"raw:8"' in encode(found.header, "")


def test_a_model_without_tiers_has_a_tier_for_each_field():
    model = quantized(*SHAPES["mixed"])
    assert model.tiers.as_fields.cardinalities.tolist() == model.schema.cardinalities.tolist()
    plain = QuantizedFM(model.schema, model.dim, model.link, model.bias, model.fields)
    assert_same(plain, model)
    assert_same(dataclasses.replace(plain, bias=-0.5), model)


def test_a_bias_beyond_fp32_stays_finite():
    model = dataclasses.replace(quantized(2, "3 raw raw"), bias=1e300)
    assert np.isfinite(pack_model(model, origin()).bias)


def test_packing_leaves_the_model_as_it_was():
    model, same = quantized(*EVERY_SHAPE["two tiers"]), quantized(*EVERY_SHAPE["two tiers"])
    pack_model(model, origin())
    assert_same(model, same)
