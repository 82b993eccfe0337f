"""CSV gives the rows that the same data give as Parquet, or an error that says where."""

import bz2
import gzip

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from fmcompress.data.rows import open_rows, open_training_rows
from fmcompress.data.shuffle import shuffled
from fmcompress.errors import DataError
from fmcompress.fm.field_specs import parse_fields
from fmcompress.fm.field_vocabulary import FieldVocabulary
from fmcompress.fm.schema import Field, NumericField, Schema
from fmcompress.fm.vocabulary import Vocabulary
from tests.data.rows import AB, collected, write

SIMPLE = "label,a,b\n1,9,0\n0,,3\n"
SIMPLE_ROWS = ([[9, 0], [-1, 3]], [1, 0])


def zstd(content):
    return pa.compress(content, "zstd", asbytes=True)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Let rows lie across blocks and parts."""
    monkeypatch.setattr("fmcompress.data.csv_files._PART_BYTES", 200)
    monkeypatch.setattr("fmcompress.data.csv_files._BLOCK_BYTES", 50)


def read(path, schema=AB, **more):
    return collected(open_rows(path, schema, **more).batches())


@pytest.mark.parametrize(
    "content",
    [
        SIMPLE,
        SIMPLE.replace("\n", "\r\n"),
        SIMPLE.replace("\n", "\r"),
        SIMPLE.replace(",", "\t"),
        SIMPLE.replace(",", ";"),
        SIMPLE.replace(",", "|"),
        SIMPLE.rstrip("\n"),
        "\ufeff" + SIMPLE,
        "\n" + SIMPLE.replace("\n", "\n\n"),
        '"label","a","b"\n"1","9","0"\n"0","","3"\n',
        'note,label,a,b\n"one\n""two"", three",1,9,0\n5" pipe,0,,3\n',
        "label,a,b\n1,9.0,0\n0,NaN,3.0\n",
        "label,a,b\n1, 9, 0\n0, NA, 3\n",
        "label,a,b\n1,+9,0e0\n0,null,003\n",
        "label,a,b\nTrue,9,False\n-1,-1,3\n",
        ",label,b,more,a\n0,1,0,x,9\n1,0,3,y,\n",
    ],
)
def test_rows_of_many_writers(text, content):
    assert read(text(content, name="x.csv")) == SIMPLE_ROWS


@pytest.mark.parametrize(("suffix", "compressed"), [("gz", gzip.compress), ("zst", zstd), ("bz2", bz2.compress)])
def test_compressed_files_are_read_in_order(text, suffix, compressed):
    lines = "".join(f"{n % 2},{n % 10},{n % 4}\n" for n in range(1000))
    path = text(compressed(b"label,a,b\n" + lines.encode()), name=f"x.csv.{suffix}")
    rows = open_rows(path, AB)
    assert rows.rows == 1000
    assert collected(rows.batches()) == ([[n % 10, n % 4] for n in range(1000)], [n % 2 for n in range(1000)])
    assert len(np.concatenate([batch.labels for batch in shuffled(rows, 64, seed=0)])) == 1000


def test_folders_of_files(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.csv").write_text("label,a,b\n1,0,0\n")
    (folder / "b.csv.gz").write_bytes(gzip.compress(b"a,b,label,c\n1,0,0,x\n"))
    (folder / "c.tsv").write_text("b\tlabel\ta\n0\t1\t2\n")
    (folder / "d.csv").write_text("label,a,b\n")
    (folder / "README.txt").write_text("a,b\n")
    assert read(folder) == ([[0, 0], [1, 0], [2, 0]], [1, 0, 1])


def test_chunks_come_in_order_or_shuffled(text):
    path = text("label,a\n" + "".join(f"{n % 2},{n}\n" for n in range(1000)), name="x.csv")
    rows = open_rows(path, parse_fields("a:1000"))
    assert [n for (n,) in collected(rows.batches())[0]] == list(range(1000))
    drawn = [n for (n,) in collected(rows.batches(order=np.random.default_rng(0)))[0]]
    assert sorted(drawn) == list(range(1000)) != drawn
    most, held_out = open_training_rows(path, None)
    assert most.schema == Schema.of([("a", 1000)])
    assert [n for (n,) in collected(held_out.batches())[0]] == list(range(19, 1000, 20))
    assert len(collected(most.batches())[0]) == 950


def test_numbers_that_change_their_form_along_the_way(text):
    first, last = "".join(f"1,{n},0\n" for n in range(100)), "".join(f"0,{n}.0,0\n" for n in range(100))
    path = text("label,a,b\n" + first + last + "True,0x5,\n", name="x.csv")
    ids, labels = read(path, parse_fields("a:100,b:1"))
    assert [a for a, _ in ids] == [*range(100), *range(100), 5]
    assert labels == [1] * 100 + [0] * 100 + [1]


TOKENS = Vocabulary({"a": FieldVocabulary.of({"007": 7, "7": 1, "x, y": 2, 'say "hi"': 3, "": 4, "é": 5}, missing=9)})
NAMIBIA = Vocabulary({"a": FieldVocabulary.of({"NA": 7, "ZA": 1}, missing=9)})


def test_tokens_stay_as_they_stand(text):
    path = text('label,a,b\n1,007,0\n0,7,1\n0,"x, y",1\n0,"say ""hi""",1\n1,é,2\n1,NA,2\n', name="x.csv")
    assert [a for a, _ in read(path, vocabulary=TOKENS)[0]] == [7, 1, 2, 3, 5, 9]
    path = text("label,a,b\n1,NA,0\n0,ZA,1\n0,,1\n0,null,1\n", name="x.csv")
    assert [a for a, _ in read(path, vocabulary=NAMIBIA)[0]] == [7, 1, 9, 9]


