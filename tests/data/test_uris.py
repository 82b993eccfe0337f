"""Rows by URI: of fsspec's memory, of files, and of a server that speaks S3."""

import gzip
import os
import re
import socket
import subprocess
import sys
import time
from importlib.util import find_spec

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.fs
import pyarrow.parquet as pq
import pytest

from fmcompress.data.options import DataOptions
from fmcompress.data.rows import open_rows, open_training_rows
from fmcompress.errors import DataError, UsageError
from fmcompress.fm.field_specs import parse_fields
from tests.data.rows import AB, collected

TABLE = pa.table({"label": [1, 0, 1, 0], "a": [3, 1, 4, 1], "b": [0, 1, 2, 3]})
ROWS = ([[3, 0], [1, 1], [4, 2], [1, 3]], [1, 0, 1, 0])


def parquet(rows=TABLE):
    pq.write_table(rows, sink := pa.BufferOutputStream(), row_group_size=2)
    return sink.getvalue().to_pybytes()


CSV = b"label,a,b\n1,3,0\n0,1,1\n1,4,2\n0,1,3\n"
TEXT = b"1 3:1 10:1\n0 1:1 11:1\n1 4:1 12:1\n0 1:1 13:1\n"
KINDS = {
    "x.parquet": parquet(),
    "x.csv": CSV,
    "x.csv.gz": gzip.compress(CSV),
    "x.libsvm": TEXT,
    "x.svm.gz": gzip.compress(TEXT),
}


