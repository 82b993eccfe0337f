"""Rows come out of Parquet files as they stand there, or with an error that says where."""

import re
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fmcompress.data import table_reader
from fmcompress.data.data_files import find_files
from fmcompress.data.options import DataOptions
from fmcompress.data.rows import open_rows, open_training_rows
from fmcompress.errors import DataError
from fmcompress.fm.field_vocabulary import FieldVocabulary
from fmcompress.fm.schema import Field, NumericField, Schema
from fmcompress.fm.vocabulary import Vocabulary
from tests.data.rows import AB, collected, write


def infer_schema(path):
    return table_reader.infer_schema(path, find_files(path), "parquet")


KINDS = [pa.int8(), pa.uint8(), pa.int32(), pa.uint32(), pa.int64(), pa.uint64()]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_integers_of_any_width_and_nulls(tmp_path, kind):
    path = write(tmp_path / "x.parquet", label=[0, 1, 1], b=[0, 1, 3], a=pa.array([9, None, 0], kind))
    assert collected(open_rows(path, AB).batches()) == ([[9, 0], [-1, 1], [0, 3]], [0, 1, 1])


LABELS = [
    [True, False],
    [1.0, 0.0],
    [1, -1],
    [1.0, -1.0],
    pa.array([1, 0], pa.uint64()),
    np.float16([1, 0]),
    ["1", "0"],
    ["1.0", "-1"],
    ["True", " false"],
    pa.array(["1", "0"], pa.large_string()),
    pa.array(["1", "0"]).dictionary_encode(),
    pa.array([1, 0]).dictionary_encode(),
    [Decimal(1), Decimal(0)],
    [Decimal("1.00"), Decimal("-1.00")],
    pa.array([Decimal(1), Decimal(0)], pa.decimal256(50)),
]


@pytest.mark.parametrize("labels", LABELS, ids=str)
def test_labels_of_any_kind(tmp_path, labels):
    path = write(tmp_path / "x.parquet", label=labels, a=[1, 2], b=[-1, 0])
    assert collected(open_rows(path, AB).batches()) == ([[1, -1], [2, 0]], [1, 0])


WHOLE = [
    pa.array([9, None, 0], pa.float64()),
    pa.array([9, np.nan, -0.0], pa.float64(), from_pandas=False),
    pa.array(np.float32([9, np.nan, 0])),
    pa.array(np.float16([9, -1, 0])),
    [Decimal(9), None, Decimal(0)],
    [Decimal("9.000"), None, Decimal("-1.000")],
    pa.array([Decimal(9), None, Decimal(0)], pa.decimal256(70, 3)),
    pa.array([9, None, 0]).dictionary_encode(),
    pa.array([9.0, None, 0.0]).dictionary_encode(),
]


@pytest.mark.parametrize("ids", WHOLE, ids=lambda ids: str(pa.array(ids).type))
def test_whole_numbers_of_any_type_are_ids(tmp_path, ids):
    path = write(tmp_path / "x.parquet", label=[0, 1, 1], b=[0, 1, 3], a=ids)
    assert collected(open_rows(path, AB).batches())[0] in ([[9, 0], [-1, 1], [0, 3]], [[9, 0], [-1, 1], [-1, 3]])
    assert infer_schema(path) == Schema.of([("b", 4), ("a", 10)])


def test_booleans_and_columns_without_a_type_are_ids(tmp_path):
    path = write(tmp_path / "x.parquet", label=[0, 1, 1], b=[True, False, None], a=pa.nulls(3))
    assert collected(open_rows(path, AB).batches())[0] == [[-1, 1], [-1, 0], [-1, -1]]


@pytest.mark.parametrize(
    ("ids", "says"),
    [
        ([0.0, 1.5], r"id is 1\.5, expected a whole number"),
        ([0.0, -0.25], r"id is -0\.25"),
        ([0.0, float("inf")], "id is inf"),
        ([0.0, float("-inf")], "id is -inf"),
        ([Decimal("1.0"), Decimal("1.5")], r"id is 1\.5"),
        (np.float32([0, 2**24]), r"id 16777216 is of type float, which holds whole numbers exactly below 16,777,216"),
        (np.float16([0, 2048]), "id 2048 is of type halffloat"),
    ],
)
@pytest.mark.parametrize("oov", ["error", "zero"])
def test_numbers_that_are_no_ids(tmp_path, ids, says, oov):
    path = write(tmp_path / "x.parquet", label=[0, 1], a=ids, b=[0, 0])
    with pytest.raises(DataError, match=rf"x\.parquet: row 1, field 'a': {says}"):
        collected(open_rows(path, AB, DataOptions(oov=oov)).batches())