def test_numeric_fields(text):
    schema = Schema.in_order([NumericField("p"), Field("a", 2), NumericField("q", True)])
    path = text("label,p,q,a\n1,1.5,-2,0\n0,,1e3,1\n1,NaN,true,0\n", name="x.csv")
    (batch,) = open_rows(path, schema).batches()
    assert batch.values.tolist() == [[1.5, -2], [0, 1000], [0, 1]]
    assert read(text("label,p,q,a\n-3.5,1,1,1\n", name="y.csv"), schema, labels="number")[1] == [-3.5]


def test_columns_are_carried_along_as_text(text):
    path = text('key,label,a,b\n007,1,9,0\n"x, y",0,,3\n,0,5,3\n', name="x.csv")
    rows = open_rows(path, AB, labels=None, keep=["key", "a"])
    found = pa.Table.from_batches([batch.kept for batch in rows.batches()])
    assert found.to_pydict() == {"key": ["007", "x, y", None], "a": ["9", None, "5"]}
    assert found.schema == rows.kept
    assert [a for a, _ in collected(rows.batches())[0]] == [9, -1, 5]
    rows = open_rows(text("a,b\nNA,0\n", name="y.csv"), AB, labels=None, keep=["a"], vocabulary=NAMIBIA)
    (batch,) = rows.batches()
    assert (batch.ids.tolist(), batch.kept.to_pydict()) == ([[7, 0]], {"a": ["NA"]})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("label,a,b\n1,2,3\n0,1.5,0\n", r"row 1, field 'a': id is 1\.5, expected a whole number"),
        ("label,a,b\n1,2,3\n0,x,0\n", "row 1, field 'a': id is 'x', expected a whole number"),
        ("label,a,b\n1,2,3\n0,10,0\n", "row 1, field 'a': id 10 is out of range, expected 0 to 9"),
        ("label,a,b\n1,2,3\n0,99999999999999999999,0\n", r"row 1, field 'a': id 1e\+20 is out of range"),
        ("label,a,b\n1,2,3\n0,inf,0\n", "row 1, field 'a': id is inf"),
        ("label,a,b\n" + "1,2,3\n" * 99 + "2,2,3\n", "row 99: label is 2, expected 0 or 1"),
        ("label,a,b\n1,2,3\nyes,2,3\n", "row 1: label is 'yes', expected 0 or 1"),
        ("label,a,b\n1,2,3\n,2,3\n", "row 1: label is null"),
        ("label,a,b\n" + "1,2,3\n" * 99 + "0,2\n", "row 99 has 2 cells, expected the header's 3: '0,2'"),
        ("label,a,b\n1,2,3,4\n", "row 0 has 4 cells"),
        ("label,a\n1,2\n", "column of field 'b' is missing, found label, a"),
        ("label,a,b,b\n1,2,3,4\n", "two columns are named 'b'"),
        ("a,b\n2,3\n", "label column 'label' is missing, found a, b"),
        ("1,2,3\n0,2,3\n", r"has no header: its first line is 1,2,3"),
        ("", "is empty, expected a line with the names of the columns"),
        ("\n\n", "is empty"),
        ("label,a,b\n", "holds no rows"),
        ('label,a,b\n1,"2,3\n' + "1,2,3\n" * 30, "row 0 is longer than 500 bytes"),
        ('label,a,b\n1,2,3\n1,"2,3\n1,2,3\n', "row 1: a quote in it is never closed"),
        ("label,a,b\n1,2,3\n1,\xff\n", r"row 1 has 2 cells, expected the header's 3: '1,\xff'"),
    ],
)
def test_errors_say_where(text, monkeypatch, content, says):
    monkeypatch.setattr("fmcompress.data.csv_text.LONGEST_ROW_BYTES", 100)
    monkeypatch.setattr("fmcompress.data.csv_files.LONGEST_ROW_BYTES", 500)
    path = text(content, name="x.csv")
    with pytest.raises(DataError, match=rf"x\.csv: {says}"):
        read(path)


