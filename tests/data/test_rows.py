"""Rows of any files: which kind they are, which of them are held out, and how often categories are active."""

import functools
import operator
from pathlib import Path

import numpy as np
import pytest

from fmcompress.data.options import DataOptions
from fmcompress.data.rows import count_categories, open_rows, open_training_rows
from fmcompress.data.shuffle import shuffled
from fmcompress.errors import DataError
from fmcompress.fm.field_specs import parse_fields
from fmcompress.fm.schema import Schema
from tests.data.rows import AB, GENUINE, collected, write


def test_chunks_come_in_order_or_shuffled(many):
    rows = open_rows(many, parse_fields("n:1000"))
    assert rows.rows == 1000
    assert [Path(file).name for file in rows.files] == ["a.libfm", "b.svm"]
    ids, labels = collected(rows.batches())
    assert [n for (n,) in ids] == list(range(1000))
    assert labels == [n % 2 for n in range(1000)]
    drawn = np.concatenate([batch.ids[:, 0] for batch in shuffled(rows, 64, seed=0)])
    assert sorted(drawn) == list(range(1000)) != drawn.tolist()


def test_held_out_rows_part_the_rows(many):
    most, held_out = open_training_rows(many, None, schema=parse_fields("n:1000"))
    assert [n for (n,) in collected(held_out.batches())[0]] == list(range(19, 1000, 20))
    assert (most.rows, held_out.rows) == (950, 50)
    assert len(collected(most.batches())[0]) == 950


def test_content_tells_text_from_parquet(tmp_path, text):
    parquet = write(tmp_path / "x.libfm", label=[1], a=[1], b=[0])
    assert collected(open_rows(parquet, AB).batches())[0] == [[1, 0]]
    path = text("1 1:1\n", name="x.parquet")
    assert collected(open_rows(path, AB).batches())[0] == [[1, -1]]
    with pytest.raises(DataError, match=r"x\.libfm is Parquet and x\.parquet is libsvm text, expected files of one"):
        open_rows(f"{tmp_path}/x.*", AB)


def test_binary_files_of_the_tools(text):
    path = text(b"\x02\0\0\0\x04\0\0\0" + bytes(range(200)))
    with pytest.raises(DataError, match=r"x\.libfm: not a readable Parquet file") as error:
        open_rows(path, AB)
    assert "binary files of libFM and xLearn are not read" in error.value.hint


def test_text_without_rows_and_without_fields(text):
    with pytest.raises(DataError, match="holds no rows"):
        open_rows(text("# nothing\n\n"), AB)
    with pytest.raises(DataError, match="does not say which fields") as error:
        open_training_rows(GENUINE, None)
    assert "--fields" in error.value.hint


def test_every_20th_row_is_held_out_across_files(tmp_path):
    sizes = Schema.of([("a", 1000), ("b", 1)])
    (tmp_path / "d").mkdir()
    for number in range(5):  # files shorter than 20 rows count together
        write(tmp_path / "d" / f"{number}.parquet", row_group_size=7, label=[0] * 19,
              a=list(range(19 * number, 19 * number + 19)), b=[0] * 19)  # fmt: skip
    most, held_out = open_training_rows(tmp_path / "d", None, schema=sizes)
    kept, chosen = ([a for a, _ in collected(rows.batches())[0]] for rows in (most, held_out))
    assert (len(kept), len(chosen)) == (most.rows, held_out.rows)
    assert chosen == [19, 39, 59, 79]
    assert sorted(kept + chosen) == list(range(95))


def test_too_few_rows_to_hold_out(tmp_path):
    path = write(tmp_path / "x.parquet", label=[1] * 19, a=[1] * 19, b=[1] * 19)
    with pytest.raises(DataError, match="its 19 rows are too few") as error:
        open_training_rows(path, None)
    assert "--valid" in error.value.hint


def test_schema_is_inferred_from_both_parts(tmp_path):
    train = write(tmp_path / "t.parquet", label=[1, 0], a=[3, None], b=[0, 1], __index_level_0__=[1000, 2000])
    valid = write(tmp_path / "v.parquet", b=[7, -1], label=[1, 0], a=[1, 2], more=["x", "y"])
    rows, held_out = open_training_rows(train, valid)
    assert rows.schema == held_out.schema == Schema.of([("a", 4), ("b", 8)])


def test_counts_are_numpys(tmp_path):
    rng = np.random.default_rng(0)
    a, b = rng.integers(-1, 10, 1000), rng.integers(-1, 4, 1000)
    path = write(tmp_path / "x.parquet", row_group_size=300, label=[0] * 1000, a=a, b=b)
    expected = np.concatenate([np.bincount(a[a >= 0], minlength=10), np.bincount(b[b >= 0], minlength=4)])
    np.testing.assert_array_equal(count_categories(open_rows(path, AB)), expected)
    assert count_categories(open_rows(path, AB)).dtype == np.int64


@pytest.mark.parametrize("split", ["all", "most", "held-out"])
@pytest.mark.parametrize(("group", "size"), [(7, 3), (1000, 2), (50, 1), (100, 4), (3, 400)])
def test_parts_are_all_rows_and_each_is_in_one(tmp_path, split, group, size):
    path = write(tmp_path / "x.parquet", row_group_size=group, label=[0] * 1000, n=list(range(1000)))
    whole = open_rows(path, parse_fields("n:1000"), split=split)
    parts = [whole.part(rank, size) for rank in range(size)]
    found = [[n for (n,) in collected(part.batches())[0]] for part in parts]
    assert functools.reduce(operator.iadd, found, []) == [n for (n,) in collected(whole.batches())[0]]
    assert [len(rows) for rows in found] == [part.rows for part in parts]
    assert max(part.rows for part in parts) - min(part.rows for part in parts) <= 1 + 0.04 * whole.rows / size
    counted = sum(part.summary.counts for part in parts)
    np.testing.assert_array_equal(counted, whole.summary.counts)
    drawn, *own = (_numbers(rows.batches(order=np.random.default_rng(1))) for rows in (whole, *parts))
    assert own == [[n for n in drawn if n in set(rows)] for rows in found]


def _numbers(batches):
    return [n for (n,) in collected(batches)[0]]


def test_parts_end_where_row_groups_do_if_they_can(tmp_path):
    path = write(tmp_path / "x.parquet", row_group_size=99, label=[0] * 1000, n=list(range(1000)))
    rows = open_rows(path, parse_fields("n:1000"))
    assert [rows.part(rank, 2).rows for rank in range(2)] == [495, 505]
    assert [rows.part(rank, 3).rows for rank in range(3)] == [333, 333, 334]


def test_ids_out_of_range_are_counted_in_one_part(tmp_path):
    path = write(tmp_path / "x.parquet", row_group_size=400, label=[0] * 1000, n=[5000] * 1000)
    rows = open_rows(path, parse_fields("n:1000"), DataOptions(oov="zero"))
    skipped = []
    for rank in range(3):
        part = rows.part(rank, 3)
        collected(part.batches())
        skipped.append(part.out_of_range)
    assert sum(skipped) == 1000
