"""Kaggle's text made into Parquet: what becomes of each value, where rows go, and what is refused."""

import gzip
import json
import math
import os
import signal
import subprocess
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fmcompress.data.rows import open_training_rows

pytestmark = pytest.mark.slow

SCRIPTS = Path(__file__).parents[2] / "examples" / "paper"
SPLITS = ("train", "valid", "test")
CRITEO = [*(f"I{i}" for i in range(1, 14)), *(f"C{i}" for i in range(1, 27))]
AVAZU = [
    "hour", "C1", "banner_pos", "site_id", "site_domain", "site_category", "app_id", "app_domain", "app_category",
    "device_id", "device_ip", "device_model", "device_type", "device_conn_type", *(f"C{i}" for i in range(14, 22)),
]  # fmt: skip
AVAZU_INTEGERS = {"hour", "C1", "banner_pos", "device_type", "device_conn_type", *(f"C{i}" for i in range(14, 22))}
NO_INTEGER = -(2**31)  # the real data hold it where Kaggle's text has nothing


@pytest.fixture(scope="module")
def scripts():
    """Return a function that imports a module of the example by its name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(SCRIPTS), *sys.path])
        yield import_module


@pytest.fixture
def prepare(scripts, capsys):
    """Run the script in this process; return its standard output, or its standard error where it fails."""
    before = signal.getsignal(signal.SIGTERM)

    def run(*args, rc=0):
        code = scripts("prepare").main([os.fspath(arg) for arg in args])
        shown = capsys.readouterr()
        assert code == rc, shown.err
        return shown.err if rc else shown.out

    yield run
    signal.signal(signal.SIGTERM, before)


def criteo_text(columns, rows):
    """Return Criteo's text: the given columns, lists of strings, and the same value in all others."""
    values = {"label": ["0", "1"] * rows, **{name: ["7" if name[0] == "I" else "0badcafe"] * rows for name in CRITEO}}
    values |= columns
    return "".join("\t".join(values[name][row] for name in ("label", *CRITEO)) + "\n" for row in range(rows))


def avazu_text(columns, rows):
    """Return Avazu's text in the same way; ids of rows are as large as Kaggle's."""
    values = {name: ["1" if name in AVAZU_INTEGERS else "0badcafe"] * rows for name in AVAZU}
    values |= {"id": [str(10**19 + row) for row in range(rows)], "click": ["0", "1"] * rows, **columns}
    header = ["id", "click", *AVAZU]
    return ",".join(header) + "\n" + "".join(
        ",".join(values[name][row] for name in header) + "\n" for row in range(rows)
    )  # fmt: skip


def write(path, text):
    path.write_text(text, newline="\n")
    return path


def ids_in_order(folder, rows, name, seed=0):
    """Return a column of all splits in the order of the text: the splits are drawn row after row."""
    split = np.digitize(np.random.default_rng(seed).random(rows), [0.8, 0.9])
    ids = np.full(rows, -1)
    for number, part in enumerate(SPLITS):
        ids[split == number] = pq.read_table(folder / f"{part}.parquet")[name].to_numpy()
    return ids.tolist()


def bucket(text):
    """Return the bucket of an integer of Criteo's, in plain Python."""
    value = int(text)
    return int(math.log(value) ** 2) if value > 2 else value - 2


def repeated(counts):
    """Return values in a mixed order, each as often as it says."""
    values = [value for value, count in counts.items() for _ in range(count)]
    return [values[i] for i in np.random.default_rng(1).permutation(len(values))]


def test_criteo_ids(prepare, tmp_path):
    amounts = repeated({"": 200, "-1": 10, "0": 11, "1": 12, "2": 14, "3": 20, "4": 40, "5": 80, "99": 9, "100": 4})
    digits = repeated({"05db9164": 200, "": 171, "ffffffff": 10, "00000000": 9, "deadbeef": 9, "12345678": 1})
    text = write(tmp_path / "train.txt", criteo_text({"I1": amounts, "C1": digits}, 400))
    out = tmp_path / "out"
    prepare("criteo", text, "-o", out)
    # 3 and 4 share a bucket; so do 99 and 100, and together they are no longer rare.
    order = {"-1": 1, "0": 2, "1": 3, "99": 4, "100": 4, "2": 5, "3": 6, "4": 6, "5": 7, "": 8}
    assert ids_in_order(out, 400, "I1") == [order[value] for value in amounts]
    order = {"ffffffff": 1, "": 2, "05db9164": 3}
    assert ids_in_order(out, 400, "C1") == [order.get(value, 0) for value in digits]
    assert ids_in_order(out, 400, "label") == [0, 1] * 200
    schema = pq.read_schema(out / "train.parquet")
    assert schema.names == ["label", *CRITEO]
    assert schema.types == [pa.int8()] + [pa.int32()] * 39


