"""Artifacts on disk: the same model after reading, the same bytes at every writing, mapped and not read."""

import os
import tracemalloc

import numpy as np
import pytest

import fmcompress as fc
from fmcompress.artifact import load, save
from fmcompress.errors import ArtifactError, OutputError
from tests.models import ODD_NAMES, SHAPES, packed, random_ids


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.safetensors"


def base_of(array):
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


@pytest.mark.parametrize("shape", SHAPES)
def test_load_is_the_inverse_of_save(path, shape):
    model = packed(*SHAPES[shape])
    save(model, path)
    found = load(path)
    assert (found.header, found.bias) == (model.header, model.bias)
    np.testing.assert_array_equal(found.values, model.values)
    np.testing.assert_array_equal(found.codes, model.codes)
    assert model.file_bytes == found.file_bytes == path.stat().st_size


def test_names_of_any_unicode_go_there_and_back(path):
    packed(2, *["3 raw raw"] * len(ODD_NAMES), names=ODD_NAMES).save(path)
    assert fc.load(path).schema.names == ODD_NAMES


def test_the_same_model_gives_the_same_bytes(path, tmp_path):
    packed(*SHAPES["mixed"]).save(path)
    packed(*SHAPES["mixed"]).save(tmp_path / "b")
    load(path).save(tmp_path / "c")
    assert path.read_bytes() == (tmp_path / "b").read_bytes() == (tmp_path / "c").read_bytes()


def test_values_and_codes_are_views_of_the_mapped_file(path):
    packed(*SHAPES["mixed"]).save(path)
    model = load(path)
    for array in (model.values, model.codes):
        assert isinstance(base_of(array), np.memmap)
        assert not array.flags.writeable
    assert not model.values.flags.owndata


def test_loading_takes_little_memory_of_its_own(path):
    packed(16, "200000 raw raw", "100000 8x3 raw").save(path)
    tracemalloc.start()
    model = load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert model.file_bytes > 6_500_000
    assert peak < 2_500_000


def test_a_model_outlives_the_file_that_takes_its_place(path):
    old, new = packed(*SHAPES["many raw rows"], seed=1), packed(*SHAPES["many raw rows"], seed=2)
    old.save(path)
    model = load(path)
    new.save(path, force=True)
    ids = random_ids(old.schema, 50)
    np.testing.assert_array_equal(model.predict(ids), old.predict(ids))
    np.testing.assert_array_equal(load(path).predict(ids), new.predict(ids))
    path.unlink()
    np.testing.assert_array_equal(model.values, old.values)


def test_a_mapped_model_can_take_the_place_of_its_own_file(path):
    packed(*SHAPES["mixed"]).save(path)
    before = path.read_bytes()
    load(path).save(path, force=True)
    assert path.read_bytes() == before


def test_an_existing_file_is_kept_unless_forced(path):
    path.write_text("precious")
    with pytest.raises(OutputError, match="exists"):
        packed(2, "3 raw raw").save(path)
    assert path.read_text() == "precious"
    assert list(path.parent.iterdir()) == [path]


def test_what_is_no_file_is_refused(tmp_path):
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    for name, reason in {
        "missing": "no such file",
        "dangling": "no such file",
        "": "is not a file",
        "pipe": "is not a file",
        "empty": "cannot be read: it is empty",
        "n" * 300: "cannot be read: File name too long",
        "nul\0byte": "no such file",
    }.items():
        with pytest.raises(ArtifactError, match=reason) as caught:
            load(tmp_path / name)
        assert str(caught.value).startswith(str(tmp_path))
        assert "\n" not in str(caught.value)
