"""Drawn clicks: the same for the same seed, skewed, and as likely as their model says."""

import numpy as np

from fmcompress.data.click_model import draw_clicks, random_click_model, write_rows
from fmcompress.data.rows import open_rows
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.schema import Schema
from fmcompress.fm.scorer import FMScorer

SCHEMA = Schema.of([("a", 50), ("b", 3), ("c", 20)])
MODEL = random_click_model(SCHEMA, dim=4, seed=1)


def test_the_same_seed_draws_the_same_rows():
    one, same, other = (draw_clicks(MODEL, 100, seed=seed) for seed in (2, 2, 3))
    np.testing.assert_array_equal(one.ids, same.ids)
    np.testing.assert_array_equal(one.labels, same.labels)
    assert (one.ids != other.ids).any()


def test_clicks_are_as_likely_as_the_model_says():
    batch = draw_clicks(MODEL, 50_000, seed=0)
    teacher = FMCheckpoint(SCHEMA, MODEL.bias, MODEL.linear, MODEL.embeddings)
    expected = FMScorer(teacher).predict(batch.ids)
    assert abs(batch.labels.mean() - expected.mean()) < 0.01
    counts = np.sort(np.bincount(batch.ids[:, 0], minlength=50))
    assert counts[-1] > 5 * counts[25]  # few categories are frequent, most are rare


def test_rows_come_back_from_their_file(tmp_path):
    batch = draw_clicks(MODEL, 30, seed=4)
    write_rows(batch, SCHEMA, tmp_path / "x.parquet")
    (found,) = open_rows(tmp_path / "x.parquet", SCHEMA).batches()
    np.testing.assert_array_equal(found.ids, batch.ids)
    np.testing.assert_array_equal(found.labels, batch.labels)
