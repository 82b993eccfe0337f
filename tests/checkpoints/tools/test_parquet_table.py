"""Parquet tables with a row for each category: ids, tokens, hashed keys, in any order, small and large."""

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fmcompress as fc
from fmcompress.checkpoints import load_checkpoint
from fmcompress.checkpoints.files import placed_rows
from fmcompress.errors import CheckpointError
from fmcompress.fm import disk_table
from fmcompress.fm.disk_table import DiskTable
from fmcompress.fm.field_keys import FieldKeys
from fmcompress.fm.hashed_keys import key_order

SIZES = {"user": 40, "item": 25, "cat": 3}
RNG = np.random.default_rng(0)
V = {name: RNG.normal(size=(size, 4)).astype(np.float32) for name, size in SIZES.items()}
W = {name: RNG.normal(size=size).astype(np.float32) for name, size in SIZES.items()}
HASHED = {name: RNG.integers(-(2**63), 2**63, size) for name, size in SIZES.items()}
TOKENS = {name: [f"{name}-{number}" for number in range(size)] for name, size in SIZES.items()}
DENSE = {name: np.arange(size) for name, size in SIZES.items()}


def rows_of(keys, *, shuffled=True, names=tuple(SIZES)):
    """Return the columns of a table; its rows come in another order than the categories."""
    field = np.repeat(names, [SIZES[name] for name in names])
    order = RNG.permutation(len(field)) if shuffled else np.arange(len(field))
    key = [value for name in names for value in keys[name]]
    columns = {
        "field": pa.array(field[order]),
        "key": pa.array([key[row] for row in order]),
        "v": pa.array(list(np.concatenate([V[name] for name in names])[order]), pa.list_(pa.float32())),
        "w": pa.array(np.concatenate([W[name] for name in names])[order]),
        "count": pa.array(order.astype(np.int64)),
    }
    return columns, order