@pytest.fixture
def memory():
    """Return a function that puts a file into fsspec's memory."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    yield system.pipe
    system.store.clear()


@pytest.fixture(scope="module")
def s3():
    """The options of URIs of a server that speaks S3, which has files in a bucket ``rows``."""
    if find_spec("moto") is None or find_spec("flask_cors") is None:
        pytest.skip("moto, flask and flask-cors are not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment,
    )  # fmt: skip
    try:
        yield _filled(port)
    finally:
        server.terminate()
        server.wait()


def _filled(port):
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            time.sleep(0.1)
    system = pyarrow.fs.S3FileSystem(
        endpoint_override=f"127.0.0.1:{port}", scheme="http", access_key="key", secret_key="secret",
        allow_bucket_creation=True,
    )  # fmt: skip
    system.create_dir("rows", recursive=False)
    for name, content in {**KINDS, "days/day=1/x y.csv": CSV, "days/day=2/z.csv": CSV, "days/_done": b""}.items():
        with system.open_output_stream(f"rows/{name}", compression=None) as sink:
            sink.write(content)
    return f"endpoint_override=127.0.0.1:{port}&scheme=http"


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_is_read_from_memory(memory, name):
    memory(f"/bucket/{name}", KINDS[name])
    rows = open_rows(f"memory://bucket/{name}", AB)
    assert collected(rows.batches()) == ROWS
    assert (rows.rows, rows.files) == (4, [f"memory://bucket/{name}"])
    assert rows.files_bytes == len(KINDS[name])


def test_files_by_uri_are_those_of_this_machine(tmp_path):
    (tmp_path / "x y.parquet").write_bytes(parquet())
    rows = open_rows(f"file://{tmp_path}/x%20y.parquet", AB)
    assert collected(rows.batches()) == ROWS
    assert rows.files == [str(tmp_path / "x y.parquet")]
    assert open_rows(f"file://localhost{tmp_path}/x*", AB).rows == 4
    with pytest.raises(UsageError, match="expected a path of this machine"):
        open_rows("file://elsewhere/x.parquet", AB)


def test_folders_globs_and_keys(memory):
    for day in (1, 2, 3):
        memory(f"/d/day={day}/x.csv", b"label,a\n1,2\n")
        memory(f"/d/day={day}/_tmp/y.csv", b"broken")
    memory("/d/day=1/notes.txt", b"what these are")
    schema = parse_fields("a:10,day:5")
    for name, days in (("d", [1, 2, 3]), ("d/day=[13]", [1, 3]), ("d/*/x.csv", [1, 2, 3]), ("d/**/x.csv", [1, 2, 3]),
                       ("d/**/*.csv", [1, 2, 3]), ("d/day=2/*.csv", [2]), ("d/d*=3/x.csv", [3])):  # fmt: skip
        rows = open_rows(f"memory://{name}", schema)
        assert [day for _, day in collected(rows.batches())[0]] == days, name


def test_a_thousand_files(memory):
    """Each is read once, in the order of their names, and parts of them are disjoint."""
    for number in range(1000):
        memory(f"/many/{number:04}.parquet", parquet(pa.table({"label": [number % 2], "n": [number]})))
    rows = open_rows("memory://many", parse_fields("n:1000"))
    assert [n for (n,) in collected(rows.batches())[0]] == list(range(1000))
    assert [n for rank in range(3) for (n,) in collected(rows.part(rank, 3).batches())[0]] == list(range(1000))
    most, held_out = open_training_rows("memory://many/0[01]*", None)
    assert (most.rows, held_out.rows, most.schema.categories) == (190, 10, 200)


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_is_read_from_s3(s3, monkeypatch, name):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    rows = open_rows(f"s3://key:secret@rows/{name}?{s3}", AB)
    assert collected(rows.batches()) == ROWS
    assert collected(rows.batches(order=np.random.default_rng(0)))
    assert rows.files == [f"s3://rows/{name}"]


def test_credentials_of_the_environment_and_folders_of_s3(s3, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    for name in ("days", "days/", "days/day=*", "days/*/*.csv"):
        rows = open_rows(f"s3://rows/{name}?{s3}", parse_fields("a:10,b:4,day:3"))
        assert [day for *_, day in collected(rows.batches())[0]] == [1] * 4 + [2] * 4
    assert open_rows(f"s3a://rows/days/day=1/x%20y.csv?{s3}", AB).rows == 4
    assert open_rows(f"s3://rows/days/day=1/x y.csv?{s3}", AB).rows == 4
    for uri, told in (("rows/none", "no such file or folder"), ("nothing/x", "no bucket 'nothing'"),
                      ("nothing", "no bucket"), ("rows/no*", "no such file")):  # fmt: skip
        with pytest.raises(DataError, match=told) as error:
            open_rows(f"s3://{uri}?{s3}", AB)
        assert str(error.value).startswith(f"s3://{uri.split('*')[0]}")


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("nope://x", r"nope://x: 'nope' is not a file system that is known; file, s3, gs, .*memory"),
        ("memory://none/x.csv", "memory://none/x.csv: no such file or folder"),
        ("s3://key:hidden@rows/x?what=hidden", "s3://rows/x: cannot be reached: .*'what'"),
        ("s3://key:hid/den@rows/x", "s3://rows/x: cannot be reached"),
        ("s3://", "s3://: names no bucket"),
        ("hf", "no such file"),
        ("reference://x", "'reference' is not a file system that is known"),
        ("memory://x::simplecache://y", "memory"),
    ],
)
def test_errors_name_the_uri_in_one_line_without_secrets(uri, told):
    with pytest.raises(DataError, match=told) as error:
        open_rows(uri, AB)
    said = f"{error.value} {error.value.hint}"
    assert "\n" not in said
    assert not re.search("hid|den", said)


def test_a_missing_package_is_named(monkeypatch):
    if find_spec("adlfs") is not None:
        pytest.skip("adlfs is installed")
    with pytest.raises(DataError, match=r"adl://c/x: a package is missing: .*adlfs"):
        open_rows("adl://c/x", AB)


def test_whatever_a_file_system_raises_is_one_line(memory, monkeypatch):
    memory("/b/x.parquet", parquet())
    rows = open_rows("memory://b/x.parquet", AB)

    class OfThePackageError(Exception):
        """What a package raises on its own."""

    def fail(*_args, **_options):
        raise OfThePackageError("the token has expired\nat line 1")

    memory_system = type(fsspec.filesystem("memory"))
    monkeypatch.setattr(memory_system, "_open", fail)
    with pytest.raises(DataError, match=r"memory://b/x.parquet: .*OfThePackageError: the token has expired") as error:
        collected(rows.batches())
    assert "\n" not in str(error.value)
    monkeypatch.setattr(memory_system, "info", fail)
    with pytest.raises(DataError, match=r"memory://b/x.parquet: cannot be reached: .*the token has expired"):
        open_rows("memory://b/x.parquet", AB)


def test_what_vanishes_while_it_is_read(memory):
    for name, content in KINDS.items():
        memory(f"/b/{name}", content)
        rows = open_rows(f"memory://b/{name}", AB, DataOptions())
        fsspec.filesystem("memory").rm(f"/b/{name}")
        with pytest.raises(DataError, match=f"memory://b/{name}: "):
            collected(rows.batches())


def test_footers_that_are_not_kept_are_read_again(memory, monkeypatch):
    monkeypatch.setattr("fmcompress.data.parquet_files._HELD_COLUMNS", 7)  # of one file of the four
    for number in range(4):
        memory(f"/d/{number}.parquet", parquet())
    rows = open_rows("memory://d", AB)
    assert collected(rows.batches()) == (ROWS[0] * 4, ROWS[1] * 4)
    drawn = [row for batch in rows.batches(order=np.random.default_rng(0)) for row in batch.ids.tolist()]
    assert sorted(drawn) == sorted(ROWS[0] * 4)
    memory("/d/0.parquet", parquet(TABLE.slice(0, 1)))
    with pytest.raises(DataError, match=r"memory://d/0.parquet: "):
        collected(rows.batches())
