"""The commands take rows as people have them: CSV, floats for ids, labels of all kinds, folders, no rows at all."""

import gzip
import json
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from tests.conftest import FIELDS

pytestmark = pytest.mark.slow

NAMES = [name for name, _ in FIELDS]


@pytest.fixture(scope="module")
def rows(files):
    """The first rows of the test split, with some ids missing."""
    table = pq.read_table(files.test).slice(0, 1000)
    rng = np.random.default_rng(0)
    for number, name in enumerate(table.column_names):
        if name != "label":
            ids = pa.array(table[name].to_numpy(), pa.int32(), mask=rng.random(1000) < 0.05)
            table = table.set_column(number, name, ids)
    return table


def as_floats(table):
    return table.cast(pa.schema([pa.field(name, pa.float64()) for name in table.column_names]))


def with_nan(table):
    columns = {name: pa.array(np.asarray(table[name].to_pylist(), float), from_pandas=False) for name in NAMES}
    return pa.table({"label": table["label"], **columns})


def as_decimals(table):
    return table.cast(pa.schema([pa.field(name, pa.decimal128(12, 2)) for name in table.column_names]))


def with_labels(change):
    return lambda table: table.set_column(0, "label", pa.array([change(one) for one in table["label"].to_pylist()]))


def written_by_pandas(table):
    """Return CSV as pandas writes it: an index, floats where ids are missing."""
    lines = ["," + ",".join(table.column_names)]
    for number, row in enumerate(table.to_pylist()):
        cells = ("" if row[name] is None else f"{row[name]}.0" if name in NAMES else str(row[name]) for name in row)
        lines.append(f"{number}," + ",".join(cells))
    return "\n".join(lines) + "\n"


def write(table, path):
    """Write a table as what the name of the file says."""
    if path.name.endswith(".parquet"):
        pq.write_table(table, path, row_group_size=300)
        return
    sink = pa.BufferOutputStream()
    delimiter = "\t" if ".tsv" in path.name else ","
    pa_csv.write_csv(table, sink, pa_csv.WriteOptions(delimiter=delimiter))
    content = sink.getvalue().to_pybytes()
    if path.name.endswith(".gz"):
        content = gzip.compress(content)
    if path.name.endswith(".zst"):
        content = pa.compress(content, "zstd", asbytes=True)
    path.write_bytes(content)


FORMS = {
    "floats.parquet": as_floats,
    "nan.parquet": with_nan,
    "decimals.parquet": as_decimals,
    "minus.parquet": with_labels(lambda label: label or -1),
    "text.parquet": with_labels(str),
    "booleans.parquet": with_labels(bool),
    "decimal-labels.parquet": with_labels(Decimal),
    "x.csv": lambda table: table,
    "x.tsv": lambda table: table,
    "x.csv.gz": lambda table: table,
    "x.csv.zst": lambda table: table,
    "floats.csv": as_floats,
    "minus.csv": with_labels(lambda label: label or -1),
    "booleans.csv": with_labels(bool),
}


def test_scores_are_those_of_parquet(here, files, rows, tmp_path):
    write(rows, tmp_path / "rows.parquet")
    (tmp_path / "pandas.csv").write_text(written_by_pandas(rows))

    def found(data):
        return json.loads(here("evaluate", files.fm, files.tuned, "--data", data, "--format", "json").stdout)["models"]

    expected = found("rows.parquet")
    assert expected[0]["rows"] == 1000
    here("score", files.tuned, "rows.parquet", "-o", "expected.parquet")
    predictions = (tmp_path / "expected.parquet").read_bytes()
    for name, change in FORMS.items():
        write(change(rows), tmp_path / name)
    for name in (*FORMS, "pandas.csv"):
        assert found(name) == expected, name
        here("score", files.tuned, name, "-o", "scores.parquet", "--force")
        assert (tmp_path / "scores.parquet").read_bytes() == predictions, name


def test_all_commands_take_csv(here, files, tmp_path):
    for part in ("train", "valid", "test"):
        write(pq.read_table(getattr(files, part)).slice(0, 4000), tmp_path / f"{part}.csv")
    here(
        "train",
        "train.csv",
        "--valid",
        "valid.csv",
        "-o",
        "fm.pt",
        "--dim",
        "4",
        "--l2",
        "1e-3",
        "--lr",
        "1e-3",
        "--epochs",
        "1",
    )
    tuning = ("--train", "train.csv", "--valid", "valid.csv", "--epochs", "1")
    here("quantize", "fm.pt", "--budget", "6KB", *tuning, "-o", "small.safetensors")
    test = ("--data", "test.csv")
    assert "AUC" in here("sweep", "fm.pt", "--budgets", "6KB", *test).stdout
    assert "AUC" in here("compare", files.ptq, files.tuned, *test).stdout
    here("check", "small.safetensors", *test, "--baseline", "fm.pt", "--max-auc-drop", "0.5")
    # The same bytes as from Parquet: rows come in the same order.
    for part in ("train", "valid"):
        pq.write_table(pa_csv.read_csv(tmp_path / f"{part}.csv"), tmp_path / f"{part}.parquet")
    tuning = ("--train", "train.parquet", "--valid", "valid.parquet", "--epochs", "1")
    here("quantize", "fm.pt", "--budget", "6KB", *tuning, "-o", "same.safetensors")
    assert (tmp_path / "same.safetensors").read_bytes() == (tmp_path / "small.safetensors").read_bytes()


