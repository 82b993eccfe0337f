"""Models inside of something else: prefixes of frameworks, dicts around state_dicts, several models in one file."""

import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fmcompress.checkpoints import load_checkpoint
from fmcompress.errors import CheckpointError
from tests.checkpoints.limits import refused
from tests.checkpoints.samples import FIELDS, FILES, STATE_DICT

STATE = torch.load(STATE_DICT)
KEYS = {"v": "embedding.embedding.weight", "w": "linear.fc.weight", "b": "linear.bias"}
OWN = {"V": torch.arange(20.0).reshape(5, 4), "w": torch.arange(5.0), "b": torch.tensor(-0.5)}
AS_OWN = {"fields": "a:3,b:2", "keys": "v=V,w=w,b=b"}


def prefixed(state, prefix):
    return {f"{prefix}{key}": value for key, value in state.items()}


def lightning(state, **more):
    """Return what Lightning's Trainer saves, in the same keys."""
    return {
        "epoch": 2,
        "global_step": 300,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": OrderedDict(state),
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"current": {"ready": 3}}}},
        "callbacks": {"EarlyStopping{'monitor': 'auc'}": {"wait_count": 0, "best_score": torch.tensor(0.8)}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(23, 4)}}, "param_groups": [{"lr": 0.1}]}],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": {"dim": 4, "folder": Path("runs"), "loss": nn.BCEWithLogitsLoss()},
        **more,
    }


@pytest.fixture
def load(tmp_path):
    """Return a function that saves an object with torch, and loads it as a checkpoint."""

    def save_and_load(saved, **given):
        torch.save(saved, tmp_path / "fm.pt")
        return load_checkpoint(tmp_path / "fm.pt", **{"fields": FIELDS, **given})

    return save_and_load


def check(ckpt, state=STATE):
    np.testing.assert_array_equal(ckpt.embeddings, state["embedding.embedding.weight"])
    np.testing.assert_array_equal(ckpt.linear, state["linear.fc.weight"][:, 0])
    assert ckpt.bias == state["linear.bias"].item()
    assert ckpt.source.tool == "pytorch-fm"


@pytest.mark.parametrize(
    "prefix",
    [
        "model.",
        "model._orig_mod.",
        "_orig_mod.model.",
        "module.",
        "module.module.",
        "module._orig_mod.model.",
        "_fsdp_wrapped_module.",
        "_forward_module.model.",
        "_forward_module._fsdp_wrapped_module.model._orig_mod.",
        "net.fm_1.",
        "a.b.c.d.e.f.g.",
    ],
)
def test_prefixes_of_any_nesting(load, prefix):
    check(load(prefixed(STATE, prefix)))
    found = load(lightning(prefixed(STATE, prefix)), keys=KEYS)
    np.testing.assert_array_equal(found.embeddings, STATE["embedding.embedding.weight"])


@pytest.mark.parametrize("wrapper", ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "module"])
def test_wrapped_parts_of_a_model(load, wrapper):
    """FSDP and torch.compile may wrap each part of a model."""
    inner = {key.replace(".", f".{wrapper}.", 1): value for key, value in STATE.items()}
    check(load(inner))
    check(load(prefixed(inner, "model.")))


