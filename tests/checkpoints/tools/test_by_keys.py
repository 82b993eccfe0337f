"""Models of a user's own: keys named by hand, tables turned, tables of each field, other weights."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from fmcompress.checkpoints import load_checkpoint
from fmcompress.checkpoints.tools.by_keys import parse_keys
from fmcompress.errors import CheckpointError, UsageError
from fmcompress.fm.field_specs import parse_fields
from fmcompress.fm.scorer import FMScorer
from tests.checkpoints.samples import FIELDS, FILES

SMALL = parse_fields("a:3,b:2")
WEIGHTS = {
    "V": torch.arange(20.0).reshape(5, 4) / 20,
    "w": torch.arange(5.0) / 5,
    "b": torch.tensor(-0.5),
}
KEYS = {"v": "V", "w": "w", "b": "b"}


@pytest.fixture
def load(tmp_path):
    """Return a function that saves weights with torch, and loads them by keys."""

    def save_and_load(weights, keys=KEYS, *, fields=SMALL, **given):
        torch.save(weights, tmp_path / "own.pt")
        return load_checkpoint(tmp_path / "own.pt", keys=keys, fields=fields, **given)

    return save_and_load


def check(ckpt):
    np.testing.assert_array_equal(ckpt.embeddings, WEIGHTS["V"])
    np.testing.assert_array_equal(ckpt.linear, WEIGHTS["w"])
    assert (ckpt.bias, ckpt.link, ckpt.schema.names) == (-0.5, "sigmoid", ("a", "b"))


@pytest.mark.parametrize(
    ("change", "keys"),
    [
        ({}, KEYS),
        ({"V": WEIGHTS["V"].T}, KEYS),
        ({"V": WEIGHTS["V"].T.contiguous(), "w": WEIGHTS["w"][None]}, KEYS),
        ({"w": WEIGHTS["w"][:, None], "b": WEIGHTS["b"][None]}, KEYS),
        ({"offsets": torch.tensor([0, 3])}, KEYS),
        ({"dnn.0.weight": torch.ones(2, 2), "bn": torch.ones(2)}, {**KEYS, "ignore": "dnn.*,bn"}),
    ],
)
def test_shapes_that_say_the_same(load, change, keys):
    check(load({**WEIGHTS, **change}, keys))


def test_dict_around_and_safetensors(load, tmp_path):
    check(load({"epoch": 3, "state_dict": WEIGHTS}))
    save_file(WEIGHTS, tmp_path / "own.safetensors")
    check(load_checkpoint(tmp_path / "own.safetensors", keys=KEYS, fields=SMALL))


def test_parts_that_are_left_out_are_zero(load):
    ckpt = load({"V": WEIGHTS["V"]}, {"v": "V"})
    assert ckpt.bias == 0
    assert not ckpt.linear.any()


def test_link_is_sigmoid_unless_given(load):
    assert load(WEIGHTS, link="clip:1:5").link == "clip:1:5"


def test_numeric_fields_have_a_row(load):
    ckpt = load(WEIGHTS, fields=parse_fields("a:3,price:numeric,age:linear"))
    np.testing.assert_array_equal(ckpt.numeric.linear, WEIGHTS["w"][3:])
    np.testing.assert_array_equal(ckpt.numeric.embeddings, [*WEIGHTS["V"][3:4].tolist(), [0, 0, 0, 0]])


@pytest.mark.parametrize("turned", [False, True])
def test_table_of_each_field(load, turned):
    state = {
        "emb.a.weight": torch.arange(12.0).reshape(3, 4),
        "emb.price.weight": torch.arange(4.0)[:, None],
        "emb.b.weight": torch.arange(16.0).reshape(4, 4),
        "lin.a": torch.arange(3.0),
        "lin.price": torch.tensor([[2.5]]),
        "lin.b": torch.arange(4.0),
        "lin.age": torch.tensor(1.5),
    }
    if turned:
        state |= {key: state[key].T for key in ("emb.a.weight", "emb.b.weight")}
    fields = parse_fields("a:3,price:numeric,b:4,seen=b,age:linear")
    ckpt = load(state, {"v": "emb.{field}.weight", "w": "lin.{field}"}, fields=fields)
    own = state["emb.b.weight"].T if turned else state["emb.b.weight"]
    np.testing.assert_array_equal(ckpt.embeddings[3:], own)
    np.testing.assert_array_equal(ckpt.linear, [0, 1, 2, 0, 1, 2, 3])
    np.testing.assert_array_equal(ckpt.numeric.linear, [2.5, 1.5])
    np.testing.assert_array_equal(ckpt.numeric.embeddings, [[0, 1, 2, 3], [0, 0, 0, 0]])


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("pytorch-fm/fm.pt", "v=embedding.embedding.weight,w=linear.fc.weight,b=linear.bias"),
        (
            "deepctr-torch/deepfm_weights.h5",
            "v=embedding_dict.{field}.weight,w=linear_model.embedding_dict.{field}.weight,b=out.bias",
        ),
    ],
)
def test_predictions_of_known_tools_come_out_too(path, keys):
    ckpt = load_checkpoint(FILES / path, keys=parse_keys(keys), fields=FIELDS)
    expected = np.load((FILES / path).with_name("expected.npz"))
    np.testing.assert_allclose(FMScorer(ckpt).predict(expected["X"]), np.ravel(expected["prob"]), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"w": torch.zeros(6)}, r"'w' has shape \(6,\), expected \(5,\) or \(5, 1\) by --fields"),
        ({"w": torch.zeros(5, 2)}, r"'w' has shape \(5, 2\)"),
        ({"V": torch.zeros(6, 4)}, r"'V' has shape \(6, 4\), expected \(5, dim\) or \(dim, 5\) by --fields"),
        ({"V": torch.zeros(5)}, r"'V' has shape \(5,\)"),
        ({"V": torch.zeros(5, 5)}, r"'V' has shape \(5, 5\), in which rows and dim cannot be told apart"),
        ({"V": torch.zeros(5, 4, dtype=torch.int8)}, "'V' has type int8"),
        ({"b": torch.zeros(2)}, r"'b' has shape \(2,\)"),
        ({"dnn.weight": torch.zeros(2)}, r"it also holds 'dnn\.weight', which --map does not name"),
    ],
)
def test_weights_that_make_no_factorization_machine(load, change, message):
    with pytest.raises(CheckpointError, match=rf"^own\.pt: {message}"):
        load({**WEIGHTS, **change})


def test_tables_of_each_field_that_disagree(load):
    keys = {"v": "{field}"}
    with pytest.raises(CheckpointError, match="one dim for all fields"):
        load({"a": torch.zeros(3, 4), "b": torch.zeros(2, 5)}, keys)
    with pytest.raises(CheckpointError, match="cannot be told apart"):
        load({"a": torch.zeros(2, 2), "b": torch.zeros(2, 2)}, keys, fields=parse_fields("a:2,b:2"))


def test_unclaimed_weight_can_be_ignored(load):
    with pytest.raises(CheckpointError) as caught:
        load({**WEIGHTS, "ema.V": WEIGHTS["V"]})
    assert "ignore=ema.V" in caught.value.hint


def test_missing_key_is_named(load):
    with pytest.raises(CheckpointError, match="it has no tensor 'W', found 'V', 'w', 'b'"):
        load(WEIGHTS, {**KEYS, "w": "W"})


def test_fields_are_needed(load):
    with pytest.raises(CheckpointError, match="which fields it has") as caught:
        load(WEIGHTS, fields=None)
    assert "--fields" in caught.value.hint


def test_file_must_hold_tensors(tmp_path):
    (tmp_path / "own.txt").write_text("V 1 2 3")
    with pytest.raises(CheckpointError, match="no known format"):
        load_checkpoint(tmp_path / "own.txt", keys=KEYS, fields=SMALL)


def test_keys_are_read_from_text():
    assert parse_keys("v=emb.weight, w=lin=1,ignore=a,ignore=b.*") == {
        "v": "emb.weight",
        "w": "lin=1",
        "ignore": "a,b.*",
    }


@pytest.mark.parametrize("text", ["", "v", "v=", "x=a", "w=a", "v=a,v=b", "v=a,,w=b"])
def test_keys_that_make_no_sense(text):
    with pytest.raises(UsageError) as caught:
        parse_keys(text)
    assert "--map v=KEY" in caught.value.hint


@pytest.mark.parametrize("keys", [{}, {"w": "w"}, {"v": "V", "u": "w"}])
def test_the_library_checks_keys_too(load, keys):
    with pytest.raises(UsageError):
        load(WEIGHTS, keys)
