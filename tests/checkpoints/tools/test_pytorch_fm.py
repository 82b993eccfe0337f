"""Genuine files of pytorch-fm, and what may be around or missing in them."""

import zipfile
from collections import OrderedDict

import numpy as np
import pytest

from fmcompress.checkpoints import load_checkpoint
from fmcompress.errors import CheckpointError
from fmcompress.fm.schema import Schema
from tests.checkpoints.samples import FIELDS, FILES, STATE_DICT, WHOLE_MODEL, predict, rewritten

EXPECTED = np.load(FILES / "pytorch-fm" / "expected.npz")


@pytest.mark.parametrize(("path", "fields"), [(WHOLE_MODEL, None), (WHOLE_MODEL, FIELDS), (STATE_DICT, FIELDS)])
def test_predictions_are_the_tools_own(path, fields):
    ckpt = load_checkpoint(path, fields=fields)
    np.testing.assert_allclose(predict(ckpt, EXPECTED["X"]), EXPECTED["prob"], atol=1e-5)


def test_whole_model_tells_its_fields():
    ckpt = load_checkpoint(WHOLE_MODEL)
    assert ckpt.schema == Schema.of([("field_0", 7), ("field_1", 5), ("field_2", 11)])
    assert (ckpt.dim, ckpt.link, ckpt.counts) == (4, "sigmoid", None)
    assert ckpt.source.tool == "pytorch-fm"
    assert ckpt.source.name == "fm.pt"
    assert len(ckpt.source.sha256) == 64


def test_given_names_replace_numbers():
    assert load_checkpoint(WHOLE_MODEL, fields=FIELDS).schema == FIELDS


def test_given_sizes_must_be_the_models():
    swapped = Schema.of([("user", 5), ("item", 7), ("cat", 11)])
    with pytest.raises(CheckpointError, match=r"^fm\.pt: its fields have 7, 5, 11 categories, but .* 5, 7, 11"):
        load_checkpoint(WHOLE_MODEL, fields=swapped)


def test_state_dict_needs_fields():
    with pytest.raises(CheckpointError, match=r"^fm_state_dict\.pt: .* 23 categories") as caught:
        load_checkpoint(STATE_DICT)
    assert "--fields name:size" in caught.value.hint


def test_given_sizes_must_add_up():
    with pytest.raises(CheckpointError, match="23 rows, but its fields have 12 categories"):
        load_checkpoint(STATE_DICT, fields=Schema.of([("user", 7), ("item", 5)]))


def test_offsets_that_disagree_are_refused(tmp_path):
    with zipfile.ZipFile(WHOLE_MODEL) as file:
        pickle = file.read("fm/data.pkl")
    first_rows = np.array([0, 7, 12], "<i8").tobytes()
    at = pickle.rindex(first_rows)
    changed = pickle[:at] + np.array([0, 6, 12], "<i8").tobytes() + pickle[at + len(first_rows) :]
    path = rewritten(WHOLE_MODEL, tmp_path / "fm.pt", **{"data.pkl": changed})
    with pytest.raises(CheckpointError, match="disagree"):
        load_checkpoint(path)


def test_high_order_model_with_the_same_keys_is_refused(tmp_path):
    with zipfile.ZipFile(WHOLE_MODEL) as file:
        pickle = file.read("fm/data.pkl")
    changed = pickle.replace(b"model.fm\nFactorizationMachineModel", b"model.hofm\nHighOrderFactorizationMachineModel")
    path = rewritten(WHOLE_MODEL, tmp_path / "fm.pt", **{"data.pkl": changed})
    with pytest.raises(CheckpointError, match="HighOrderFactorizationMachineModel"):
        load_checkpoint(path)


class TestStateDictsWrittenByTorch:
    """State dicts as training scripts save them."""

    @pytest.fixture
    def torch(self):
        return pytest.importorskip("torch")

    @pytest.fixture
    def state(self, torch):
        return torch.load(STATE_DICT, weights_only=True)

    @pytest.fixture
    def load(self, torch, tmp_path):
        def save_and_load(obj):
            torch.save(obj, tmp_path / "fm.bin")
            return load_checkpoint(tmp_path / "fm.bin", fields=FIELDS)

        return save_and_load

    @pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict", "model"])
    def test_training_checkpoint(self, load, state, wrapper):
        ckpt = load({"epoch": 3, wrapper: state, "optimizer": {"lr": 0.1}})
        np.testing.assert_array_equal(ckpt.embeddings, state["embedding.embedding.weight"].numpy())

    @pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "_orig_mod.module."])
    def test_prefixes_of_wrappers(self, load, state, prefix):
        ckpt = load(OrderedDict((prefix + key, value) for key, value in state.items()))
        np.testing.assert_array_equal(ckpt.linear, state["linear.fc.weight"].numpy()[:, 0])

    @pytest.mark.parametrize("name", ["float16", "bfloat16", "float64"])
    def test_other_float_types_become_float32(self, load, state, torch, name):
        converted = {key: value.to(getattr(torch, name)) for key, value in state.items()}
        ckpt = load(converted)
        assert ckpt.embeddings.dtype == ckpt.linear.dtype == np.float32
        expected = converted["embedding.embedding.weight"].float().numpy()
        np.testing.assert_array_equal(ckpt.embeddings, expected)

    def test_views_and_transposed_tensors(self, load, state):
        table = state["embedding.embedding.weight"]
        both = state["embedding.embedding.weight"].new_zeros(5, 30)
        both[1:, 4:27] = table.T
        ckpt = load({**state, "embedding.embedding.weight": both[1:, 4:27].T})
        np.testing.assert_array_equal(ckpt.embeddings, table.numpy())

    def test_missing_key_is_named(self, load, state):
        del state["linear.bias"]
        with pytest.raises(CheckpointError, match=r"^fm\.bin: 'linear\.bias' is missing"):
            load(state)

    def test_other_keys_are_listed(self, load, torch):
        with pytest.raises(CheckpointError, match=r"found keys 'a', 'b'$"):
            load({"a": torch.zeros(2), "b": 3})

    def test_transposed_table_is_refused(self, load, state):
        state["embedding.embedding.weight"] = state["embedding.embedding.weight"].T
        with pytest.raises(CheckpointError, match=r"\(4, 23\)"):
            load(state)

    def test_nan_is_refused(self, load, state):
        state["embedding.embedding.weight"][3, 1] = float("nan")
        with pytest.raises(CheckpointError, match=r"embeddings hold NaN or infinite values, the first in row 3"):
            load(state)

    def test_float64_beyond_float32_is_refused(self, load, state):
        state = {key: value.double() for key, value in state.items()}
        state["linear.fc.weight"][2] = 1e300
        with pytest.raises(CheckpointError, match="linear weights hold NaN or infinite"):
            load(state)

    def test_integer_weights_are_refused(self, load, state):
        state["linear.bias"] = state["linear.bias"].long()
        with pytest.raises(CheckpointError, match=r"'linear\.bias' has type int64"):
            load(state)

    def test_safetensors_state_dict(self, state, tmp_path):
        from safetensors.torch import save_file

        save_file(dict(state), tmp_path / "fm.safetensors")
        ckpt = load_checkpoint(tmp_path / "fm.safetensors", fields=FIELDS)
        np.testing.assert_array_equal(ckpt.embeddings, state["embedding.embedding.weight"].numpy())
