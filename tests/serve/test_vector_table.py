"""Rows of tables are read as numpy reads them, from any way in which they are stored."""

import pickle

import numpy as np
import pytest

import fmcompress as fc
from fmcompress.artifact import unpack_model
from tests.mixed import packed_mixed
from tests.models import EVERY_SHAPE, packed
from tests.tables.samples import packed_tables


@pytest.fixture(params=[False, True], ids=["whole", "tiers"])
def tables(request):
    return packed_tables(with_tiers=request.param)


@pytest.mark.parametrize("shape", EVERY_SHAPE)
def test_embeddings_of_fields_are_those_that_are_stored(shape):
    model = packed(*EVERY_SHAPE[shape])
    parts = iter(unpack_model(model).fields)
    for field, tiers in zip(model.schema.fields, model.schema.split(model.tiers.of), strict=True):
        expected = np.empty((field.cardinality, model.header.dim), dtype=np.float32)
        for tier in range(tiers.max() + 1):
            expected[tiers == tier] = next(parts).embeddings()
        np.testing.assert_array_equal(np.asarray(model.table(field.name)), expected)


def test_ids_of_any_form(tables):
    item = tables.table("item")
    every = np.asarray(item)
    assert every.shape == item.shape == (40, 7) == (len(item), 7)
    assert every.dtype == item.dtype == np.float32
    assert item.ndim == 2
    mask = np.arange(40) % 3 == 0
    for ids in (
        5, np.int32(7), [1, 2, 2], np.array([[0, 39], [3, 4]], dtype=np.uint8), slice(None), slice(-5, None),
        slice(30, 3, -4), [], mask, np.zeros((0, 3), dtype=np.int64), np.array(4),
    ):  # fmt: skip
        found = item[ids]
        np.testing.assert_array_equal(
            found, every[np.zeros(0, dtype=np.int64) if isinstance(ids, list) and not ids else ids]
        )
        assert found.dtype == np.float32
    np.testing.assert_array_equal(np.stack(list(item)), every)
    assert np.asarray(item, dtype=np.float64).dtype == np.float64
    assert "item" in repr(item)


@pytest.mark.parametrize(
    "ids", [-1, 40, [0, -1], [[40]], 2**63, np.uint64(2**64 - 1), 1.0, [0.5], "a", None, (0, 1), ..., [True, False]]
)
def test_ids_that_are_wrong(tables, ids):
    with pytest.raises(IndexError) as caught:
        tables.table("item")[ids]
    assert "\n" not in str(caught.value)


def test_names(tables):
    assert tables.tables == ("user", "copy", "item")
    np.testing.assert_array_equal(np.asarray(tables.table("user")), np.asarray(tables.table("copy")))
    assert not tables.table("user")[[0, 3]].any()
    assert tables.table("user")[[1, 2, 4]].any(axis=1).all()
    with pytest.raises(fc.UsageError, match="there is no table 'nobody', expected 'user', 'item' or 'copy'"):
        tables.table("nobody")


def test_fields_of_all_kinds():
    model = packed_mixed(
        4, "9 2x4 4", "5 raw raw | 3 1x2 shared", pads=(2, None), shared=(0,), numeric=(True, False), seed=1
    )
    numeric = set(model.schema.numeric_names)
    assert set(model.tables) == set(model.schema.order) - numeric
    assert not np.asarray(model.table(model.schema.names[0]))[2].any()
    with pytest.raises(fc.UsageError, match="there is no table"):
        model.table(min(numeric))


def test_products_are_those_of_the_checkpoint():
    """``auto`` turns all embeddings together: their products stay."""
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(30, 4)).astype(np.float32)
    schema = fc.Schema.of([("user", 20), ("item", 10)])
    model = fc.quantize(fc.FMCheckpoint(schema, 0.0, np.zeros(30, np.float32), embeddings), "1MB")
    user, item = (np.asarray(model.table(name)) for name in ("user", "item"))
    np.testing.assert_allclose(user @ item.T, embeddings[:20] @ embeddings[20:].T, atol=1e-2)


def test_tables_are_copied_and_mapped(tables, tmp_path):
    path = tmp_path / "a.safetensors"
    tables.save(path)
    for same in (pickle.loads(pickle.dumps(tables)), fc.load(path), fc.load(path, map=True)):
        np.testing.assert_array_equal(np.asarray(same.table("item")), np.asarray(tables.table("item")))
