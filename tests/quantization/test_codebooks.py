"""Codebooks and codes: expected loss, k-means."""

from dataclasses import replace

import numpy as np
import pytest

from fmcompress.artifact.numbers import tables_as_stored
from fmcompress.fm.quantized_fm import QuantizedField
from fmcompress.fm.quantizer import INT8, Quantizer, parse_quantizer, subspace_bounds
from fmcompress.quantization.codebooks import expected_rise
from tests.field_weights import quantized_field, random_field


def test_the_expected_rise_is_that_of_its_equation():
    field = random_field(12, 4)
    quantized = quantized_field(field, Quantizer((3, 2), 2), seed=0)
    rise = 0.0
    for i in range(12):
        q = np.concatenate([table[code] for table, code in zip(quantized.tables, quantized.codes[i], strict=True)])
        delta = (q - field.embeddings[i]).astype(np.float64)
        delta_w = float(quantized.linear_table[quantized.linear_codes[i]]) - float(field.linear[i])
        rise += 0.5 * field.frequencies[i] * (delta @ field.hessian @ delta + field.curvature * delta_w**2)
    assert quantized.error == pytest.approx(rise, rel=1e-5)
    assert expected_rise(field, quantized) == quantized.error


@pytest.mark.parametrize("name", ["raw raw", "shared shared", "1x8 4", "2x8 raw", "3x4 2", "16,4,2 8", "7x2 raw"])
def test_codes_name_codewords_and_shapes_are_those_of_the_format(name):
    field = random_field(50, 7)
    quantizer = parse_quantizer(*name.split())
    found = quantized_field(field, quantizer, seed=0)
    assert [table.shape for table in found.tables] == quantizer.table_shapes(50, 7)
    assert found.codes.shape == (50, len(quantizer.codewords))
    assert found.codes.dtype == found.linear_codes.dtype == np.uint16
    assert all((codes < k).all() for codes, k in zip(found.codes.T, quantizer.codewords, strict=True))
    assert found.linear_codes.shape == (0 if quantizer.linear_raw else 50,)
    assert found.embeddings().shape == (50, 7)
    assert found.linear().shape == (50,)
    assert np.isfinite(found.embeddings()).all()


def test_raw_fields_stay_as_they_are():
    field = random_field(50, 7)
    found = quantized_field(field, Quantizer(), seed=0)
    np.testing.assert_array_equal(found.embeddings(), field.embeddings)
    np.testing.assert_array_equal(found.linear(), field.linear)
    assert found.error == 0


def test_a_shared_vector_is_the_weighted_mean():
    field = random_field(50, 7)
    found = quantized_field(field, Quantizer((1,), 1), seed=0)
    np.testing.assert_allclose(found.tables[0][0], field.frequencies @ field.embeddings, rtol=1e-4, atol=1e-6)
    assert found.linear_table[0] == pytest.approx(float(field.frequencies @ field.linear), rel=1e-4)


def test_more_codewords_cost_less():
    field = random_field(300, 8)
    errors = [quantized_field(field, Quantizer((k,) * 4, 16), seed=0).error for k in (1, 2, 4, 16, 64)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 3


def test_each_category_has_its_nearest_codeword():
    field = random_field(200, 6)
    found = quantized_field(field, Quantizer((16, 8)), seed=0)
    for d, (start, end) in enumerate(subspace_bounds(6, 2)):
        shift = found.tables[d][None] - field.embeddings[:, None, start:end]
        cost = np.einsum("nkl,lm,nkm->nk", shift, field.hessian[start:end, start:end], shift)
        chosen = np.take_along_axis(cost, found.codes[:, d : d + 1].astype(np.int64), axis=1)[:, 0]
        np.testing.assert_allclose(chosen, cost.min(axis=1), rtol=1e-3, atol=1e-6)


def test_errors_of_frequent_categories_are_kept_small():
    field = random_field(400, 4)
    found = quantized_field(field, Quantizer((8,)), seed=0)
    shift = ((found.embeddings() - field.embeddings) ** 2).sum(axis=1)
    frequent = field.frequencies > np.quantile(field.frequencies, 0.98)
    assert shift[frequent].mean() < 0.5 * shift[~frequent].mean()


def test_the_same_seed_gives_the_same_codebooks():
    field = random_field(300, 8)
    first, second = (quantized_field(field, Quantizer((32,) * 4, 8), seed=5) for _ in range(2))
    for one, other in zip(arrays(first), arrays(second), strict=True):
        np.testing.assert_array_equal(one, other)


def arrays(field: QuantizedField):
    return [*field.tables, field.codes, field.linear_table, field.linear_codes]


def test_codes_are_chosen_among_codewords_of_few_bits():
    field = random_field(300, 6)
    found = quantized_field(field, Quantizer((16, 8), 4, INT8, 3))
    fine = quantized_field(field, Quantizer((16, 8), 4))
    for one, other in zip(found.tables, tables_as_stored(fine.tables, found.quantizer), strict=True):
        np.testing.assert_array_equal(one, other)
    rounded = replace(fine, tables=found.tables)
    assert fine.error < found.error == pytest.approx(expected_rise(field, found))
    assert found.error < expected_rise(field, rounded)