@pytest.mark.parametrize("value", [10.0, -2.0, 1e300, -1e300, float(2**63), Decimal(10**30), Decimal(1000)])
def test_whole_numbers_out_of_range(tmp_path, value):
    path = write(tmp_path / "x.parquet", label=[0, 1], a=[type(value)(0), value], b=[0, 0])
    with pytest.raises(DataError, match=rf"row 1, field 'a': id {re.escape(str(value))}.* is out of range"):
        collected(open_rows(path, AB).batches())
    rows = open_rows(path, AB, DataOptions(oov="zero"))
    assert collected(rows.batches())[0] == [[0, 0], [-1, 0]]
    assert rows.out_of_range == 1


def test_order_matches_columns_as_they_stand(tmp_path):
    path = write(tmp_path / "x.parquet", x=[1], click=[1], y=[2], __index_level_0__=[77])
    assert collected(open_rows(path, AB, DataOptions("click", "order")).batches()) == ([[1, 2]], [1])
    ids, labels = collected(open_rows(path, AB, DataOptions("click", "order"), labels=None).batches())
    assert ids == [[1, 2]]
    assert np.isnan(labels).all()


def folder_of_files(tmp_path):
    """Three files, one of them in a folder below, with row groups of two rows and an empty one."""
    (tmp_path / "data" / "z").mkdir(parents=True)
    for number, name in enumerate(("a", "b", "z/c")):
        first = 5 * number
        write(tmp_path / "data" / f"{name}.parquet", row_group_size=2, label=[0, 1, 0, 1, 1],
              a=[(first + row) % 10 for row in range(5)], b=[0] * 5)  # fmt: skip
    table = pa.table({"label": [0], "a": [0], "b": [0]})
    with pq.ParquetWriter(tmp_path / "data" / "b0.parquet", table.schema) as writer:
        writer.write_table(table.slice(0, 0))
        writer.write_table(table)
        writer.write_table(table.slice(0, 0))
    (tmp_path / "data" / "notes.txt").write_text("not Parquet")
    return tmp_path / "data"


def test_files_and_row_groups_come_in_order(tmp_path):
    folder = folder_of_files(tmp_path)
    rows = open_rows(folder, AB)
    assert rows.rows == 16
    assert [path.rpartition("/")[2] for path in rows.files] == ["a.parquet", "b.parquet", "b0.parquet", "c.parquet"]
    expected = [*range(10), 0, *range(5)]
    for path in (folder, f"{folder}/**/*.parquet", f"{folder}/[ab]*"):
        assert [a for a, _ in collected(open_rows(path, AB).batches())[0]] in (expected, expected[:11])
    shuffled_groups = collected(open_rows(folder, AB).batches(order=np.random.default_rng(1)))[0]
    assert sorted(shuffled_groups) == sorted([a, 0] for a in expected)


def test_errors_name_file_row_field_and_value(tmp_path):
    folder = folder_of_files(tmp_path)
    write(folder / "z" / "d.parquet", row_group_size=2, label=[0] * 5, a=[1, 2, 3, 4, 10], b=[0] * 5)
    with pytest.raises(
        DataError, match=r"d\.parquet: row 4, field 'a': id 10 is out of range, expected 0 to 9"
    ) as error:
        collected(open_rows(folder, AB).batches())
    assert "--oov zero" in error.value.hint


@pytest.mark.parametrize("value", [-2, 10, 2**31, 2**63 - 1, -(2**63)])
def test_ids_out_of_range(tmp_path, value):
    path = write(tmp_path / "x.parquet", label=[0, 1, 1], a=pa.array([0, value, None], pa.int64()), b=[0, 0, 0])
    with pytest.raises(DataError, match=f"row 1, field 'a': id {value} is out of range"):
        collected(open_rows(path, AB).batches())
    rows = open_rows(path, AB, DataOptions(oov="zero"))
    for _ in range(2):  # each pass counts anew
        assert collected(rows.batches())[0] == [[0, 0], [-1, 0], [-1, 0]]
        assert rows.out_of_range == 1


