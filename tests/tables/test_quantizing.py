"""Tables are compressed into exactly what they may take, as well as their counts deserve."""

from dataclasses import replace

import faiss
import numpy as np
import pytest

import fmcompress as fc
from fmcompress.artifact.io import sealed_bytes
from fmcompress.tables.quantizing import TablesJob, make_plan, quantize
from tests.tables.samples import vectors, zipf_counts

USER, ITEM = vectors(1500, 16, rank=12), vectors(300, 6)
COUNTS = zipf_counts(len(USER))
TABLES = fc.EmbeddingTables({"user": USER, "item": ITEM}, {"user": COUNTS})


def lost(table, original, weights=None):
    """Return the squared errors of a table over the squares of its vectors, weighted by row."""
    weights = np.ones(len(original)) if weights is None else weights
    shift = np.asarray(table) - original
    return float(weights @ (shift**2).sum(axis=1) / (weights @ (original**2).sum(axis=1)))


@pytest.fixture(scope="module")
def compressed():
    return fc.quantize_tables(TABLES, 9000, seed=3)


def test_the_whole_way(compressed, tmp_path):
    path = tmp_path / "tables.safetensors"
    compressed.save(path)
    loaded = fc.load(path)
    assert path.stat().st_size == compressed.file_bytes <= 9000
    assert loaded.tables == ("user", "item")
    for name, original in TABLES.vectors.items():
        assert loaded.table(name).shape == original.shape
        np.testing.assert_array_equal(np.asarray(loaded.table(name)), np.asarray(compressed.table(name)))
        assert lost(loaded.table(name), original) < 0.2


def test_the_same_again(compressed):
    assert sealed_bytes(fc.quantize_tables(TABLES, 9000, seed=3)) == sealed_bytes(compressed)


@pytest.mark.parametrize("budget", [4000, 20_000])
def test_budgets_are_kept_to_the_byte(budget):
    job = TablesJob(TABLES, budget)
    plan = make_plan(job)
    assert plan.file_bytes == len(sealed_bytes(fc.quantize_tables(TABLES, budget))) <= budget


def test_a_budget_that_is_too_small():
    with pytest.raises(fc.BudgetError, match="too small") as caught:
        fc.quantize_tables(TABLES, 100)
    least = caught.value.smallest_bytes
    assert fc.quantize_tables(TABLES, least).file_bytes <= least
    with pytest.raises(fc.BudgetError):
        fc.quantize_tables(TABLES, least - 1)


def test_what_is_more_than_enough_keeps_tables_as_they_are():
    for name, original in TABLES.vectors.items():
        found = np.asarray(fc.quantize_tables(TABLES, "1MB").table(name))
        np.testing.assert_allclose(found, original, rtol=1e-3, atol=1e-4)


def test_popular_rows_are_closer(compressed):
    plain = fc.quantize_tables(fc.EmbeddingTables(TABLES.vectors), 9000, seed=3)
    popular = np.quantile(COUNTS, 0.95) <= COUNTS
    counted, uncounted = (model.table("user") for model in (compressed, plain))
    assert lost(counted, USER, COUNTS) < 0.85 * lost(uncounted, USER, COUNTS)
    assert lost(counted, USER, popular) < lost(counted, USER, ~popular)
    assert lost(counted, USER, popular) < lost(uncounted, USER, popular)


def test_it_is_no_worse_than_plain_product_quantization_of_the_same_bytes():
    """Of one table: 8 subspaces of 256 codewords, codebooks in fp16."""
    original = vectors(4000, 32, rank=12)
    quantizer = faiss.ProductQuantizer(32, 8, 8)
    quantizer.train(original)
    plain = quantizer.decode(quantizer.compute_codes(original))
    same_bytes = 8 * 4000 + 2 * 256 * 32 + 600
    found = fc.quantize_tables(fc.EmbeddingTables({"t": original}), same_bytes)
    assert found.file_bytes <= same_bytes
    assert lost(found.table("t"), original) < lost(plain, original)


def test_axes_are_stored_where_they_pay():
    """Vectors of few dimensions, turned; plain product quantization cuts across them."""
    turned = vectors(4000, 32, rank=8)
    found = fc.quantize_tables(fc.EmbeddingTables({"t": turned}), 40_000)
    assert found.schema.fields[0].axes
    assert found.file_bytes <= 40_000
    straight = fc.EmbeddingTables({"t": turned})
    plain = quantize(TablesJob(straight, 40_000, with_axes=False))
    assert lost(found.table("t"), turned) < 0.5 * lost(plain.table("t"), turned)
    noise = np.random.default_rng(0).normal(size=(4000, 32))
    assert not fc.quantize_tables(fc.EmbeddingTables({"t": noise}), 40_000).schema.fields[0].axes
    one_by_one = np.stack([found.table("t")[row] for row in range(50)])
    np.testing.assert_array_equal(one_by_one, found.table("t")[:50])


