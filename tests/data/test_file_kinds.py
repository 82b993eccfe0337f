"""What is given as data and is none says what it is, and what to give; what is data is told by its content."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import tarfile
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.numpy import save

from fmcompress.data.file_kinds import kind_of
from fmcompress.data.rows import open_rows
from fmcompress.data.stored_files import LocalFile
from fmcompress.errors import DataError
from tests.data.rows import AB

TABLE = pa.table({"label": [1], "a": [1], "b": [1]})
CSV = b"label,a,b\n1,1,1\n"


def written(write):
    sink = io.BytesIO()
    write(sink)
    return sink.getvalue()


def zipped(name, content=CSV):
    def write(sink):
        with zipfile.ZipFile(sink, "w") as archive:
            archive.writestr(name, content)

    return written(write)


def tarred(sink):
    with tarfile.open(fileobj=sink, mode="w:gz") as archive:
        member = tarfile.TarInfo("x.csv")
        member.size = len(CSV)
        archive.addfile(member, io.BytesIO(CSV))


def arrow_stream(sink):
    with pa.ipc.new_stream(sink, TABLE.schema) as writer:
        writer.write_table(TABLE)


FOREIGN = {
    "x.zip": (zipped("x.csv"), "a zip archive", "unpack it"),
    "x.csv.zip": (zipped("x.csv"), "a zip archive", "unpack it"),
    "x.xlsx": (zipped("[Content_Types].xml", b"<xml>"), "an Excel workbook", "CSV"),
    "x.xls": (b"\xd0\xcf\x11\xe0" + bytes(100), "an Excel workbook", "CSV"),
    "x.pt": (written(lambda sink: torch.save({"w": torch.zeros(1)}, sink)), "a checkpoint of torch", "give rows"),
    "x.npz": (written(lambda sink: np.savez(sink, a=np.zeros(3))), "an archive of numpy", "Parquet or CSV"),
    "x.npy": (written(lambda sink: np.save(sink, np.zeros(3))), "an array of numpy", "Parquet or CSV"),
    "x.safetensors": (save({"w": np.zeros(3)}), "a file of safetensors", "give rows"),
    "x.feather": (
        written(lambda sink: pa.feather.write_feather(TABLE, sink)),
        "an Arrow or Feather file",
        "read_feather",
    ),
    "x.arrow": (written(arrow_stream), "a stream of Arrow", "write_table"),
    "x.orc": (written(lambda sink: pa.orc.write_table(TABLE, sink)), "an ORC file", "read_orc"),
    "x.avro": (b"Obj\x01" + bytes(50), "an Avro file", "Parquet"),
    "x.h5": (b"\x89HDF\r\n\x1a\n" + bytes(50), "an HDF5 file", "read_hdf"),
    "x.db": (b"SQLite format 3\0" + bytes(50), "an SQLite database", "Parquet or CSV"),
    "x.pkl": (pickle.dumps({"a": [1]}), "a pickle", "read_pickle"),
    "x.jsonl": (b'{"label": 1, "a": 1}\n{"label": 0, "a": 2}\n', "JSON", r"lines=True"),
    "x.json": (json.dumps([{"label": 1}]).encode(), "JSON", r"read_json\(FILE\)"),
    "x.jsonl.gz": (gzip.compress(b'{"label": 1}\n'), "JSON, compressed by gzip", "Parquet"),
    "x.parquet.gz": (gzip.compress(b"PAR1" + bytes(100)), "a Parquet file, compressed by gzip", "unpack it"),
    "x.tar.gz": (written(tarred), "a tar archive, compressed by gzip", "unpack it"),
    "x.csv.xz": (lzma.compress(CSV), "an xz archive", "unpack it"),
    "x.csv.7z": (b"7z\xbc\xaf\x27\x1c" + bytes(50), "a 7-Zip archive", "unpack it"),
    "x.csv": (CSV.decode().encode("utf-16"), "text in UTF-16", "UTF-8"),
    "x.html": (b"<!DOCTYPE html><html>sign in", "a page of HTML", "give rows"),
    "lfs.parquet": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        "a pointer of Git LFS",
        "git lfs pull",
    ),
    "twice.csv.gz": (gzip.compress(gzip.compress(CSV)), "compressed itself, compressed by gzip", "unpack it once"),
    "blanks.txt": (b"label a b\n1 1 1\n", "text that begins with 'label a b'", "commas, tabs"),
    "nul.csv": (b"label,a,b\n1,\x00,1\n", "no text, as its name says", "UTF-8"),
    "le.csv": (CSV.decode().encode("utf-16-le"), "no text, as its name says", "UTF-8"),
    "broken.csv.gz": (b"\x1f\x8b" + bytes(50), "broken: it begins as gzip does", None),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_files_that_are_no_data(text, name):
    content, what, remedy = FOREIGN[name]
    with pytest.raises(DataError, match=rf"{name}: is {what}") as error:
        open_rows(text(content, name=name), AB)
    if remedy is not None:
        assert pa.compute.match_substring_regex(error.value.hint, remedy).as_py()


def parquet():
    return written(lambda sink: pq.write_table(TABLE, sink))


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("x.csv", parquet(), "parquet"),
        ("x", CSV, "csv"),
        ("x.parquet", CSV, "csv"),
        ("x.txt", b"label\ta\tb\n", "csv"),
        ("x.dat", b"1 1:1 2:1\n", "libsvm"),
        ("x.csv", b"1 1:1 2:1\n", "libsvm"),
        ("x.txt", b"# by hand\n\n-1\tqid:3 1:1\n", "libsvm"),
        ("x.txt", b"label features\n1 1:1\n", "libsvm"),
        ("x.libsvm", b"what is this\n", "libsvm"),
        ("x.libsvm", b"", "libsvm"),
        ("x.csv", b"", "csv"),
        ("x.csv.gz", gzip.compress(b"", mtime=0), "csv"),
        ("x.svm.gz", gzip.compress(b"", mtime=0), "libsvm"),
        ("x.csv", b"a\n1\n", "csv"),
        ("x.gz", gzip.compress(CSV, mtime=0), "csv"),
        ("x.csv", bz2.compress(b"1 1:1\n"), "libsvm"),
        ("x", b"\x02\0\0\0" + bytes(range(200)), "other"),
        ("x.parquet", b"", "other"),
    ],
)
def test_content_tells_what_a_file_is(text, name, content, kind):
    assert kind_of(LocalFile(text(content, name=name))) == kind


def test_files_that_are_not_there(tmp_path):
    assert kind_of(LocalFile(tmp_path / "none.csv")) == "other"
    assert kind_of(LocalFile(tmp_path)) == "other"