@pytest.mark.parametrize("value", [2**63, 2**64 - 1])
def test_ids_beyond_int64(tmp_path, value):
    path = write(tmp_path / "x.parquet", label=[1], a=pa.array([value], pa.uint64()), b=[0])
    with pytest.raises(DataError, match=f"id {value} is out of range"):
        collected(open_rows(path, AB).batches())
    assert collected(open_rows(path, AB, DataOptions(oov="zero")).batches())[0] == [[-1, 0]]
    with pytest.raises(DataError, match=f"row 0, field 'a': id {value} is out of range"):
        infer_schema(path)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ([1, 2], "row 1: label is 2, expected 0 or 1"),
        ([0, -2], "row 1: label is -2"),
        ([1, None], "row 1: label is null"),
        ([1.0, 0.5], "row 1: label is 0.5"),
        ([1.0, float("nan")], "row 1: label is nan"),
        ([1, 2**62], f"row 1: label is {2**62}"),
        (["0", "yes"], "row 1: label is 'yes', expected 0 or 1"),
        (["0", ""], "row 1: label is ''"),
        ([Decimal("1.0"), Decimal("0.5")], r"row 1: label is 0\.5"),
        ([b"0", b"1"], "is of type binary"),
    ],
)
def test_labels_are_0_and_1(tmp_path, labels, says):
    path = write(tmp_path / "x.parquet", label=labels, a=[0, 0], b=[0, 0])
    with pytest.raises(DataError, match=says):
        collected(open_rows(path, AB).batches())


@pytest.mark.parametrize(
    ("columns", "options", "says"),
    [
        ({"label": [1], "a": [1]}, {}, "column of field 'b' is missing, found label, a"),
        ({"a": [1], "b": [1]}, {}, "label column 'label' is missing, found a, b"),
        ({"label": [1], "a": ["x"], "b": [1]}, {}, "column 'a' is of type string, expected integers"),
        ({"label": [1], "a": [b"1"], "b": [1]}, {}, "column 'a' is of type binary"),
        ({"label": [1], "a": [[1]], "b": [1]}, {}, "column 'a' is of type list"),
        ({"label": [1], "a": pa.array(["x"]).dictionary_encode(), "b": [1]}, {}, "is of type dictionary"),
        ({"label": [1], "a": [1], "b": [1]}, {"label": "a"}, "'a' holds the labels and is a field too"),
        ({"label": [1], "a": [1], "b": [1], "c": [1]}, {"match": "order"}, "has 3 columns beside the label"),
        ({"label": [], "a": [], "b": []}, {}, "holds no rows"),
    ],
)
def test_columns_are_checked_up_front(tmp_path, columns, options, says):
    path = write(tmp_path / "x.parquet", **columns)
    with pytest.raises(DataError, match=says) as error:
        open_rows(path, AB, DataOptions(**options))
    assert str(error.value).startswith(str(path))


def test_column_names_twice(tmp_path):
    one = pa.array([1])
    pq.write_table(pa.table([one, one, one, one], names=["label", "a", "b", "b"]), tmp_path / "x.parquet")
    with pytest.raises(DataError, match="two columns are named 'b'"):
        open_rows(tmp_path / "x.parquet", AB)
    pq.write_table(pa.table([one, one, one, one], names=["label", "a", "b", "label"]), tmp_path / "x.parquet")
    with pytest.raises(DataError, match="two columns are named 'label'"):
        open_rows(tmp_path / "x.parquet", AB)