def test_figures_in_the_header_are_those_of_the_vectors(compressed):
    found = fc.report(compressed)
    for name, weights in (("user", COUNTS + 1), ("item", np.ones(len(ITEM)))):
        (own,) = (table for table in found.tables if table.name == name)
        decoded, original = np.asarray(compressed.table(name)), TABLES.vectors[name]
        assert own.relative_error**2 == pytest.approx(lost(decoded, original, weights), rel=0.06)
        lengths = np.linalg.norm(decoded, axis=1) * np.linalg.norm(original, axis=1)
        cosine = np.average((decoded * original).sum(axis=1) / lengths, weights=weights)
        assert own.cosine == pytest.approx(cosine, abs=1e-4)


@pytest.mark.parametrize("zeros", [[0], [0, 7, 299], range(0, 300, 2), range(300)])
def test_vectors_of_zeros_stay_zeros(zeros):
    table = ITEM.copy()
    table[list(zeros)] = 0
    found = np.asarray(fc.quantize_tables(fc.EmbeddingTables({"item": table}), 1800).table("item"))
    assert not found[list(zeros)].any()
    assert np.isfinite(found).all()


def test_copies_are_stored_once():
    once = fc.quantize_tables(fc.EmbeddingTables({"item": ITEM}), "1MB")
    twice = fc.quantize_tables(fc.EmbeddingTables({"item": ITEM, "out": ITEM.copy()}), "1MB")
    assert twice.file_bytes < once.file_bytes + 50
    assert twice.tables == ("item", "out")
    np.testing.assert_array_equal(np.asarray(twice.table("item")), np.asarray(twice.table("out")))
    counts = fc.EmbeddingTables({"a": ITEM, "b": ITEM}, {"a": np.arange(300), "b": np.full(300, 2)})
    np.testing.assert_array_equal(counts.lookups("a"), np.arange(300) + 2)


def test_outliers_leave_the_others_alone():
    table = vectors(600, 8)
    table[5] *= 1e6
    found = np.asarray(fc.quantize_tables(fc.EmbeddingTables({"t": table}), 6000).table("t"))
    others = np.arange(600) != 5
    assert lost(found, table, others) < 0.01
    np.testing.assert_allclose(found[5], table[5], rtol=0.02, atol=1e4)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (70, 1), (2, 3)])
def test_tables_of_one_row_or_column(shape):
    table = vectors(*shape)
    found = fc.quantize_tables(fc.EmbeddingTables({"t": table}), "10KB").table("t")
    np.testing.assert_allclose(np.asarray(found), table, rtol=1e-3, atol=1e-3)


def test_other_floats():
    for dtype in (np.float16, np.float64):
        found = fc.quantize_tables(fc.EmbeddingTables({"t": ITEM.astype(dtype)}), "1MB").table("t")
        np.testing.assert_allclose(np.asarray(found), ITEM, rtol=2e-3, atol=2e-3)


WRONG = {
    "nan": ({"t": np.array([[1.0], [np.nan]])}, {}, "table 't' holds NaN or infinite numbers, the first in row 1"),
    "infinite": ({"t": np.array([[1.0], [2.0], [-np.inf]])}, {}, "the first in row 2"),
    "huge": ({"t": np.array([[1e30]])}, {}, "beyond"),
    "whole numbers": ({"t": np.ones((2, 2), int)}, {}, "expected floats"),
    "one dimension": ({"t": np.ones(2)}, {}, "shape"),
    "empty": ({"t": np.ones((0, 2))}, {}, "empty"),
    "other counts": ({"t": np.ones((2, 2))}, {"u": np.ones(2)}, "no such table"),
    "few counts": ({"t": np.ones((2, 2))}, {"t": np.ones(3)}, "expected 2 numbers"),
    "negative counts": ({"t": np.ones((2, 2))}, {"t": np.array([1, -1])}, "row 1 has -1"),
    "parts of counts": ({"t": np.ones((2, 2))}, {"t": np.array([0.5, 1])}, "whole numbers"),
    "ragged": ({"t": [[1.0], [1.0, 2.0]]}, {}, "no array"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_table_is_told(case):
    tables, counts, says = WRONG[case]
    with pytest.raises(fc.CheckpointError, match=says):
        fc.EmbeddingTables(tables, counts)


def test_other_mistakes():
    with pytest.raises(fc.UsageError, match="no table"):
        fc.EmbeddingTables({})
    with pytest.raises(fc.UsageError, match="empty name"):
        fc.EmbeddingTables({"": np.ones((2, 2))})
    with pytest.raises(fc.UsageError, match="seed"):
        fc.quantize_tables(TABLES, 9000, seed=-1)


def test_tables_are_no_factorization_machine(compressed, tmp_path):
    with pytest.raises(fc.UsageError, match="holds tables of vectors, not a factorization machine"):
        compressed.predict(np.zeros((1, 2), int))
    compressed.save(tmp_path / "a.safetensors")
    with pytest.raises(fc.ArtifactError, match="holds tables of vectors, not a factorization machine"):
        fc.compare(tmp_path / "a.safetensors", tmp_path / "a.safetensors")
    (check,) = fc.check(tmp_path / "a.safetensors", max_size="1MB").checks
    assert check.passed is None
    assert "holds tables of vectors" in check.reason
    with pytest.raises(fc.UsageError):
        fc.evaluate(compressed, "rows.parquet")
    assert replace(compressed, header=compressed.header).tables == ("user", "item")
