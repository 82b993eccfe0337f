"""Torch files that lie about their sizes, and damage of every kind."""

import pickle
import zipfile

import numpy as np
import pytest

from fmcompress.checkpoints import load_checkpoint, save_checkpoint
from fmcompress.checkpoints.pickle.allowed_calls import CALLS
from fmcompress.checkpoints.pickle.arrays import STORAGE_TYPES, Storage
from fmcompress.checkpoints.pickle.unpickle import unpickle
from fmcompress.errors import CheckpointError
from tests.checkpoints.samples import FIELDS, STATE_DICT, WHOLE_MODEL, rewritten, small_checkpoint, write_torch_zip


def tensor_pickle(*, storage="FloatStorage", elements=92, offset=0, shape=(23, 4), strides=(4, 1)):
    """Return the pickle of a state_dict with one tensor, as torch writes it."""
    number = pickle_of
    persistent = (
        b"(X\x07\x00\x00\x00storagectorch\n"
        + storage.encode()
        + b"\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
        + number(elements)
        + b"tQ"
    )
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + persistent + number(offset) + number(shape)
    key = b"embedding.embedding.weight"
    head = b"\x80\x02}X" + len(key).to_bytes(4, "little") + key
    return head + tensor + number(strides) + b"\x89ccollections\nOrderedDict\n)RtRs."


def pickle_of(value):
    return pickle.dumps(value, 2)[2:-1]


def rebuild(**changes):
    kind = f"torch.{changes.get('storage', 'FloatStorage')}"
    values = np.arange(92, dtype=STORAGE_TYPES[kind].stored)

    def persistent(identifier):
        return Storage(STORAGE_TYPES[kind], identifier[4], lambda: values.view(np.uint8), lambda: None)

    state = unpickle(tensor_pickle(**changes), calls=CALLS, persistent=persistent)
    return state["embedding.embedding.weight"]


def test_tensor_is_read_through_its_strides():
    values = np.arange(92, dtype=np.float32)
    np.testing.assert_array_equal(rebuild().read(), values.reshape(23, 4))
    transposed = rebuild(shape=(4, 23), strides=(1, 4)).read()
    np.testing.assert_array_equal(transposed, values.reshape(23, 4).T)
    np.testing.assert_array_equal(rebuild(offset=90, shape=(2,), strides=(1,)).read(), values[90:])
    assert rebuild(offset=5, shape=(), strides=()).read() == values[5]
    assert rebuild(offset=92, shape=(0, 4), strides=(4, 1)).read().shape == (0, 4)


@pytest.mark.parametrize(
    "changes",
    [
        {"offset": 1},
        {"offset": -1},
        {"offset": 2**70},
        {"shape": (24, 4)},
        {"shape": (-1, 4)},
        {"shape": (2**40, 2**40), "strides": (0, 0)},
        {"shape": (93,), "strides": (0,)},
        {"shape": (2,), "strides": (92,)},
        {"shape": (2,), "strides": (-1,)},
        {"shape": (23.0, 4)},
        {"shape": (True, True)},
        {"shape": (1,) * 40, "strides": (1,) * 40},
        {"strides": (4,)},
        {"shape": [23, 4]},
        {"elements": 2**60},
        {"elements": -1},
        {"elements": 91},
        {"storage": "ComplexFloatStorage"},
        {"storage": "DoubleStorage"},
    ],
)
def test_tensors_that_lie_are_refused(tmp_path, changes):
    path = write_torch_zip(tmp_path / "fm.pt", tensor_pickle(**changes), [bytes(4 * 92)])
    with pytest.raises(CheckpointError, match=r"^fm\.pt: it(s pickle| holds tensors of type)"):
        load_checkpoint(path, fields=FIELDS)


@pytest.mark.parametrize("shape", [(0, 2**61, 2**61), (0, 2**31)])
def test_empty_tensors_of_huge_shape_are_refused(tmp_path, shape):
    data = tensor_pickle(shape=shape, strides=(1,) * len(shape))
    with pytest.raises(CheckpointError):
        load_checkpoint(write_torch_zip(tmp_path / "fm.pt", data, [bytes(4 * 92)]), fields=FIELDS)


