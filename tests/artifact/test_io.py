"""Artifacts on disk: the same model after reading, the same bytes at every writing, in memory or mapped."""

import json
import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

import fmcompress as fc
from fmcompress.artifact import Quality, save
from fmcompress.artifact.header import encode
from fmcompress.artifact.metadata import UNSEALED
from fmcompress.errors import ArtifactError, OutputError
from fmcompress.serve.compressed_fm import load
from tests.models import EVERY_SHAPE, ODD_NAMES, SHAPES, TIERED_SHAPES, packed, random_ids

from .crafted import sealed


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.safetensors"


def base_of(array):
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


@pytest.mark.parametrize("shape", EVERY_SHAPE)
def test_load_is_the_inverse_of_save(path, shape):
    model = packed(*EVERY_SHAPE[shape])
    save(model, path)
    found = load(path)
    assert (found.header, found.bias) == (model.header, model.bias)
    np.testing.assert_array_equal(found.values, model.values)
    np.testing.assert_array_equal(found.codes, model.codes)
    assert model.file_bytes == found.file_bytes == path.stat().st_size


def test_the_first_artifacts_are_still_read(path):
    """They say how many codewords each subspace has, and name what is now left out."""
    model = packed(4, "9 b21 raw", "2 raw raw")
    layout = {"bias": ("F32", 1, 4), "values": ("F16", model.values.size, 2), "codes": ("U8", model.codes.size, 1)}
    metadata = {
        **json.loads(encode(model.header, UNSEALED)),
        "fields": [["f0", "cat", 9, "4,2", "raw", 0.00123], ["f1", "cat", 2, "raw", "raw", -1.23e-05]],
        "libraries": {"numpy": "2.4.6"},
        "link": "sigmoid",
        "quality": {"source": [10, 0.801234, 0.456789]},
    }
    header, start = {"__metadata__": {"fmcompress": json.dumps(metadata)}}, 0
    for name, (dtype, size, width) in layout.items():
        header[name] = {"dtype": dtype, "shape": [size], "data_offsets": [start, start := start + size * width]}
    raw = json.dumps(header).encode()
    payload = np.float32(model.bias).tobytes() + model.values.tobytes() + model.codes.tobytes()
    path.write_bytes(sealed(len(raw).to_bytes(8, "little") + raw + payload))
    found = load(path)
    assert found.header.quantizers == model.header.quantizers
    assert found.header.errors == (0.00123, -1.23e-05)
    assert found.header.origin.libraries == {"numpy": "2.4.6"}
    assert found.header.origin.quality == {"source": Quality(10, 0.801234, 0.456789)}
    np.testing.assert_array_equal(found.predict([[8, 1]]), model.predict([[8, 1]]))


def test_names_of_any_unicode_go_there_and_back(path):
    packed(2, *["3 raw raw"] * len(ODD_NAMES), names=ODD_NAMES).save(path)
    assert fc.load(path).schema.names == ODD_NAMES


@pytest.mark.parametrize("shape", ["mixed", *TIERED_SHAPES])
def test_the_same_model_gives_the_same_bytes(path, tmp_path, shape):
    packed(*EVERY_SHAPE[shape]).save(path)
    packed(*EVERY_SHAPE[shape]).save(tmp_path / "b")
    load(path).save(tmp_path / "c")
    assert path.read_bytes() == (tmp_path / "b").read_bytes() == (tmp_path / "c").read_bytes()


def test_values_and_codes_are_views_of_the_file_or_of_one_copy_of_it(path):
    packed(*SHAPES["mixed"]).save(path)
    mapped, read = load(path, map=True), load(path)
    assert isinstance(base_of(mapped.values), np.memmap)
    assert base_of(read.values) is base_of(read.codes)
    for array in (mapped.values, mapped.codes, read.values, read.codes):
        assert not array.flags.writeable
        assert not array.flags.owndata


@pytest.mark.parametrize("mapped", [False, True])
def test_loading_takes_little_memory_beside_the_file(path, mapped):
    packed(16, "200000 raw raw", "70000 8x3 raw | 30000 raw:8 raw").save(path)
    tracemalloc.start()
    model = load(path, map=mapped)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert model.file_bytes > 7_500_000
    assert peak < 2_500_000 + (0 if mapped else model.file_bytes)


OVERWRITTEN = """
import os, sys
import numpy as np
import fmcompress

path, act = sys.argv[1:]
ids = np.arange(50)[:, None] % fmcompress.load(path).schema.cardinalities
expected = fmcompress.load(path).predict(ids)
model = fmcompress.load(path)
if act == "cut":
    os.truncate(path, 100)
else:
    with open(path, "r+b") as file:
        file.write(b"x" * os.path.getsize(path))
assert (model.predict(ids) == expected).all()
assert model.save(path + ".again") is None
assert (fmcompress.load(path + ".again").predict(ids) == expected).all()
"""


@pytest.mark.parametrize("act", ["cut", "overwritten"])
def test_what_happens_to_the_file_does_not_reach_the_model(path, act):
    packed(16, "20000 raw raw", "7000 8x3 raw | 3000 raw:8 raw", "40 2x16 shared").save(path)
    done = subprocess.run([sys.executable, "-c", OVERWRITTEN, path, act], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("mapped", [False, True])
def test_a_model_outlives_the_file_that_takes_its_place(path, mapped):
    old, new = packed(*SHAPES["many raw rows"], seed=1), packed(*SHAPES["many raw rows"], seed=2)
    old.save(path)
    model = load(path, map=mapped)
    new.save(path, force=True)
    ids = random_ids(old.schema, 50)
    np.testing.assert_array_equal(model.predict(ids), old.predict(ids))
    np.testing.assert_array_equal(load(path).predict(ids), new.predict(ids))
    path.unlink()
    np.testing.assert_array_equal(model.values, old.values)


def test_a_mapped_model_can_take_the_place_of_its_own_file(path):
    packed(*SHAPES["mixed"]).save(path)
    before = path.read_bytes()
    load(path, map=True).save(path, force=True)
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
