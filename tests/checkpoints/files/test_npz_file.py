"""Arrays of numpy in one file: stored and deflated, of any layout; and files that lie about their sizes."""

import io
import zipfile

import numpy as np
import pytest

from fmcompress.checkpoints import load_checkpoint
from fmcompress.errors import CheckpointError
from tests.checkpoints.limits import refused
from tests.checkpoints.samples import FIELDS

RNG = np.random.default_rng(0)
V, W = RNG.normal(size=(5, 4)), RNG.normal(size=5).astype(np.float32)
GIVEN = {"fields": "a:3,b:2", "keys": "v=V,w=w,b=b"}


def check(ckpt):
    np.testing.assert_array_equal(ckpt.embeddings, V.astype(np.float32))
    np.testing.assert_array_equal(ckpt.linear, W)
    assert (ckpt.bias, ckpt.source.tool) == (-0.5, "own model")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("table", [V, np.asfortranarray(V), V.astype(">f8"), V.T, np.repeat(V, 2, axis=0)[::2]])
def test_arrays_of_any_layout(tmp_path, save, table):
    save(tmp_path / "fm.npz", V=table, w=W, b=-0.5, steps=np.arange(3), empty=np.zeros((0, 3), np.int8))
    check(load_checkpoint(tmp_path / "fm.npz", **GIVEN))


def test_known_keys_and_prefixes(tmp_path):
    table = np.arange(92, dtype=np.float16).reshape(23, 4)
    state = {"embedding.embedding.weight": table, "linear.fc.weight": table[:, :1], "linear.bias": np.ones(1)}
    np.savez(tmp_path / "fm.npz", **{f"model.{key}": value for key, value in state.items()})
    ckpt = load_checkpoint(tmp_path / "fm.npz", fields=FIELDS)
    np.testing.assert_array_equal(ckpt.embeddings, table)
    assert ckpt.source.tool == "pytorch-fm"


@pytest.mark.parametrize("other", [np.array(["a"]), np.array([None]), np.zeros(2, "i4,f4"), np.zeros(2, "M8[s]")])
def test_arrays_of_no_numbers_are_named(tmp_path, other):
    np.savez(tmp_path / "fm.npz", V=V, other=other)
    with pytest.raises(CheckpointError, match=r"its array other\.npy holds no plain numbers, but type"):
        load_checkpoint(tmp_path / "fm.npz", **GIVEN)


def written(path, header, data=b"", compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        text = header.encode("latin1")
        file.writestr("V.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data)
    return path


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (5, 4), }", "has 40 bytes, expected 80"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 1099511627776), }", "has 40 bytes"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (" + "1, " * 40 + "), }", "no plain numbers"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (-5, 4), }", "no plain numbers"),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (5, 4), }", r"but type '\|O|but type \|O"),
        ("__import__('os').system('true')", "a header that no array has"),
        ("(" * 9000, "a header that no array has"),
    ],
)
def test_headers_that_lie_are_refused(tmp_path, header, message):
    path = written(tmp_path / "fm.npz", header, bytes(40))
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path, **GIVEN)


def test_bombs_are_not_unpacked(tmp_path):
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (16777216,), }"
    path = written(tmp_path / "fm.npz", header, bytes(2**26), zipfile.ZIP_DEFLATED)
    refused(path, mebibytes=8, message=r"its arrays of 67,1\d\d,\d\d\d bytes are in a file")


def test_truncated_files_are_refused(tmp_path):
    for save in (np.savez, np.savez_compressed):
        target = io.BytesIO()
        save(target, V=V, w=W, b=-0.5)
        data = target.getvalue()
        for size in range(4, len(data) - 1, 17):
            (tmp_path / "fm.npz").write_bytes(data[:size])
            with pytest.raises(CheckpointError):
                load_checkpoint(tmp_path / "fm.npz", **GIVEN)