def test_what_torch_compile_writes(load):
    class FeaturesEmbedding(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(23, 4)

    class Linear(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Embedding(23, 1)
            self.bias = nn.Parameter(torch.zeros(1))

    class FM(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.linear = FeaturesEmbedding(), Linear()

    class Lit(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = torch.compile(nn.DataParallel(FM()), backend="eager")
            self.criterion = nn.BCEWithLogitsLoss(pos_weight=torch.tensor([3.0]))

    module = Lit()
    state = module.state_dict()
    assert "model._orig_mod.module.linear.bias" in state
    found = load(lightning(state))
    np.testing.assert_array_equal(
        found.embeddings, module.model._orig_mod.module.embedding.embedding.weight.detach().numpy()
    )
    assert "criterion.pos_weight" in found.source.also


@pytest.mark.parametrize(
    ("tool", "path", "state"),
    [
        ("FuxiCTR", "fuxictr/tiny_cat/FM_tiny_cat.model", None),
        ("RecBole", "recbole/cat/FM-Nov-23-2026_17-13-12.pth", "recbole"),
        ("DeepCTR-Torch", "deepctr-torch/deepfm_weights.h5", None),
    ],
)
def test_models_of_other_tools(tmp_path, tool, path, state):
    """What is read behind a prefix is what is read without one."""
    fields = {"RecBole": "user_id:8,item_id:6,ctx:12", "FuxiCTR": None}.get(tool, FIELDS)
    given = {"dataset": (FILES / path).with_name("feature_map.json")} if tool == "FuxiCTR" else {"fields": fields}
    plain = load_checkpoint(FILES / path, **given)
    weights = {key: torch.tensor(np.array(value)) for key, value in tensors_of(FILES / path).items()}
    torch.save(
        lightning({**prefixed(weights, "model._orig_mod."), "loss_fn.weight": torch.ones(2)}), tmp_path / "a.ckpt"
    )
    found = load_checkpoint(tmp_path / "a.ckpt", **given)
    assert found.source.tool == tool
    assert found.schema.id_names == plain.schema.id_names
    np.testing.assert_array_equal(found.embeddings, plain.embeddings)
    np.testing.assert_array_equal(found.linear, plain.linear)


def tensors_of(path):
    from fmcompress.checkpoints.checkpoint_file import CheckpointFile

    file = CheckpointFile(path)
    (part,) = file.parts
    found = {key: tensor.read() for key, tensor in part.tensors.items()}
    file.close()
    return found


MEASURES = {
    "criterion.pos_weight": torch.ones(1),
    "loss_fn.weight": torch.ones(1),
    "val_auroc.confmat": torch.zeros(200, 2, 2),
    "train_metrics.BinaryAccuracy.tp": torch.tensor(3),
    "pos_weight": torch.ones(1),
    "n_averaged": torch.tensor(7),
}


@pytest.mark.parametrize("prefix", ["model.", ""])
def test_losses_and_measures_are_left_out_and_named(load, prefix):
    left = {key: value for key, value in MEASURES.items() if prefix or value.is_floating_point()}
    found = load(lightning({**prefixed(STATE, prefix), **left}))
    check(found)
    assert set(left) <= set(found.source.also)


def test_other_weights_beside_the_model_are_all_named(load):
    beside = {"deep.0.weight": torch.ones(2, 2), "deep.0.bias": torch.ones(2), "scale": torch.ones(1)}
    state = {**prefixed(STATE, "model."), **beside, **MEASURES}
    with pytest.raises(CheckpointError) as caught:
        load(lightning(state))
    assert str(caught.value).endswith("beside 'model' it also holds 'deep.0.weight', 'deep.0.bias' and 'scale'")
    assert "--key state_dict.model" in caught.value.hint
    check(load(lightning(state), key="state_dict.model"))
    with pytest.raises(CheckpointError, match=r"it also holds 'deep.0.weight', 'deep.0.bias' and 'scale'$"):
        load({**STATE, **beside})


@pytest.mark.parametrize("key", ["net", "network", "state", "model_state", "weights", "best_model"])
def test_state_dict_under_any_key(load, key):
    check(load({key: STATE, "optimizer": {"state": {0: {"exp_avg": torch.ones(23, 4)}}, "param_groups": []}}))
    check(load({"epoch": 1, "run": {"inner": {key: prefixed(STATE, "module.")}}}))


def test_what_else_is_in_the_file(load):
    found = load({"net": STATE, "optimizer": {"state": {}, "param_groups": []}, "epoch": 3, "args": {"lr": 0.1}})
    assert pickle.loads(pickle.dumps(found.source)).also == found.source.also == ("optimizer", "epoch", "args")
    assert load(STATE).source.also == ()
    assert load({**STATE, "epoch": 3}).source.also == ("epoch",)


def test_two_models_are_chosen_by_key(load):
    both = {"net": STATE, "ema": {key: value * 2 for key, value in STATE.items()}, "epoch": 3}
    with pytest.raises(CheckpointError, match=r"it holds 2 models, under 'net' and 'ema'$") as caught:
        load(both)
    assert caught.value.hint == "choose one: --key net"
    check(load(both, key="net"))
    found = load(both, key="ema")
    check(found, both["ema"])
    assert found.source.also == ("net", "epoch")


def test_two_models_behind_prefixes_are_chosen_by_key(tmp_path):
    both = {**prefixed(STATE, "net."), **prefixed({key: value * 2 for key, value in STATE.items()}, "ema.module.")}
    save_file(both, tmp_path / "fm.safetensors")
    with pytest.raises(CheckpointError, match=r"2 models, under 'net' and 'ema\.module'"):
        load_checkpoint(tmp_path / "fm.safetensors", fields=FIELDS)
    check(load_checkpoint(tmp_path / "fm.safetensors", fields=FIELDS, key="net"))
    for key in ("ema", "ema.module"):
        found = load_checkpoint(tmp_path / "fm.safetensors", fields=FIELDS, key=key)
        np.testing.assert_array_equal(found.embeddings, 2 * STATE["embedding.embedding.weight"])


def test_a_key_that_leads_nowhere(load):
    for key in ("emma", "net.no", "epoch"):
        with pytest.raises(CheckpointError, match=r"no weights under the key '\S*': it has 'net', 'ema'$"):
            load({"net": STATE, "ema": STATE}, key=key)
    with pytest.raises(CheckpointError, match="no weights under the key 'net': it has 'epoch'"):
        load({"epoch": 1}, key="net")


def test_map_works_on_what_is_inside(load):
    for saved in (
        OWN,
        {"net": OWN, "epoch": 2},
        {"run": {"net": prefixed(OWN, "model.")}},
        lightning(prefixed(OWN, "m.")),
    ):
        found = load(saved, **AS_OWN)
        np.testing.assert_array_equal(found.embeddings, OWN["V"])
        assert (found.bias, found.source.tool) == (-0.5, "own model")
    both = {"net": OWN, "ema": {key: value * 2 for key, value in OWN.items()}}
    with pytest.raises(CheckpointError, match="2 models, under 'net' and 'ema'"):
        load(both, **AS_OWN)
    assert load(both, **AS_OWN, key="ema").bias == -1
    assert load(both, **{**AS_OWN, "keys": "v=ema.V,w=ema.w,b=ema.b,ignore=net.*"}).bias == -1


def test_parts_in_dicts_of_their_own(load):
    tables = {"emb": {"weight": OWN["V"]}, "lin": {"weight": OWN["w"], "bias": OWN["b"]}, "step": 4}
    found = load({"params": tables}, fields="a:3,b:2", keys="v=params.emb.weight,w=params.lin.weight,b=params.lin.bias")
    assert (found.bias, found.source.also) == (-0.5, ())
    check(
        load(
            {
                "embedding": {"embedding.weight": STATE["embedding.embedding.weight"]},
                "linear": {"fc.weight": STATE["linear.fc.weight"], "bias": STATE["linear.bias"]},
            }
        )
    )


def test_no_list_of_keys_is_empty(load):
    for saved, has in (({}, "found no tensors$"), ({"epoch": 1}, "found no tensors, only 'epoch'$")):
        with pytest.raises(CheckpointError, match=has):
            load(saved)
        with pytest.raises(CheckpointError, match="it holds no tensors"):
            load(saved, **AS_OWN)
    with pytest.raises(CheckpointError, match=r"found keys 'V', 'w', 'b' under 'net'$"):
        load({"net": OWN})
    with pytest.raises(CheckpointError, match=r"found weights under 'net', 'ema'$"):
        load({"net": OWN, "ema": OWN})
    with pytest.raises(CheckpointError, match="weights under 'net' and 'ema', and none of them has the keys"):
        load({"net": OWN, "ema": OWN}, fields="a:3,b:2", keys="v=U")
    with pytest.raises(CheckpointError, match="it has no tensor 'U', found 'V', 'w', 'b'"):
        load({"net": OWN}, fields="a:3,b:2", keys="v=U")


def test_a_whole_model_in_a_wrapper(tmp_path):
    saved = torch.load(STATE_DICT)
    model = nn.Module()
    model.embedding = nn.Module()
    model.embedding.embedding = nn.Embedding.from_pretrained(saved["embedding.embedding.weight"])
    model.linear = nn.Module()
    model.linear.fc = nn.Embedding.from_pretrained(saved["linear.fc.weight"])
    model.linear.bias = nn.Parameter(saved["linear.bias"])
    torch.save({"epoch": 1, "best": nn.DataParallel(model)}, tmp_path / "fm.pt")
    check(load_checkpoint(tmp_path / "fm.pt", fields=FIELDS))


def test_thousands_of_nested_keys_take_little_time(tmp_path):
    """Time is in proportion to the keys, each of which has a prefix of its own."""
    torch.save({f"a{i}.b.c.d.e.f.g.h.w": torch.zeros(2, 2) for i in range(4000)}, tmp_path / "fm.pt")
    refused(tmp_path / "fm.pt", seconds=30, message="found keys 'a0")