def test_compressed_bomb_is_not_unpacked(tmp_path):
    path = write_torch_zip(
        tmp_path / "fm.pt",
        tensor_pickle(elements=2**24, shape=(2**22, 4)),
        [bytes(2**26)],
        compression=zipfile.ZIP_DEFLATED,
    )
    with pytest.raises(CheckpointError, match="compressed"):
        load_checkpoint(path, fields=FIELDS)


@pytest.mark.parametrize("claimed", [2**31, 2**32 - 2])
def test_sizes_that_the_zip_directory_invents_are_refused(tmp_path, claimed):
    path = write_torch_zip(tmp_path / "fm.pt", b"\x80\x02}.")
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")
    data[entry + 20 : entry + 28] = claimed.to_bytes(4, "little") * 2
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"more bytes than the file|cannot be read"):
        load_checkpoint(path)


def test_changed_weights_fail_their_checksum(tmp_path):
    data = bytearray(WHOLE_MODEL.read_bytes())
    with zipfile.ZipFile(WHOLE_MODEL) as file:
        weights = file.read("fm/data/0")
    data[data.index(weights) + 100] ^= 1
    (tmp_path / "fm.pt").write_bytes(data)
    with pytest.raises(CheckpointError, match="CRC"):
        load_checkpoint(tmp_path / "fm.pt")


def test_big_endian_file_is_refused(tmp_path):
    path = rewritten(WHOLE_MODEL, tmp_path / "fm.pt", byteorder=b"big")
    with pytest.raises(CheckpointError, match="big-endian"):
        load_checkpoint(path)


def test_torchscript_is_refused(tmp_path):
    path = tmp_path / "fm.pt"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("fm/data.pkl", b"\x80\x02}.")
        file.writestr("fm/code/__torch__.py", b"")
    with pytest.raises(CheckpointError, match="TorchScript"):
        load_checkpoint(path)


def module_pickle(body):
    """Return the pickle of a module memoized as 0 whose ``_modules`` are ``body``."""
    name = pickle.dumps("_modules", 2)[2:-3]  # without its own memo
    return b"\x80\x02cmodel\nModel\n)\x81q\x00}" + name + body + b"sb."


def test_module_inside_itself_is_refused(tmp_path):
    path = write_torch_zip(tmp_path / "fm.pt", module_pickle(b"}X\x01\x00\x00\x00ah\x00s"))
    with pytest.raises(CheckpointError, match="contain each other"):
        load_checkpoint(path)


def test_shared_modules_do_not_multiply(tmp_path):
    name = b"X\x08\x00\x00\x00_modules"
    body = b"\x80\x02cm\nM\nq\x00)\x81q\x01"
    for level in range(1, 60):  # each module holds the one before it twice
        held, this = bytes([level]), bytes([level + 1])
        twice = b"}(X\x01\x00\x00\x00ah" + held + b"X\x01\x00\x00\x00bh" + held + b"u"
        body += b"h\x00)\x81q" + this + b"}" + name + twice + b"sb"
    path = write_torch_zip(tmp_path / "fm.pt", body + b".")
    with pytest.raises(CheckpointError, match="contain each other"):
        load_checkpoint(path)


@pytest.mark.parametrize("dtype", ["O8", "S5", "V8", "M8", "c16"])
def test_numpy_arrays_of_objects_are_refused(tmp_path, dtype):
    code = pickle.dumps(dtype, 2)[2:-1]
    data = b"\x80\x02cnumpy\ndtype\n" + code + b"\x89\x88\x87R."
    with pytest.raises(CheckpointError, match="numpy array of type"):
        load_checkpoint(write_torch_zip(tmp_path / "fm.pt", data))


def originals(tmp_path):
    for suffix in (".pt", ".safetensors"):
        save_checkpoint(small_checkpoint(), tmp_path / f"native{suffix}")
    return [WHOLE_MODEL, STATE_DICT, tmp_path / "native.pt", tmp_path / "native.safetensors"]


def test_truncated_files_are_refused(tmp_path):
    for original in originals(tmp_path):
        data = original.read_bytes()
        path = tmp_path / f"cut-{original.name}"
        for size in range(0, len(data) - 1, 37):
            path.write_bytes(data[:size])
            with pytest.raises(CheckpointError, match=f"^{path.name}: "):
                load_checkpoint(path, fields=FIELDS)