def test_schema_of_no_use(tmp_path):
    with pytest.raises(DataError, match="column 'a' holds no id"):
        infer_schema(write(tmp_path / "x.parquet", label=[1], a=pa.array([None], pa.int32())))
    with pytest.raises(DataError, match="no columns beside 'label'"):
        infer_schema(write(tmp_path / "x.parquet", label=[1]))
    with pytest.raises(DataError, match="id 2147483647 is out of range, expected 0 to 2147483646"):
        infer_schema(write(tmp_path / "x.parquet", label=[1], a=[2**31 - 1]))
    with pytest.raises(DataError, match=r"column 'a' has ids up to 2,147,483,646 in 1 rows") as error:
        infer_schema(write(tmp_path / "x.parquet", label=[1], a=[2**31 - 2]))
    assert "--fields" in error.value.hint
    assert infer_schema(write(tmp_path / "x.parquet", label=[1], a=[5_000_000])).categories == 5_000_001


@pytest.mark.parametrize("keep", [0, 3, 100, -1])
def test_truncated_file(tmp_path, keep):
    path = write(tmp_path / "x.parquet", label=[0] * 500, a=list(range(10)) * 50, b=[0] * 500)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"x\.parquet: not a readable Parquet file"):
        open_rows(path, AB)


def test_damaged_pages(tmp_path):
    path = write(tmp_path / "x.parquet", label=[0] * 500, a=list(range(10)) * 50, b=[0] * 500)
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + b"\xff" * 200 + whole[204:])
    with pytest.raises(DataError, match=r"x\.parquet: broken Parquet data"):
        collected(open_rows(path, AB).batches())


def test_missing_files(tmp_path):
    for path in ("none.parquet", "none/*.parquet", "none"):
        with pytest.raises(DataError, match="no such file or folder"):
            open_rows(tmp_path / path, AB)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: the folder is empty, expected files of data"):
        open_rows(tmp_path / "empty", AB)


def hive(tmp_path):
    """Three files, of which two lie in folders that say what day it was."""
    for day in ("3", "7", "__HIVE_DEFAULT_PARTITION__"):
        (tmp_path / "data" / f"day={day}").mkdir(parents=True)
    write(tmp_path / "data" / "day=3" / "part-0.parquet", label=[0, 1], a=[1, 2])
    write(tmp_path / "data" / "day=7" / "part-0.parquet", label=pa.array([1], pa.int8()), a=pa.array([3], pa.int32()))
    write(tmp_path / "data" / "day=__HIVE_DEFAULT_PARTITION__" / "part-0.parquet", a=pa.nulls(1), label=[0.0])
    (tmp_path / "data" / "_SUCCESS").touch()
    (tmp_path / "data" / "_temporary").mkdir()
    (tmp_path / "data" / "_temporary" / "part-0.parquet").write_bytes(b"half of it")
    (tmp_path / "data" / ".part-0.parquet.crc").write_bytes(b"crc")
    return tmp_path / "data"


DAYS = Schema.of([("a", 10), ("day", 8)])
DAY_ROWS = ([[1, 3], [2, 3], [3, 7], [-1, -1]], [0, 1, 1, 0])


def test_folders_are_columns(tmp_path):
    folder = hive(tmp_path)
    for path in (folder, f"{folder}/*", f"{folder}/**/*.parquet"):
        assert collected(open_rows(path, DAYS).batches()) == DAY_ROWS
    assert collected(open_rows(folder, DAYS, DataOptions(match="order")).batches()) == DAY_ROWS
    assert open_training_rows(folder, folder)[0].schema == Schema.of([("a", 4), ("day", 8)])
    one = folder / "day=7" / "part-0.parquet"
    assert collected(open_rows(one, DAYS).batches())[0] == [[3, 7]]
    assert open_training_rows(one, one)[0].schema == Schema.of([("a", 4)])  # nobody has asked for what lies above
    assert collected(open_rows(folder, Schema.of([("day", 8)])).batches())[0] == [[3], [3], [7], [-1]]