def write(path, columns, *, texts=None, row_group_size=30, files=0):
    table = pa.table(columns).replace_schema_metadata({"bias": "0.25", "link": "identity"} if texts is None else texts)
    if not files:
        pq.write_table(table, path, row_group_size=row_group_size)
        return path
    path.mkdir()
    for number in range(files):
        part = table.slice(number * len(table) // files, len(table) // files + 1)
        part = part.slice(0, (number + 1) * len(table) // files - number * len(table) // files)
        pq.write_table(part, path / f"part-{number}.parquet", row_group_size=row_group_size)
    return path


@pytest.fixture(params=["memory", "disk"])
def where(request, monkeypatch):
    """Where tables go: into memory, or into a temporary file of blocks that are smaller than a field."""
    monkeypatch.setattr(placed_rows, "_BLOCK_ROWS", 16)
    monkeypatch.setattr("fmcompress.checkpoints.files.parquet_rows._BATCH_ROWS", 7)
    if request.param == "disk":
        monkeypatch.setattr(disk_table, "LARGEST_IN_MEMORY", 0)
    return request.param


def check_weights(ckpt, order=None):
    """Check that each field has its weights, in the order of its ids."""
    for number, name in enumerate(ckpt.schema.names):
        rows = ckpt.schema.rows(number)
        ids = np.arange(SIZES[name]) if order is None else order[name]
        np.testing.assert_array_equal(ckpt.embeddings[rows], V[name][ids])
        np.testing.assert_array_equal(ckpt.linear[rows], W[name][ids])


@pytest.mark.parametrize("files", [0, 3])
def test_dense_keys_are_ids(tmp_path, where, files):
    columns, _order = rows_of(DENSE)
    ckpt = load_checkpoint(write(tmp_path / "t", columns, files=files))
    assert isinstance(ckpt.embeddings, DiskTable) == (where == "disk")
    assert (ckpt.source.tool, ckpt.bias, ckpt.link, ckpt.vocabulary) == ("Parquet table", 0.25, "identity", None)
    assert dict(zip(ckpt.schema.names, ckpt.schema.cardinalities.tolist(), strict=True)) == SIZES
    check_weights(ckpt)
    starts = dict(zip(SIZES, np.cumsum([0, *SIZES.values()]), strict=False))
    for number, name in enumerate(ckpt.schema.names):
        np.testing.assert_array_equal(ckpt.counts[ckpt.schema.rows(number)], starts[name] + np.arange(SIZES[name]))


def test_hashed_keys_have_ids_by_rank(tmp_path, where):
    columns, _ = rows_of(HASHED)
    ckpt = load_checkpoint(write(tmp_path / "t", columns))
    check_weights(ckpt, {name: key_order(HASHED[name]) for name in SIZES})
    for name, keys in HASHED.items():
        found = ckpt.vocabulary.fields[name]
        assert isinstance(found, FieldKeys)
        assert found.ids is None
        np.testing.assert_array_equal(found.keys.find(keys[key_order(keys)]), np.arange(SIZES[name]))


def test_texts_are_tokens_in_the_order_of_their_rows(tmp_path, where):
    columns, _order = rows_of(TOKENS)
    columns["field"] = columns["field"].dictionary_encode()
    ckpt = load_checkpoint(write(tmp_path / "t", columns))
    for number, name in enumerate(ckpt.schema.names):
        known = ckpt.vocabulary.fields[name].known
        for token, row in zip(TOKENS[name], V[name], strict=True):
            np.testing.assert_array_equal(ckpt.embeddings[ckpt.schema.rows(number).start + known[token]], row)


def test_one_field_needs_no_column_of_fields_and_rows_in_order_no_keys(tmp_path, where):
    columns, _ = rows_of(DENSE, shuffled=False, names=("user",))
    path = write(tmp_path / "t", {name: columns[name] for name in ("key", "v")}, texts={})
    ckpt = load_checkpoint(path)
    assert (ckpt.schema.names, ckpt.bias, ckpt.link, ckpt.counts) == (("key",), 0, "sigmoid", None)
    np.testing.assert_array_equal(ckpt.embeddings[:], V["user"])
    np.testing.assert_array_equal(ckpt.linear, 0)
    assert load_checkpoint(path, fields="user:40", link="probit").schema.names == ("user",)
    columns = {f"emb{number}": V["user"][:, number].astype(np.float64) for number in range(4)}
    ckpt = load_checkpoint(write(tmp_path / "u", columns), keys="v=emb", fields="user:40")
    np.testing.assert_array_equal(ckpt.embeddings[:], V["user"])


@pytest.mark.parametrize("kind", [pa.list_(pa.float16(), 4), pa.large_list(pa.float64()), pa.list_(pa.float32(), 4)])
def test_lists_of_every_kind(tmp_path, kind):
    columns, _ = rows_of(DENSE, shuffled=False, names=("user",))
    half = V["user"].astype(np.float16)
    columns["v"] = (
        pa.array(list(half.astype(np.float64)), kind) if kind.value_type != pa.float16() else pa.array(list(half), kind)
    )
    ckpt = load_checkpoint(write(tmp_path / "t", columns))
    np.testing.assert_array_equal(ckpt.embeddings, half.astype(np.float32))


def test_columns_may_have_other_names(tmp_path):
    columns, _ = rows_of(HASHED)
    renamed = dict(zip(("slot", "id", "vec", "lin", "n"), columns.values(), strict=True))
    path = write(tmp_path / "t", renamed, texts={"w0": "-1.5"})
    ckpt = load_checkpoint(path, keys="field=slot,key=id,v=vec,w=lin,count=n,b=w0")
    assert ckpt.bias == -1.5
    check_weights(ckpt, {name: key_order(HASHED[name]) for name in SIZES})
    with pytest.raises(CheckpointError, match="Parquet file: data, not a model"):
        load_checkpoint(path)
    with pytest.raises(CheckpointError, match="it also has a column 'lin' of floats"):
        load_checkpoint(path, keys="field=slot,key=id,v=vec")
    assert not load_checkpoint(path, keys="field=slot,key=id,v=vec,ignore=l*").linear.any()


@pytest.mark.parametrize("keys", [TOKENS, HASHED])
def test_a_null_is_the_category_of_missing_values(tmp_path, where, keys):
    columns, _order = rows_of(keys, names=("user",))
    key = columns["key"].to_pylist()
    row = key.index(keys["user"][7])
    key[row] = None
    columns["key"] = pa.array(key)
    ckpt = load_checkpoint(write(tmp_path / "t", columns))
    missing = ckpt.vocabulary.fields["user"].missing
    assert ckpt.schema.cardinalities.tolist() == [40]
    np.testing.assert_array_equal(ckpt.embeddings[missing], V["user"][7])


def test_a_table_is_quantized_and_scored_as_any_checkpoint_is(tmp_path, where):
    columns, _ = rows_of(HASHED)
    ckpt = load_checkpoint(write(tmp_path / "t", columns, texts={}))
    model = fc.quantize(ckpt, budget="6KB", with_vocabulary=True)
    rows = pa.table({name: RNG.choice(HASHED[name], 50) for name in SIZES} | {"label": pa.array([0, 1] * 25)})
    pq.write_table(rows, tmp_path / "rows.parquet")
    found = fc.evaluate(model, tmp_path / "rows.parquet").auc
    assert found == pytest.approx(fc.evaluate(ckpt, tmp_path / "rows.parquet").auc, abs=0.02)


def broken(**changed):
    columns, _ = rows_of(DENSE)
    for name, change in changed.items():
        columns[name] = change(columns[name])
        if columns[name] is None:
            del columns[name]
    return columns


def with_value(row, value):
    def change(column):
        values = column.to_pylist()
        values[row] = value
        return pa.array(values, column.type)

    return change


def of_hashed(change):
    columns, _ = rows_of(HASHED)
    columns["key"] = change(columns["key"])
    return columns


def twice(column):
    return with_value(1, column[0].as_py())(column)


def tokens_twice():
    columns, _ = rows_of(TOKENS, names=("user",))
    return {**columns, "key": twice(columns["key"])}


@pytest.mark.parametrize(
    ("columns", "given", "says"),
    [
        (broken(v=with_value(9, [1.0, np.nan, 0.0, 0.0])), {}, "column v of t is NaN or infinite in row 9"),
        (broken(v=with_value(9, [1.0, None, 0.0, 0.0])), {}, "column v of t is null in part in row 9"),
        (broken(v=with_value(9, [1.0])), {}, "column v of t is 1 numbers long in row 9, expected 4, as in the first"),
        (broken(v=with_value(9, None)), {}, "column v of t is null in row 9"),
        (broken(v=with_value(0, [])), {}, "column v begins with an empty list"),
        (broken(w=with_value(9, np.inf)), {}, "column w of t is NaN or infinite in row 9"),
        (broken(w=with_value(9, None)), {}, "column w of t is null in row 9"),
        (broken(count=with_value(9, -1)), {}, "counts are not 68 numbers of 0 or more"),
        (broken(count=with_value(9, None)), {}, "column count of t is null in row 9"),
        (broken(field=with_value(9, None)), {}, "column field of t is null in row 9"),
        (of_hashed(twice), {}, r"field \w+: .*twice"),
        (tokens_twice(), {}, "field user has key 'user-.*' twice"),
        (broken(key=lambda column: with_value(2, None)(with_value(1, None)(column))), {}, "have null as key"),
        (
            broken(key=lambda column: column.cast(pa.float64())),
            {},
            "column key is of type double, expected integers or",
        ),
        (broken(field=lambda column: pa.array(range(len(column)))), {}, "column field is of type int64, expected text"),
        (broken(w=lambda column: pa.array(["x"] * len(column))), {}, "column w is of type string, expected floats"),
        (broken(v=lambda column: column.cast(pa.list_(pa.int64()), safe=False)), {}, "data, not a model"),
        (broken(), {"keys": "v=other"}, "it has no column of embeddings, lists of floats, found 'field', 'key', 'v'"),
        (broken(), {"keys": "v=v,key=id"}, "it has no column 'id', found"),
        (broken(), {"keys": "v=v,b=w0"}, "it has no text 'w0' beside its columns"),
        (broken(), {"fields": "user:40,item:25"}, "has 3 fields that are with categories"),
        (broken(), {"fields": "user:40,item:25,cat:4"}, "field 'cat' has 3 categories, but --fields says 4"),
        ({name: column[:0] for name, column in broken().items()}, {}, "it has no rows"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, columns, given, says):
    with pytest.raises(CheckpointError, match=rf"^t: .*{says}") as caught:
        load_checkpoint(write(tmp_path / "t", columns), **given)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_files_of_a_folder_have_the_same_columns(tmp_path):
    folder = write(tmp_path / "t", broken(), files=2)
    write(folder / "part-1.parquet", broken(w=lambda column: None))
    with pytest.raises(CheckpointError, match=r"its file part-1.parquet has the columns .* but part-0.parquet has"):
        load_checkpoint(folder)


def test_damaged_files_are_refused(tmp_path):
    data = write(tmp_path / "t", broken()).read_bytes()
    for damaged in (data[:-9], data[: len(data) // 2], data[:4] + bytes(len(data) - 8) + data[-4:]):
        (tmp_path / "t").write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"^t: .*Parquet"):
            load_checkpoint(tmp_path / "t")


def test_the_bias_is_a_number(tmp_path):
    with pytest.raises(CheckpointError, match="its text 'bias' is much, expected a number"):
        load_checkpoint(write(tmp_path / "t", broken(), texts={"bias": "much"}))


def test_too_little_room_for_temporary_files_is_said_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(disk_table, "LARGEST_IN_MEMORY", 0)
    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(CheckpointError, match=r"takes 1,088 bytes, but .* has 100 left") as caught:
        load_checkpoint(write(tmp_path / "t", broken()))
    assert "TMPDIR" in caught.value.hint


def test_other_files_have_no_columns(tmp_path):
    np.savez(tmp_path / "m.npz", v=V["user"])
    with pytest.raises(CheckpointError, match="'key', which is a column that Parquet tables alone have"):
        load_checkpoint(tmp_path / "m.npz", keys="v=v,key=id", fields="user:40")