def test_criteo_missing_values_are_rare_where_they_are_few(prepare, tmp_path):
    amounts, digits = repeated({"": 9, "5": 391}), repeated({"": 9, "05db9164": 391})
    text = write(tmp_path / "train.txt", criteo_text({"I1": amounts, "C1": digits}, 400))
    prepare("criteo", text, "-o", tmp_path / "out")
    assert ids_in_order(tmp_path / "out", 400, "I1") == [int(value != "") for value in amounts]
    assert ids_in_order(tmp_path / "out", 400, "C1") == [int(value != "") for value in digits]


def test_avazu_ids(prepare, tmp_path):
    hours = repeated({"14102100": 150, "14102101": 140, "14102200": 107, "14102201": 3})
    sites = repeated({"85f751fd": 380, "1fbe01fe": 13, "c0ffee00": 4, "00000001": 3})
    text = write(tmp_path / "train", avazu_text({"hour": hours, "site_id": sites}, 400))
    out = tmp_path / "out"
    prepare("avazu", text, "-o", out)
    order = {"14102200": 1, "14102101": 2, "14102100": 3}
    assert ids_in_order(out, 400, "hour") == [order.get(hour, 0) for hour in hours]
    order = {"c0ffee00": 1, "1fbe01fe": 2, "85f751fd": 3}
    assert ids_in_order(out, 400, "site_id") == [order.get(site, 0) for site in sites]
    assert ids_in_order(out, 400, "label") == [0, 1] * 200
    assert pq.read_schema(out / "test.parquet").names == ["label", *AVAZU]


def test_columns_of_avazu_are_found_by_name(prepare, tmp_path):
    text = avazu_text({"C14": repeated({"1": 100, "2": 300})}, 400)
    turned = "".join(",".join(reversed(line.split(","))) + "\n" for line in text.splitlines())
    for name, content in {"straight": text, "turned": turned.replace("click", '"click"')}.items():
        prepare("avazu", write(tmp_path / f"{name}.csv", content), "-o", tmp_path / name)
    for split in SPLITS:
        files = [tmp_path / name / f"{split}.parquet" for name in ("straight", "turned")]
        assert pq.read_table(files[0]).equals(pq.read_table(files[1]))


def test_each_row_is_in_one_split(prepare, tmp_path):
    rows = 5000
    text = write(tmp_path / "train.txt", criteo_text({"C26": [f"{row:08x}" for row in range(rows)]}, rows))
    prepare("criteo", text, "-o", tmp_path / "out", "--min-count", "1")
    ids = [pq.read_table(tmp_path / "out" / f"{split}.parquet")["C26"].to_pylist() for split in SPLITS]
    assert sorted(np.concatenate(ids)) == list(range(1, rows + 1))
    assert [len(part) / rows for part in ids] == pytest.approx([0.8, 0.1, 0.1], abs=0.015)
    assert json.loads((tmp_path / "out" / "fields.json").read_text())["rows"] == dict(
        zip(SPLITS, map(len, ids), strict=True)
    )


def test_the_result_is_data_for_fmcompress(prepare, tmp_path):
    counts = {"05db9164": 50, "": 20, "ffffffff": 330}
    text = write(tmp_path / "train.txt", criteo_text({"C3": repeated(counts)}, 400))
    out = tmp_path / "out"
    shown = prepare("criteo", text, "-o", out)
    train, valid = open_training_rows(out / "train.parquet", out / "valid.parquet")
    cardinalities = json.loads((out / "fields.json").read_text())["cardinalities"]
    assert {field.name: field.cardinality for field in train.schema.fields} == cardinalities
    assert cardinalities == {name: 4 if name == "C3" else 2 for name in CRITEO}
    assert train.rows == sum(map(len, train.batches()))
    assert f"400 rows, {sum(cardinalities.values())} categories (the paper's criteo: 1,086,810)" in shown
    assert f"train {train.rows} rows, valid {valid.rows} rows" in shown


def test_test_rows_alone_make_no_field_larger(prepare, tmp_path):
    draws = np.random.default_rng(0).random(400)
    digits = ["ffffffff" if draw >= 0.9 else f"{row:08x}" for row, draw in enumerate(draws)]
    text = write(tmp_path / "train.txt", criteo_text({"C2": digits}, 400))
    shown = prepare("criteo", text, "-o", tmp_path / "out", "--min-count", "1", rc=2)
    assert "field 'C2': its most frequent value is in test rows alone" in shown
    assert list(tmp_path.iterdir()) == [text]


