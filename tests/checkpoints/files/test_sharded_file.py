"""Safetensors in shards with an index: found, checked, and read as one file is."""

import json
from contextlib import closing

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from fmcompress.checkpoints import load_checkpoint, save_checkpoint
from fmcompress.checkpoints.checkpoint_file import CheckpointFile
from fmcompress.checkpoints.model_files import stored_bytes
from fmcompress.errors import CheckpointError
from tests.checkpoints.samples import small_checkpoint

INDEX = "model.safetensors.index.json"
V, W, B = np.arange(69, dtype=np.float32).reshape(23, 3), np.arange(23, dtype=np.float32)[:, None], np.ones(1, "f4")
PYTORCH_FM = {"embedding.embedding.weight": V, "linear.fc.weight": W, "linear.bias": B}
FIELDS = "user:7,item:5,cat:11"


def write_shards(folder, shards, *, texts=None, metadata=None, index=INDEX, **changed):
    """Write shards, each of some tensors, as huggingface names them, and their index; entries of it may be changed."""
    folder.mkdir(exist_ok=True)
    places = {}
    for number, tensors in enumerate(shards, start=1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        save_file(tensors, folder / name, texts)
        places |= dict.fromkeys(tensors, name)
    found = {"metadata": {"total_size": 1, **(metadata or {})}, "weight_map": {**places, **changed}}
    (folder / index).write_text(json.dumps(found))
    return folder


def two_shards(folder, **changed):
    items = list(PYTORCH_FM.items())
    return write_shards(folder, [dict(items[:1]), dict(items[1:])], **changed)


@pytest.mark.parametrize("given", ["", INDEX])
def test_shards_are_read_as_one_state_dict(tmp_path, given):
    path = two_shards(tmp_path / "model") / given
    ckpt = load_checkpoint(path, fields=FIELDS)
    assert (ckpt.source.tool, ckpt.source.name, ckpt.bias) == ("pytorch-fm", path.name, 1)
    np.testing.assert_array_equal(ckpt.embeddings, V)
    np.testing.assert_array_equal(ckpt.linear, W[:, 0])
    assert stored_bytes(path) == sum(file.stat().st_size for file in (tmp_path / "model").iterdir())
    # The weights are in the digest, though another file holds them.
    before = ckpt.source.sha256
    shard = tmp_path / "model" / "model-00002-of-00002.safetensors"
    save_file({"linear.fc.weight": W, "linear.bias": B + 1}, shard)
    assert load_checkpoint(path, fields=FIELDS).source.sha256 != before


@pytest.mark.parametrize("where", ["texts", "metadata"])
def test_our_own_checkpoints_are_known_by_their_label(tmp_path, where):
    ckpt = small_checkpoint()
    save_checkpoint(ckpt, tmp_path / "fm.safetensors")
    with closing(CheckpointFile(tmp_path / "fm.safetensors")) as file:
        tensors = {key: tensor.read() for key, tensor in file.tensor_file.root.items()}
        label = {"fmcompress": file.text("fmcompress")}
    folder = write_shards(tmp_path / "shards", [{key: values} for key, values in tensors.items()], **{where: label})
    loaded = load_checkpoint(folder)
    assert (loaded.schema, loaded.link, loaded.source.tool) == (ckpt.schema, ckpt.link, "fmcompress")
    np.testing.assert_array_equal(loaded.embeddings, ckpt.embeddings)
    np.testing.assert_array_equal(loaded.counts, ckpt.counts)


def test_tables_of_fields_lie_in_shards(tmp_path):
    shards = [{f"v.{name}": np.full((size, 2), size, np.float32)} for name, size in (("a", 3), ("b", 4))]
    ckpt = load_checkpoint(write_shards(tmp_path / "x", shards), fields="a:3,b:4", link="sigmoid", keys="v=v.{field}")
    np.testing.assert_array_equal(ckpt.embeddings[:, 0], [3] * 3 + [4] * 4)


def test_a_folder_with_one_safetensors_file_needs_no_index(tmp_path):
    folder = write_shards(tmp_path / "x", [PYTORCH_FM])
    (folder / INDEX).unlink()
    np.testing.assert_array_equal(load_checkpoint(folder, fields=FIELDS).embeddings, V)


def test_the_usual_index_is_taken_among_several(tmp_path):
    folder = two_shards(tmp_path / "x")
    (folder / "model.fp16.safetensors.index.json").write_text(json.dumps({"weight_map": {}}))
    assert load_checkpoint(folder, fields=FIELDS).bias == 1
    (folder / INDEX).rename(folder / "other.safetensors.index.json")
    with pytest.raises(CheckpointError, match=r"several checkpoints: 'model\.fp16\.safetensors\.index\.json', 'other"):
        load_checkpoint(folder, fields=FIELDS)


def test_held_rows_are_read_when_the_file_is_closed_and_changes_are_noticed(tmp_path):
    folder = two_shards(tmp_path / "x")
    with closing(CheckpointFile(folder)) as file:
        tensor = file.parts[0].tensors["embedding.embedding.weight"]
        tensor.hold()
    np.testing.assert_array_equal(tensor.read_rows(3, 9), V[3:9], strict=True)
    save_file({"embedding.embedding.weight": V[1:]}, folder / "model-00001-of-00002.safetensors")
    with pytest.raises(CheckpointError, match="was changed while it was read"):
        tensor.read_rows(3, 9)


SECOND = "model-00002-of-00002.safetensors"


def without_shard(folder):
    (folder / SECOND).unlink()


def cut_shard(folder):
    data = (folder / SECOND).read_bytes()
    (folder / SECOND).write_bytes(data[:-4])


def index_of(text):
    return lambda folder: (folder / INDEX).write_text(text)


def renamed(**changed):
    return lambda folder: two_shards(folder, **changed)


def tensor_twice(folder):
    save_file({"linear.fc.weight": W, "linear.bias": B, "embedding.embedding.weight": V}, folder / SECOND)


def label_twice(folder):
    for number, keys in enumerate((list(PYTORCH_FM)[:1], list(PYTORCH_FM)[1:]), start=1):
        tensors = {key: PYTORCH_FM[key] for key in keys}
        save_file(tensors, folder / f"model-0000{number}-of-00002.safetensors", {"fmcompress": f"{number}"})


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (without_shard, "1 of its 2 shards are missing: 'model-00002-of-00002.safetensors'"),
        (cut_shard, r"its file model-00002-of-00002.safetensors: the safetensors file cannot be read \("),
        (tensor_twice, "has the tensor 'embedding.embedding.weight', but its index says that it is in model-00001"),
        (renamed(other=SECOND), f"its shard {SECOND} has no tensor 'other', but its index says so"),
        (renamed(**{"linear.bias": "model-00001-of-00002.safetensors"}), "but its index says that it is in model-0000"),
        (label_twice, "is of another model than the others"),
        (renamed(x="../fm.safetensors"), r"it names a shard ../fm.safetensors, which is no file beside it"),
        (renamed(x="a\\b"), "which is no file beside it"),
        (renamed(x=""), "which is no file beside it"),
        (renamed(x=".."), "which is no file beside it"),
        (renamed(x=7), "which is no file beside it"),
        (index_of("{"), "the index cannot be read"),
        (index_of("[" * 100_000), "the index cannot be read"),
        (index_of("{}"), r"the index cannot be read \('weight_map'\)"),
        (index_of('{"weight_map": []}'), "it holds no dict where one is expected"),
        (index_of('{"weight_map": {}}'), "found no tensors"),
    ],
)
def test_damage_is_one_line(tmp_path, damage, says):
    folder = two_shards(tmp_path / "x")
    damage(folder)
    with pytest.raises(CheckpointError, match=rf"^x: .*{says}") as caught:
        load_checkpoint(folder, fields=FIELDS)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_shards_of_torch(tmp_path):
    places = {}
    for number, (key, values) in enumerate(PYTORCH_FM.items()):
        torch.save({key: torch.from_numpy(values)}, tmp_path / f"pytorch_model-{number}.bin")
        places[key] = f"pytorch_model-{number}.bin"
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": places}))
    with closing(CheckpointFile(tmp_path)) as file:
        tensor = file.parts[0].tensors["embedding.embedding.weight"]
        tensor.hold()
    np.testing.assert_array_equal(tensor.read_rows(3, 9), V[3:9], strict=True)
    ckpt = load_checkpoint(tmp_path, fields=FIELDS)
    np.testing.assert_array_equal(ckpt.embeddings, V)
    torch.save([1], tmp_path / "pytorch_model-0.bin")
    with pytest.raises(CheckpointError, match=r"its file pytorch_model-0\.bin: it holds no dict of tensors"):
        load_checkpoint(tmp_path, fields=FIELDS)


def test_types_that_no_model_has_are_named(tmp_path):
    folder = write_shards(tmp_path / "x", [{**PYTORCH_FM, "linear.bias": np.ones(1, np.complex64)}])
    with pytest.raises(CheckpointError, match="a tensor of type C64"):
        load_checkpoint(folder, fields=FIELDS)
