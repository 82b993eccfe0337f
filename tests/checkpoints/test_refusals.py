"""Files that are no factorization machine, or tell too little of it: each refusal names what gave it away."""

import re

import pytest
import torch

from fmcompress.checkpoints import load_checkpoint
from fmcompress.errors import CheckpointError
from fmcompress.fm.field_specs import parse_fields

from .samples import STATE_DICT

ROWS = torch.zeros(5, 3)
DEEPCTR = {
    "embedding_dict.a.weight": ROWS,
    "linear_model.embedding_dict.a.weight": torch.zeros(5, 1),
    "out.bias": torch.zeros(1),
}
PYTORCH_FM = {
    "embedding.embedding.weight": ROWS,
    "linear.fc.weight": torch.zeros(5, 1),
    "linear.bias": torch.zeros(1),
}
XDEEPFM = {"embedding": ROWS, "linear_w": torch.zeros(5, 1), "linear_b": torch.zeros(1)}
AS_XDEEPFM = {"fields": parse_fields("a:5"), "keys": {"v": "embedding", "w": "linear_w", "b": "linear_b"}}

CASES = {
    "xDeepFM of DeepCTR-Torch": (
        {**DEEPCTR, "cin.conv1ds.0.weight": ROWS, "dnn_linear.weight": ROWS},
        {},
        "'cin.conv1ds.0.weight' and 'dnn_linear.weight'",
    ),
    "DCN of pytorch-fm": ({**PYTORCH_FM, "cn.w.0.weight": ROWS}, {}, "'cn.w.0.weight'"),
    "xDeepFM of recommenders": ({**XDEEPFM, "cin.0": ROWS}, AS_XDEEPFM, "'cin.0', which --map does not name"),
    "state_dict of unknown keys": (XDEEPFM, {}, "found keys 'embedding', 'linear_w', 'linear_b'"),
    "w and V of different lengths": (
        {**PYTORCH_FM, "linear.fc.weight": torch.zeros(6, 1)},
        {"fields": parse_fields("a:5")},
        "'linear.fc.weight' (6, 1), expected (categories, dim) and (5, 1)",
    ),
    "w and V of different lengths in a field": (
        {**DEEPCTR, "linear_model.embedding_dict.a.weight": torch.zeros(6, 1)},
        {},
        "'embedding_dict.a.weight' has shape (5, 3), expected (6, 3)",
    ),
    "rows or dim": ({**XDEEPFM, "embedding": torch.zeros(5, 5)}, AS_XDEEPFM, "rows and dim cannot be told apart"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_gave_it_away_is_named(tmp_path, name):
    weights, given, message = CASES[name]
    torch.save(weights, tmp_path / "fm.pt")
    with pytest.raises(CheckpointError, match=re.escape(message)):
        load_checkpoint(tmp_path / "fm.pt", **given)


def test_unknown_keys_point_to_the_map(tmp_path):
    torch.save(XDEEPFM, tmp_path / "fm.pt")
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(tmp_path / "fm.pt")
    assert "--map v=KEY,w=KEY,b=KEY" in caught.value.hint
    assert load_checkpoint(tmp_path / "fm.pt", **AS_XDEEPFM).dim == 3


def test_bare_state_dict_without_fields():
    with pytest.raises(CheckpointError, match="which fields its 23 categories belong to") as caught:
        load_checkpoint(STATE_DICT)
    assert "--fields name:size" in caught.value.hint