def test_the_same_seed_gives_the_same_bytes(prepare, scripts, tmp_path, monkeypatch):
    columns = {"I5": [str(row * row) for row in range(800)], "C4": [f"{row % 90:08x}" for row in range(800)]}
    text = write(tmp_path / "train.txt", criteo_text(columns, 800))
    zipped = tmp_path / "train.txt.gz"
    zipped.write_bytes(gzip.compress(text.read_bytes()))
    prepare("criteo", text, "-o", tmp_path / "once")
    prepare("criteo", text, "-o", tmp_path / "other", "--seed", "1")
    monkeypatch.setattr(scripts("raw_text"), "_BLOCK_BYTES", 4096)
    monkeypatch.setattr(scripts("vocabulary"), "_MERGE_ENTRIES", 16)
    prepare("criteo", zipped, "-o", tmp_path / "again")
    for name in ("train.parquet", "valid.parquet", "test.parquet", "fields.json"):
        once, again, other = ((tmp_path / run / name).read_bytes() for run in ("once", "again", "other"))
        assert once == again != other


def test_buckets(scripts):
    amounts = [None, -3, 0, 1, *range(2, 5000), 65_535, 10**6, 2**40]
    found = scripts("raw_text").bucket(pa.chunked_array([amounts[:7], amounts[7:]]))
    assert found.to_pylist() == [None if value is None else bucket(value) for value in amounts]


def test_values_are_counted_over_many_tables(scripts, monkeypatch):
    monkeypatch.setattr(scripts("vocabulary"), "_MERGE_ENTRIES", 30)
    counts, plain = scripts("vocabulary").ValueCounts(), Counter()
    rng = np.random.default_rng(0)
    for _ in range(40):
        keys = [None if key == 5 else key for key in rng.geometric(0.02, 50).tolist()]
        counts.add(pa.chunked_array([keys[:10], keys[10:]], pa.int64()))
        plain.update(keys)
    vocabulary = counts.vocabulary(3)
    kept = vocabulary.kept.to_pylist()
    assert set(kept) == {key for key, count in plain.items() if count >= 3}
    assert [plain[key] for key in kept] == sorted(plain[key] for key in kept)
    assert vocabulary.encode(pa.chunked_array([[kept[0], 10**6], [None]], pa.int64())).to_pylist() == [
        1, 0, kept.index(None) + 1,
    ]  # fmt: skip


def test_row_groups_are_of_one_size(scripts, tmp_path, monkeypatch):
    monkeypatch.setattr(scripts("splits"), "ROW_GROUP_ROWS", 100)
    table = pa.table({"a": pa.array(range(1000), pa.int32())})
    path = tmp_path / "a.parquet"
    with path.open("wb") as file, scripts("splits").RowGroups(file, table.schema) as groups:
        for start, end in ((0, 30), (30, 290), (290, 290), (290, 950)):
            groups.add(table.slice(start, end - start))
    written = pq.ParquetFile(path)
    assert written.read().equals(table.slice(0, 950))
    sizes = [written.metadata.row_group(i).num_rows for i in range(written.num_row_groups)]
    assert sizes == [100] * 9 + [50]


GOOD = criteo_text({}, 200)
GOOD_AVAZU = avazu_text({}, 200)
ONE_ROW = criteo_text({}, 1)


def line_changed(text, number, change):
    lines = text.splitlines(keepends=True)
    lines[number - 1] = change(lines[number - 1])
    return "".join(lines)