def test_folders_are_labels_numbers_and_tokens(tmp_path):
    for number, name in enumerate(("sofia%20%2F%C3%A9", "bonn")):
        folder = tmp_path / "data" / f"city={name}" / f"label={number}" / f"price={number}.5"
        folder.mkdir(parents=True)
        write(folder / "x.parquet", a=[number])
    schema = Schema.in_order([Field("a", 2), Field("city", 2), NumericField("price")])
    vocabulary = Vocabulary({"city": FieldVocabulary.of({"bonn": 0, "sofia /é": 1})})
    rows = open_rows(tmp_path / "data", schema, vocabulary=vocabulary, keep=["city"])
    found = list(rows.batches())
    assert [batch.ids.tolist() for batch in found] == [[[1, 0]], [[0, 1]]]
    assert [batch.values.tolist() for batch in found] == [[[1.5]], [[0.5]]]
    assert [batch.labels.tolist() for batch in found] == [[1], [0]]
    assert [batch.kept.to_pydict() for batch in found] == [{"city": ["bonn"]}, {"city": ["sofia /é"]}]
    with pytest.raises(DataError, match="row 0, field 'city': id is 'bonn', expected a whole number"):
        collected(open_rows(tmp_path / "data", schema).batches())


def test_what_a_file_says_itself_counts(tmp_path):
    (tmp_path / "day=3").mkdir()
    write(tmp_path / "day=3" / "x.parquet", label=[1], a=[1], day=[5])
    assert collected(open_rows(tmp_path, DAYS).batches())[0] == [[1, 5]]


def test_schemas_of_files_may_differ(tmp_path):
    write(tmp_path / "a.parquet", label=[0], a=pa.array([1], pa.int32()), b=[0], k=pa.array([1], pa.int32()))
    write(tmp_path / "b.parquet", b=[1.0], k=[2], more=["x"], a=pa.array([2], pa.int64()), label=[True])
    write(tmp_path / "c.parquet", label=["1"], a=pa.nulls(1), b=pa.array([3], pa.uint8()), k=pa.nulls(1))
    rows = open_rows(tmp_path, AB, keep=["k"])
    assert collected(rows.batches()) == ([[1, 0], [2, 1], [-1, 3]], [0, 1, 1])
    assert pa.Table.from_batches([batch.kept for batch in rows.batches()]).to_pydict() == {"k": [1, 2, None]}
    write(tmp_path / "d.parquet", label=[0], a=[1])
    with pytest.raises(DataError, match=r"d\.parquet: column of field 'b' is missing, found label, a"):
        open_rows(tmp_path, AB)


def test_fields_of_data_are_in_all_files(tmp_path):
    write(tmp_path / "a.parquet", label=[0], a=[1])
    write(tmp_path / "b.parquet", b=[1], label=[0], a=[2])
    with pytest.raises(DataError, match=r"a\.parquet: has no column 'b', which .*b\.parquet has") as error:
        infer_schema(tmp_path)
    assert "--fields" in error.value.hint


def test_strings_and_dictionaries_of_them(tmp_path):
    vocabulary = Vocabulary({"a": FieldVocabulary.of({"x": 1, "y": 2}, missing=0)})
    write(tmp_path / "a.parquet", label=[0, 1], a=["x", None], b=[0, 1], k=["p", "q"])
    categories = pa.array(["y", "x"]).dictionary_encode()
    write(tmp_path / "b.parquet", label=[0, 1], a=categories, b=[0, 1], k=categories)
    write(tmp_path / "c.parquet", label=[0], a=pa.nulls(1), b=[0], k=["r"])
    rows = open_rows(tmp_path, AB, vocabulary=vocabulary, keep=["k"])
    assert [a for a, _ in collected(rows.batches())[0]] == [1, 0, 2, 1, 0]
    assert [k for batch in rows.batches() for k in batch.kept["k"].to_pylist()] == ["p", "q", "y", "x", "r"]


def test_folders_without_known_names(tmp_path):
    write(tmp_path / "000000_0", label=[0], a=[1], b=[1])
    (tmp_path / "notes").write_text("a, b")
    assert collected(open_rows(tmp_path, AB).batches())[0] == [[1, 1]]


def test_folders_without_data(tmp_path):
    (tmp_path / "_SUCCESS").touch()
    with pytest.raises(DataError, match=r"holds no data: it holds _SUCCESS$") as error:
        open_rows(tmp_path, AB)
    assert ".parquet, " in error.value.hint
    assert ".csv" in error.value.hint
    for number in range(5):
        (tmp_path / f"{number}.txt").touch()
    with pytest.raises(DataError, match=r"it holds 0\.txt, 1\.txt, 2\.txt and 3 more"):
        open_rows(tmp_path, AB)
