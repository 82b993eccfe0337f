"""Row-wise 4-bit: ranges are no worse than plain ones, and never break on odd rows."""

import numpy as np

from fmcompress.baselines.rowwise import quantize_rows, rowwise_int4


def plain(values):
    """Return rows in 4 bits between their minimum and maximum."""
    low, high = values.min(axis=1, keepdims=True), values.max(axis=1, keepdims=True)
    step = np.maximum((high - low) / 15, 1e-9)
    return np.rint((values - low) / step) * step + low


def test_ranges_have_less_error_than_minimum_and_maximum():
    values = np.random.default_rng(0).normal(size=(300, 32)).astype(np.float32)
    decoded = quantize_rows(values).decode()
    errors, plain_errors = (((one - values) ** 2).sum(axis=1) for one in (decoded, plain(values)))
    assert errors.sum() < 0.97 * plain_errors.sum()
    assert (errors <= 1.02 * plain_errors).all()  # scales and minima are float16


def test_rows_of_one_value_and_of_zeros_are_kept():
    values = np.array([[0.5, 0.5, 0.5], [0, 0, 0], [0, 1e-9, 0], [-2, 0, 1]], dtype=np.float32)
    np.testing.assert_allclose(quantize_rows(values).decode(), values, atol=0.11)
    np.testing.assert_array_equal(quantize_rows(values).decode()[:2], values[:2])


def test_a_point_takes_half_a_byte_a_number_and_four_bytes_a_row(task):
    (point,) = rowwise_int4("rowwise-int4", task)
    rows = len(task.source.embeddings)
    payload_bytes = rows * (task.source.dim // 2 + 4) + 2 * rows + 4
    assert payload_bytes < point.file_bytes < payload_bytes + 500
    np.testing.assert_allclose(point.model.embeddings, task.source.embeddings, atol=0.1)