@pytest.mark.parametrize(
    ("data_set", "text", "expected"),
    [
        ("criteo", line_changed(GOOD, 7, lambda line: "2" + line[1:]), "line 7: label is 2, expected 0 or 1"),
        ("criteo", line_changed(GOOD, 7, lambda line: line[1:]), "line 7: label is empty, expected 0 or 1"),
        ("criteo", line_changed(GOOD, 8, lambda line: "x" + line[1:]), "line 8, label: invalid value 'x', expected an"),
        ("criteo", line_changed(GOOD, 9, lambda line: line.replace("7", "1.5", 1)), "line 9, I1: invalid value '1.5'"),
        ("criteo", line_changed(GOOD, 9, lambda line: line[:-3] + "\n"), "line 9, C26: got a 6-byte long string"),
        ("criteo", line_changed(GOOD, 2, lambda line: line[2:]), "line 2: has 39 columns, expected 40"),
        ("criteo", line_changed(GOOD, 200, lambda line: line[:-1] + "\t\n"), "line 200: has 41 columns, expected 40"),
        ("criteo", GOOD_AVAZU, "has 1 columns, expected 40"),
        ("criteo", "", "Empty CSV file"),
        ("criteo", ONE_ROW, "too few rows"),
        ("avazu", line_changed(GOOD_AVAZU, 5, lambda line: line.replace(",", ",3", 1)), "line 5: label is 3"),
        ("avazu", line_changed(GOOD_AVAZU, 5, lambda line: line[:-2] + "q\n"), "line 5, C21: invalid value 'q'"),
        ("avazu", GOOD_AVAZU.replace("click", "clack"), "column 'click' is missing in its first line (is this avazu?)"),
        ("avazu", GOOD_AVAZU.splitlines(keepends=True)[0], "holds no rows"),
        ("avazu", "", "Empty CSV file"),
    ],
)
def test_bad_text(prepare, tmp_path, data_set, text, expected):
    path = write(tmp_path / "train.txt", text)
    shown = prepare(data_set, path, "-o", tmp_path / "out", rc=2)
    assert shown.startswith("error: ")
    assert shown.count("\n") == 1
    assert expected in shown
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("criteo", "nothing.txt", "-o", "out"), "nothing.txt: no such file"),
        (("criteo", "train.txt", "-o", "no/out"), "create the folder first"),
        (("criteo", "train.txt", "-o", "train.txt"), "train.txt"),
        (("criteo", "train.txt", "-o", "out", "--min-count", "0"), "--min-count"),
        (("criteo", "train.txt"), "--output"),
        (("movielens", "train.txt", "-o", "out"), "movielens"),
    ],
)
def test_bad_arguments(prepare, tmp_path, monkeypatch, args, expected):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "train.txt", GOOD)
    shown = prepare(*args, rc=2)
    assert shown.startswith("error: ")
    assert shown.count("\n") == 1
    assert expected in shown
    assert [path.name for path in tmp_path.iterdir()] == ["train.txt"]


def test_what_exists_is_kept_unless_forced(prepare, tmp_path):
    text = write(tmp_path / "train.txt", GOOD)
    out = tmp_path / "out"
    out.mkdir()
    (out / "valid.parquet").write_bytes(b"mine")
    assert "valid.parquet exists (pass --force to replace it)" in prepare("criteo", text, "-o", out, rc=2)
    write(text, ONE_ROW)
    prepare("criteo", text, "-o", out, "--force", rc=2)
    assert [path.read_bytes() for path in out.iterdir()] == [b"mine"]
    write(text, GOOD)
    prepare("criteo", text, "-o", out, "--force")
    assert pq.read_table(out / "valid.parquet").num_rows > 0


@pytest.fixture(scope="module")
def real_rows(real_data):
    """Return the columns of real rows of Criteo as strings, as Kaggle's text has them."""
    folder = real_data("criteo")
    table = pa.concat_tables([pq.read_table(folder / f"{split}.parquet") for split in SPLITS])
    return {
        name: ["" if value is None or value == NO_INTEGER else str(value) for value in table[name].to_pylist()]
        for name in ("label", *CRITEO)
    }


@pytest.mark.parametrize("options", [(), ("--min-count", "3", "--seed", "5")])
def test_real_rows_of_criteo(real_rows, tmp_path, options):
    rows = len(real_rows["label"])
    text = write(
        tmp_path / "train.txt", "".join("\t".join(row) + "\n" for row in zip(*real_rows.values(), strict=True))
    )
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / "prepare.py"), "criteo", str(text), "-o", str(tmp_path / "out"), *options],
        capture_output=True, encoding="utf-8", check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    min_count, seed = (3, 5) if options else (10, 0)
    train, _ = open_training_rows(tmp_path / "out" / "train.parquet", tmp_path / "out" / "valid.parquet")
    assert ids_in_order(tmp_path / "out", rows, "label", seed) == [int(label) for label in real_rows["label"]]
    for field in train.schema.fields:
        values = real_rows[field.name]
        if field.name.startswith("I"):
            values = ["" if value == "" else bucket(value) for value in values]
        counts = Counter(values)
        kept = {value for value, count in counts.items() if count >= min_count}
        found = set(zip(values, ids_in_order(tmp_path / "out", rows, field.name, seed), strict=True))
        assert {value for value, id_ in found if id_ == 0} == set(counts) - kept
        own = {value: id_ for value, id_ in found if id_ > 0}
        assert len(found) == len(counts)  # the same value always has the same id
        assert sorted(own.values()) == list(range(1, len(kept) + 1))
        assert field.cardinality == len(kept) + 1
