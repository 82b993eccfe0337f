"""Our own checkpoints, there and back."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from fmcompress.checkpoints import FMCheckpoint, check_saveable, load_checkpoint, save_checkpoint
from fmcompress.checkpoints.files.safetensors_file import write_safetensors
from fmcompress.errors import CheckpointError, OutputError
from fmcompress.fm.field_specs import parse_fields
from fmcompress.fm.schema import Schema
from tests import kinds
from tests.checkpoints.samples import small_checkpoint

SUFFIXES = [".pt", ".safetensors"]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("counts", [True, False])
def test_round_trip_is_exact(tmp_path, suffix, counts):
    ckpt = small_checkpoint(counts=counts)
    path = tmp_path / f"fm{suffix}"
    save_checkpoint(ckpt, path)
    loaded = load_checkpoint(path)
    assert (loaded.schema, loaded.bias, loaded.link) == (ckpt.schema, ckpt.bias, ckpt.link)
    for name in ("linear", "embeddings", "counts"):
        before, after = getattr(ckpt, name), getattr(loaded, name)
        if before is None:
            assert after is None
        else:
            assert after.dtype == before.dtype
            np.testing.assert_array_equal(after, before)
    assert (loaded.source.tool, loaded.source.name) == ("fmcompress", path.name)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_same_checkpoint_gives_the_same_bytes(tmp_path, suffix):
    paths = [tmp_path / f"first{suffix}", tmp_path / f"the second{suffix}"]
    for path in paths:
        save_checkpoint(small_checkpoint(), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_content_decides_not_the_suffix(tmp_path, suffix):
    save_checkpoint(small_checkpoint(), tmp_path / f"fm{suffix}")
    renamed = (tmp_path / f"fm{suffix}").rename(tmp_path / "model.h5")
    assert load_checkpoint(renamed).dim == 3


def test_torch_reads_ours_with_weights_only(tmp_path):
    torch = pytest.importorskip("torch")
    ckpt = small_checkpoint()
    save_checkpoint(ckpt, tmp_path / "fm.pt")
    loaded = torch.load(tmp_path / "fm.pt", weights_only=True)
    np.testing.assert_array_equal(loaded["embeddings"].numpy(), ckpt.embeddings)
    assert loaded["linear"].shape == (7,)
    assert loaded["bias"].shape == ()
    assert loaded["counts"].dtype == torch.int64
    assert json.loads(loaded["fmcompress"]) == {
        "version": 1,
        "fields": [["user", 4], ["größe", 3]],
        "link": "sigmoid",
    }


def test_safetensors_library_reads_ours(tmp_path):
    from safetensors.numpy import load_file

    ckpt = small_checkpoint()
    save_checkpoint(ckpt, tmp_path / "fm.safetensors")
    loaded = load_file(tmp_path / "fm.safetensors")
    assert set(loaded) == {"embeddings", "linear", "bias", "counts"}
    np.testing.assert_array_equal(loaded["counts"], ckpt.counts)


def test_bias_beyond_float32_is_not_saved_as_infinite(tmp_path):
    with pytest.raises(CheckpointError, match="too large for float32"):
        save_checkpoint(dataclasses.replace(small_checkpoint(), bias=1e300), tmp_path / "fm.pt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_read_only_and_strided_arrays_are_saved(tmp_path, suffix):
    ckpt = small_checkpoint()
    wide = np.repeat(ckpt.embeddings, 2, axis=1)[:, ::2]
    linear = ckpt.linear.copy()
    linear.flags.writeable = False
    save_checkpoint(dataclasses.replace(ckpt, embeddings=wide, linear=linear), tmp_path / f"fm{suffix}")
    np.testing.assert_array_equal(load_checkpoint(tmp_path / f"fm{suffix}").embeddings, ckpt.embeddings)


def test_given_names_replace_the_files(tmp_path):
    save_checkpoint(small_checkpoint(), tmp_path / "fm.pt")
    names = Schema.of([("a", 4), ("b", 3)])
    assert load_checkpoint(tmp_path / "fm.pt", fields=names).schema == names
    with pytest.raises(CheckpointError, match="its fields have 4, 3 categories, but --fields says 3, 4"):
        load_checkpoint(tmp_path / "fm.pt", fields=Schema.of([("a", 3), ("b", 4)]))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_existing_file_is_kept_unless_forced(tmp_path, suffix):
    path = tmp_path / f"fm{suffix}"
    path.write_text("precious")
    with pytest.raises(OutputError, match="exists") as caught:
        save_checkpoint(small_checkpoint(), path)
    assert "--force" in caught.value.hint
    assert path.read_text() == "precious"
    save_checkpoint(small_checkpoint(), path, force=True)
    assert load_checkpoint(path).dim == 3
    assert list(tmp_path.iterdir()) == [path]


def test_unknown_suffix_is_found_before_the_training(tmp_path):
    with pytest.raises(OutputError, match=r"'\.h5', expected \.pt or \.safetensors"):
        check_saveable(tmp_path / "fm.h5")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_full_disk_is_an_output_error(tmp_path, suffix, monkeypatch):
    real_open = Path.open

    def full(path, mode="r", *args, **kwargs):
        return open("/dev/full", "wb") if mode == "xb" else real_open(path, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OutputError, match="No space left") as caught:
        save_checkpoint(large_checkpoint(), tmp_path / f"fm{suffix}")
    assert "space" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("limit_bytes", [100, 100_000, 1_600_000])
def test_disk_that_fills_up_on_the_way_leaves_nothing(tmp_path, suffix, limit_bytes):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, before[1]))
    try:
        with pytest.raises(OutputError, match="File too large"):
            save_checkpoint(large_checkpoint(), tmp_path / f"fm{suffix}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def large_checkpoint():
    return FMCheckpoint(
        schema=Schema.of([("user", 50_000)]),
        bias=0.0,
        linear=np.zeros(50_000, np.float32),
        embeddings=np.ones((50_000, 8), np.float32),
    )


def labelled(tmp_path, label, **tensors):
    arrays = {
        "embeddings": np.ones((7, 3), np.float32),
        "linear": np.ones(7, np.float32),
        "bias": np.array(0, np.float32),
    }
    path = tmp_path / "fm.safetensors"
    text = label if isinstance(label, str) else json.dumps(label)
    with path.open("wb") as file:
        write_safetensors(file, {**arrays, **tensors}, {"fmcompress": text})
    return path


GOOD = {"version": 1, "fields": [["user", 4], ["item", 3]], "link": "sigmoid"}


def test_sample_of_the_next_tests_is_good(tmp_path):
    assert load_checkpoint(labelled(tmp_path, GOOD)).schema.names == ("user", "item")


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ({**GOOD, "version": 2}, "version 2, this fmcompress reads version 1"),
        ({"schema_version": 1, "dim": 4}, "it is an artifact of fmcompress"),
        ({**GOOD, "version": "one"}, "description cannot be read"),
        ({**GOOD, "fields": 3}, "description cannot be read"),
        ({**GOOD, "fields": [["user", 4, 5]]}, "description cannot be read"),
        ({**GOOD, "fields": [["user", 10**40]]}, "description cannot be read"),
        ({**GOOD, "fields": [["user", True]]}, "description cannot be read"),
        ({**GOOD, "fields": [["user", 4], ["user", 3]]}, "two fields are named 'user'"),
        ({**GOOD, "fields": [["user", 4]]}, "7 rows, but its fields have 4 categories"),
        ({**GOOD, "link": "cubic"}, "link is 'cubic'"),
        ({"version": 1}, "description cannot be read"),
        ("[" * 100_000, "description cannot be read"),
        ("[]", "description cannot be read"),
    ],
)
def test_bad_descriptions_are_refused(tmp_path, label, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(labelled(tmp_path, label))
    assert str(caught.value).startswith("fm.safetensors: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"linear": np.ones(6, np.float32)}, r"linear weights have shape \(6,\), expected \(7,\)"),
        ({"linear": np.ones(7, np.float64)}, "'linear' has type float64, expected float32"),
        ({"embeddings": np.ones(7, np.float32)}, r"embeddings have shape \(7,\)"),
        ({"bias": np.array(np.nan, np.float32)}, "bias is nan"),
        ({"counts": np.full(7, -1, np.int64)}, "counts are not 7 numbers of 0 or more"),
        ({"mlp.0.weight": np.ones(7, np.float32)}, r"it also holds 'mlp\.0\.weight'"),
    ],
)
def test_bad_tensors_are_refused(tmp_path, tensors, message):
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(labelled(tmp_path, GOOD, **tensors))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("link", ["probit", "identity", "clip:1:5"])
def test_fields_of_all_kinds_links_and_vocabularies_are_kept(tmp_path, suffix, link):
    ckpt = kinds.checkpoint(link)
    save_checkpoint(ckpt, tmp_path / f"fm{suffix}")
    loaded = load_checkpoint(tmp_path / f"fm{suffix}")
    assert (loaded.schema, loaded.link) == (ckpt.schema, link)
    np.testing.assert_array_equal(loaded.numeric.linear, ckpt.numeric.linear)
    np.testing.assert_array_equal(loaded.numeric.embeddings, ckpt.numeric.embeddings)
    assert loaded.vocabulary.fields.keys() == ckpt.vocabulary.fields.keys()
    for name, before in ckpt.vocabulary.fields.items():
        after = loaded.vocabulary.fields[name]
        assert dict(zip(after.tokens, after.ids, strict=True)) == dict(zip(before.tokens, before.ids, strict=True))
        assert (after.oov, after.missing) == (before.oov, before.missing)


def test_other_names_leave_pad_and_shared_tables_as_they_are(tmp_path):
    save_checkpoint(kinds.checkpoint(vocabulary=False), tmp_path / "fm.pt")
    fields = parse_fields("cost:numeric,u:40,b=i,i:60,years:linear,s=i,c:7")
    loaded = load_checkpoint(tmp_path / "fm.pt", fields=fields).schema
    assert loaded.order == fields.order
    assert [field.pad for field in loaded.fields] == [0, None, 6]
    assert [field.table for field in loaded.shared] == ["i", "i"]