def test_folders_of_a_key_and_a_column_that_is_null_in_one_file(here, files, rows, tmp_path):
    write(rows, tmp_path / "rows.parquet")
    table = rows.append_column("place", pa.array(range(1000)))
    for hour in [*range(24), None]:
        own = table.filter(pa.compute.equal(rows["hour"], hour) if hour is not None else rows["hour"].is_null())
        folder = tmp_path / "data" / f"hour={'__HIVE_DEFAULT_PARTITION__' if hour is None else hour}"
        folder.mkdir(parents=True)
        own = own.drop_columns("hour")
        own = own.select(own.column_names[:: -1 if hour == 7 else 1])
        if hour == 3:
            own = own.set_column(own.column_names.index("city"), "city", pa.nulls(len(own)))
        write(own, folder / "part-0.parquet")
    (tmp_path / "data" / "_SUCCESS").touch()
    here("score", files.tuned, "data", "-o", "parts.parquet", "--keep", "place,hour")
    here("score", files.tuned, "rows.parquet", "-o", "whole.parquet")
    parts = pq.read_table(tmp_path / "parts.parquet").sort_by("place")
    assert parts["place"].to_pylist() == list(range(1000))
    whole = pq.read_table(tmp_path / "whole.parquet")["prediction"].to_numpy()
    same = np.array([hour != 3 for hour in rows["hour"].to_pylist()])
    np.testing.assert_array_equal(parts["prediction"].to_numpy()[same], whole[same])


def test_no_rows_have_no_predictions(here, files, tmp_path):
    empty = pq.read_table(files.test).slice(0, 0).append_column("key", pa.array([], pa.int64()))
    write(empty, tmp_path / "x.parquet")
    write(empty, tmp_path / "x.csv")
    pq.write_table(pa.table({name: [] for name in empty.column_names}), tmp_path / "untyped.parquet")
    (tmp_path / "x.libsvm").write_text("# no line\n")
    (tmp_path / "y.libsvm").touch()
    for name in ("x.parquet", "x.csv", "untyped.parquet", "x.libsvm", "y.libsvm"):
        done = here("score", files.tuned, name, "-o", "scores.parquet", "--force")
        assert "has 0 predictions" in done.stdout
        table = pq.read_table(tmp_path / "scores.parquet")
        assert (len(table), table.schema.names, table.schema.field(0).type) == (0, ["prediction"], pa.float32())
        assert "holds no rows" in here("evaluate", files.tuned, "--data", name, rc=2).stderr
    for name, kind in (("x.parquet", pa.int64()), ("x.csv", pa.string())):
        here("score", files.tuned, name, "-o", "scores.parquet", "--keep", "key", "--force")
        table = pq.read_table(tmp_path / "scores.parquet")
        assert (len(table), table.schema.names, table.schema.field("key").type) == (0, ["key", "prediction"], kind)


WRONG = {
    "zip archive.*unpack it": ("x.zip", b"PK\x03\x04" + bytes(30)),
    "compressed by gzip.*unpack it": ("x.tar.gz", gzip.compress(bytes(257) + b"ustar" + bytes(250))),
    "is JSON.*read_json": ("x.jsonl", b'{"label": 1}\n'),
    "Feather file.*read_feather": ("x.feather", b"ARROW1" + bytes(30)),
    "line 1: found 'label', expected a label.*delete the line": ("x.libsvm", b"label features\n1 1:1\n"),
    "has no header.*first line": ("x.csv", b"1,2,3,4,5\n"),
    "row 1, field 'user': id is 1.5, expected a whole number": (
        "y.csv", b"label,user,item,city,hour\n1,1,1,1,1\n1,1.5,1,1,1\n"
    ),
    "the folder holds no data: it holds _SUCCESS.*.csv": ("folder/_SUCCESS", b""),
}  # fmt: skip


def test_messages_say_what_to_give(here, files, tmp_path):
    (tmp_path / "folder").mkdir()
    for says, (name, content) in WRONG.items():
        (tmp_path / name).write_bytes(content)
        given = name.partition("/")[0]
        done = here("evaluate", files.tuned, "--data", given, rc=2)
        assert pa.compute.match_substring_regex(done.stderr, says).as_py(), done.stderr
        assert done.stderr.count("\n") == 1
