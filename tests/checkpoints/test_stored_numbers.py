"""Short floats are decoded as torch does it, and weights of any float type are read from every kind of file."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from fmcompress.checkpoints import load_checkpoint
from fmcompress.checkpoints.stored_numbers import NUMBER_TYPES
from fmcompress.errors import CheckpointError
from tests.checkpoints.samples import FIELDS, STATE_DICT

FLOATS = ("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")
FLOATS_8 = ("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz")


@pytest.mark.parametrize("name", FLOATS_8)
def test_all_floats_of_8_bits(name):
    codes = torch.arange(256, dtype=torch.uint8)
    found = NUMBER_TYPES[name].decode(codes.numpy())
    np.testing.assert_array_equal(found, codes.view(getattr(torch, name)).float().numpy(), strict=True)


def test_all_bfloat16():
    codes = np.arange(2**16, dtype=np.uint16)
    expected = torch.from_numpy(codes.view(np.int16)).view(torch.bfloat16).float().numpy()
    found = NUMBER_TYPES["bfloat16"].decode(codes)
    np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_weights_of_any_float_type(tmp_path, name, suffix):
    state = {key: values.to(getattr(torch, name)) for key, values in torch.load(STATE_DICT).items()}
    path = tmp_path / f"fm.{suffix}"
    (torch.save if suffix == "pt" else save_file)(state, path)
    ckpt = load_checkpoint(path, fields=FIELDS)
    np.testing.assert_array_equal(ckpt.embeddings, state["embedding.embedding.weight"].float().numpy(), strict=True)
    np.testing.assert_array_equal(ckpt.linear, state["linear.fc.weight"].float().numpy()[:, 0])
    assert ckpt.bias == state["linear.bias"].float().item()


def test_a_part_of_a_storage_of_short_floats(tmp_path):
    table = torch.arange(24.0).reshape(6, 4).to(torch.float8_e4m3fn)
    torch.save({"v": table[1:].T, "all": table}, tmp_path / "fm.pt")
    given = {"fields": FIELDS.of([("a", 5)]), "keys": {"v": "v", "ignore": "all"}}
    np.testing.assert_array_equal(load_checkpoint(tmp_path / "fm.pt", **given).embeddings, table[1:].float().numpy())


@pytest.mark.parametrize("dtype", [torch.float8_e8m0fnu, torch.complex64])
def test_other_types_are_named(tmp_path, dtype):
    torch.save({"v": torch.zeros(5, 3).to(dtype)}, tmp_path / "fm.pt")
    with pytest.raises(CheckpointError, match=r"tensors of type torch\.\w+, expected plain numbers"):
        load_checkpoint(tmp_path / "fm.pt")


def test_numbers_that_are_too_large_for_fp32_are_refused(tmp_path):
    state = {key: values.double() for key, values in torch.load(STATE_DICT).items()}
    state["embedding.embedding.weight"][7, 2] = 1e300
    torch.save(state, tmp_path / "fm.pt")
    with pytest.raises(CheckpointError, match="NaN or infinite values, the first in row 7"):
        load_checkpoint(tmp_path / "fm.pt", fields=FIELDS)
