"""Safetensors files: written so that the library reads them, and read as it would."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from fmcompress.checkpoints.files.safetensors_file import SafetensorsFile, is_safetensors, write_safetensors
from fmcompress.errors import CheckpointError

ARRAYS = {
    "counts": np.arange(3, dtype=np.int64),
    "half": np.ones((2, 3), np.float16),
    "scalar": np.array(0.5, np.float32),
    "turned": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "bytes": np.arange(5, dtype=np.uint8),
    "empty": np.zeros((0, 4), np.float64),
}


def write(path, arrays, texts):
    with path.open("wb") as file:
        write_safetensors(file, arrays, texts)
    return path


def test_what_is_written_is_read_by_the_library_and_here(tmp_path):
    path = write(tmp_path / "a", ARRAYS, {"name": "größe", "a": "b"})
    opened = SafetensorsFile.open(path)
    assert opened.texts == {"name": "größe", "a": "b"}
    library = load_file(path)
    for name, values in ARRAYS.items():
        np.testing.assert_array_equal(library[name], values, strict=True)
        np.testing.assert_array_equal(opened.root[name].read(), values, strict=True)
        assert opened.root[name].shape == values.shape
    opened.close()


def test_the_same_input_gives_the_same_bytes(tmp_path):
    first = write(tmp_path / "a", ARRAYS, {"b": "1", "a": "2"})
    second = write(tmp_path / "b", ARRAYS, {"a": "2", "b": "1"})
    assert first.read_bytes() == second.read_bytes()
    assert int.from_bytes(first.read_bytes()[:8], "little") % 8 == 0


def test_files_of_the_library_are_read(tmp_path):
    save_file({"v": np.ones((2, 2), np.float32)}, tmp_path / "a")
    opened = SafetensorsFile.open(tmp_path / "a")
    assert (opened.texts, list(opened.root)) == ({}, ["v"])
    opened.close()


def test_types_that_no_model_has_are_named(tmp_path):
    save_file({"v": np.array([1j], np.complex64)}, tmp_path / "a")
    opened = SafetensorsFile.open(tmp_path / "a")
    with pytest.raises(CheckpointError, match="a tensor of type C64, expected one of I8"):
        opened.root["v"].read()
    opened.close()


@pytest.mark.parametrize("size_bytes", [0, 8, 9, 40])
def test_files_that_are_cut_off_are_refused(tmp_path, size_bytes):
    data = write(tmp_path / "a", ARRAYS, {}).read_bytes()[:size_bytes]
    (tmp_path / "a").write_bytes(data)
    assert not is_safetensors(data, len(data))
    with pytest.raises(CheckpointError, match="the safetensors file cannot be read"):
        SafetensorsFile.open(tmp_path / "a")
