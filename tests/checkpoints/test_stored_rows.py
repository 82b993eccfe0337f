"""Rows of stored tensors, read without the rest of them, out of files of every kind."""

import io
import pickle
import zipfile
from contextlib import closing

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from fmcompress.checkpoints import stored_rows
from fmcompress.checkpoints.checkpoint_file import CheckpointFile
from fmcompress.errors import CheckpointError

PARTS = [(0, 0), (0, 1), (3, 9), (0, 24), (23, 24), (24, 24)]


def table(rows=24, dim=5, dtype=np.float32):
    return np.arange(rows * dim).reshape(rows, dim).astype(dtype)


def check(path, *, held=False):
    """Check that parts of all tensors of a file are what the whole tensors say."""
    with closing(CheckpointFile(path)) as file:
        (part,) = file.parts
        whole = {key: tensor.read() for key, tensor in part.tensors.items()}
        for tensor in part.tensors.values() if held else ():
            tensor.hold()
        if not held:
            check_parts(part.tensors, whole)
    if held:
        check_parts(part.tensors, whole)


def check_parts(tensors, whole):
    for key, tensor in tensors.items():
        for start, stop in PARTS:
            rows = tensor.read_rows(start, stop)
            np.testing.assert_array_equal(rows, whole[key][start:stop], strict=True)
            assert (rows.flags.c_contiguous and rows.flags.owndata) or rows.base is not None
        for start, stop in [(-1, 3), (3, 2), (0, 25)]:
            with pytest.raises(IndexError):
                tensor.read_rows(start, stop)


def torch_tensors():
    base = torch.from_numpy(table())
    return {
        "plain": base.clone(),
        "turned": torch.from_numpy(table(5, 24)).T,
        "row_of_wider": torch.from_numpy(table(24, 7))[:, 1:6],
        "column": torch.from_numpy(table(24, 7))[:, 3],
        "every_second": torch.from_numpy(table(48, 5))[1::2],
        "deep": torch.arange(24 * 6).reshape(24, 2, 3),
        "deep_turned": torch.arange(24 * 6).reshape(3, 2, 24).permute(2, 1, 0),
        "half": base.half(),
        "bfloat16": base.bfloat16(),
        "float8": base.to(torch.float8_e4m3fn),
    }


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("at_once", [2**22, 8])
def test_torch_files(tmp_path, monkeypatch, held, at_once):
    monkeypatch.setattr(stored_rows, "_MOST_AT_ONCE", at_once)
    torch.save(torch_tensors(), tmp_path / "fm.pt")
    check(tmp_path / "fm.pt", held=held)


@pytest.mark.parametrize("held", [False, True])
def test_safetensors_files(tmp_path, held):
    save_file({key: values.contiguous() for key, values in torch_tensors().items()}, tmp_path / "fm.safetensors")
    check(tmp_path / "fm.safetensors", held=held)


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_files(tmp_path, save, held):
    turned = np.asfortranarray(table())
    save(tmp_path / "fm.npz", v=table(), turned=turned, w=np.arange(24, dtype=">f8"), deep=np.ones((24, 2, 2), "i2"))
    check(tmp_path / "fm.npz", held=held)


def test_pickles(tmp_path):
    (tmp_path / "fm.pkl").write_bytes(pickle.dumps({"v": table(), "w": table()[:, 0], "f": np.asfortranarray(table())}))
    check(tmp_path / "fm.pkl", held=True)


def test_no_more_is_read_than_the_rows(tmp_path, monkeypatch):
    """Of a table that lies as it should, the bytes of the rows alone; of a turned one, those of each column."""
    read = []
    values = table()

    def read_into(place, into):
        read.append((place, len(into)))
        into[:] = np.frombuffer(values.tobytes(), np.uint8)[place : place + len(into)]

    kind = stored_rows.NumberType("<f4", lambda elements: elements, is_float=True)
    rows = stored_rows.read_rows(read_into, stored_rows.Layout.dense(kind, 0, (24, 5)), 3, 9)
    np.testing.assert_array_equal(rows, values[3:9])
    assert read == [(60, 120)]
    read.clear()
    rows = stored_rows.read_rows(read_into, stored_rows.Layout.dense(kind, 0, (24, 5), fortran=True), 3, 9)
    np.testing.assert_array_equal(rows, values.reshape(5, 24).T[3:9])
    assert read == [(12 + 96 * column, 24) for column in range(5)]


def test_damage_is_found_when_rows_are_read(tmp_path):
    buffer = io.BytesIO()
    torch.save({"v": torch.from_numpy(table())}, buffer)
    data = bytearray(buffer.getvalue())
    data[data.index(table().tobytes()) + 400] ^= 1  # not in the rows that are read, but in their entry
    (tmp_path / "fm.pt").write_bytes(data)
    with closing(CheckpointFile(tmp_path / "fm.pt")) as file, pytest.raises(CheckpointError, match="CRC-32"):
        file.parts[0].tensors["v"].read_rows(0, 2)


def test_entries_that_are_compressed_are_refused(tmp_path):
    torch.save({"v": torch.from_numpy(table())}, tmp_path / "stored.pt")
    with zipfile.ZipFile(tmp_path / "stored.pt") as old, zipfile.ZipFile(tmp_path / "fm.pt", "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name), zipfile.ZIP_DEFLATED if "/data/" in name else zipfile.ZIP_STORED)
    with closing(CheckpointFile(tmp_path / "fm.pt")) as file, pytest.raises(CheckpointError, match="compressed"):
        file.parts[0].tensors["v"].read_rows(0, 2)


def test_files_that_are_closed_or_cut_off_meanwhile_are_an_error(tmp_path):
    save_file({"v": torch.from_numpy(table())}, tmp_path / "fm.safetensors")
    with closing(CheckpointFile(tmp_path / "fm.safetensors")) as file:
        tensor = file.parts[0].tensors["v"]
        with (tmp_path / "fm.safetensors").open("r+b") as opened:
            opened.truncate(200)
        with pytest.raises(CheckpointError, match="it ends in the middle"):
            tensor.read_rows(0, 24)
    with pytest.raises(CheckpointError, match="the file is closed"):
        tensor.read_rows(0, 1)