def test_text_that_is_not_utf_8(text):
    path = text(b"label,a,b,c\n1,2,3,\xff\n", name="x.csv")
    assert read(path)[0] == [[2, 3]]  # nobody looks at the column
    with pytest.raises(DataError, match=r"x\.csv: field 'a' has text that is not UTF-8"):
        read(text(b"label,a,b\n1,\xff,3\n", name="x.csv"), vocabulary=TOKENS)
    with pytest.raises(DataError, match=r"x\.csv: its first line is no header of CSV in UTF-8"):
        read(text(b"label,\xff,b\n1,2,3\n", name="x.csv"))


def test_compressed_files_that_are_cut_short(text):
    whole = gzip.compress(b"label,a,b\n" + b"".join(b"1,%d,%d\n" % (n % 10, n % 4) for n in range(5000)))
    with pytest.raises(DataError, match=r"x\.csv\.gz: (cannot be read|is broken)"):
        read(text(whole[: len(whole) // 2], name="x.csv.gz"))


def test_files_that_change_while_they_are_read(text):
    path = text(SIMPLE, name="x.csv")
    rows = open_rows(path, AB)
    path.write_text("label,a,b\n1,9,0\n")
    with pytest.raises(DataError, match=r"x\.csv: has changed while it was read"):
        collected(rows.batches())


def test_rows_are_those_of_parquet(tmp_path):
    rng = np.random.default_rng(0)
    table = pa.table(
        {
            "label": rng.integers(0, 2, 3000),
            "a": pa.array(rng.integers(-1, 10, 3000), mask=rng.random(3000) < 0.1),
            "b": pa.array(rng.integers(0, 4, 3000).astype(float), mask=rng.random(3000) < 0.1),
            "s": [f'{n}, "{n}"\n' for n in range(3000)],
        }
    )
    pq.write_table(table, tmp_path / "x.parquet")
    pa_csv.write_csv(table, tmp_path / "x.csv")
    assert read(tmp_path / "x.csv") == read(tmp_path / "x.parquet")
    found = [
        pa.Table.from_batches([batch.kept for batch in open_rows(tmp_path / name, AB, keep=["s"]).batches()])
        for name in ("x.csv", "x.parquet")
    ]
    assert found[0].equals(found[1])


def test_kinds_are_not_mixed(tmp_path):
    write(tmp_path / "x.parquet", label=[1], a=[1], b=[1])
    (tmp_path / "x.csv").write_text(SIMPLE)
    with pytest.raises(DataError, match=r"x\.csv is CSV and x\.parquet is Parquet, expected files of one kind"):
        read(f"{tmp_path}/x.*")


@pytest.mark.parametrize(
    "cells", [["3|1", "", "2"], ["3 1", "NA", "2 "], ['"[3, 1]"', "[]", "[2]"], ["3^1", "null", "2.0"]]
)
def test_several_values_in_a_cell(text, cells):
    path = text("label,user,genres\n" + "".join(f"1,0,{cell}\n" for cell in cells), name="x.csv")
    (batch,) = open_rows(path, parse_fields("user:3,genres:5:mean")).batches()
    assert batch.bags["genres"].ids.tolist() == [3, 1, 2]
    assert batch.bags["genres"].starts.tolist() == [0, 2, 2, 3]


def test_files_of_recbole(text):
    items, genres = FieldVocabulary.of({"12": 1, "7": 2}), FieldVocabulary.of({"x": 1, "[y]": 2})
    path = text("item_id:token\tgenre:token_seq\tlabel:float\n12\tx [y]\t1.0\n7\t\t0.0\n", name="x.inter")
    vocabulary = Vocabulary({"item_id": items, "genre": genres})
    (batch,) = open_rows(path, parse_fields("item_id:3,genre:3:mean"), vocabulary=vocabulary).batches()
    assert (batch.ids[:, 0].tolist(), batch.labels.tolist()) == ([1, 2], [1, 0])
    assert batch.bags["genre"].ids.tolist() == [1, 2]
    assert read(text("label,a:token,b\n1,1,1\n", name="y.csv"), parse_fields("b:2")) == ([[1]], [1])


def test_several_tokens_in_a_cell(text):
    vocabulary = Vocabulary({"genres": FieldVocabulary.of({"Film Noir": 2, "Sci-Fi": 1, "NA": 3})})
    path = text("label,user,genres\n1,0,Film Noir|Sci-Fi\n1,0,\n1,0,NA\n", name="x.csv")
    (batch,) = open_rows(path, parse_fields("user:3,genres:5:mean"), vocabulary=vocabulary).batches()
    assert batch.bags["genres"].ids.tolist() == [2, 1, 3]
    rows = open_rows(text("label,user,genres\n1,0,1\n1,0,1 x\n", name="y.csv"), parse_fields("user:3,genres:5:mean"))
    with pytest.raises(DataError, match=r"y\.csv: row 1, field 'genres': id is 'x', expected a whole number"):
        list(rows.batches())
