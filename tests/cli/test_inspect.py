"""``fmcompress inspect``, and what all commands that read a checkpoint can be told about it."""

import csv
import json
import re
import signal
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch.distributed.checkpoint
from fmcompress_cli.main import run
from safetensors.numpy import save_file

from fmcompress.checkpoints import load_checkpoint
from fmcompress.checkpoints.inspection import inspect
from fmcompress.checkpoints.model_files import container_of, stored_bytes
from fmcompress.reporting.inspection import to_text
from tests.checkpoints.samples import FILES, STATE_DICT
from tests.conftest import console_script

V, W, B = np.ones((23, 2), np.float32), np.ones((23, 1), np.float32), np.zeros(1, np.float32)
STATE = {"embedding.embedding.weight": V, "linear.fc.weight": W, "linear.bias": B}
FUXICTR = FILES / "fuxictr" / "tiny_num" / "FM_tiny_num.model"
DEEPCTR = FILES / "deepctr-torch" / "deepfm_dense_weights.h5"
OWN = (
    *("--map", "v=embedding.embedding.weight,w=linear.fc.weight,b=linear.bias"),
    *("--fields", "user:7,item:5,cat:11", "--link", "probit"),
)


def inspected(fmcompress, *arguments):
    return json.loads(fmcompress("inspect", *arguments, "--format", "json").stdout)


def test_json(fmcompress):
    found = inspected(fmcompress, FUXICTR)
    fields = found.pop("fields")
    assert found.pop("sha256").startswith("9056fda4808584cd")
    assert found.pop("bias") == load_checkpoint(FUXICTR).bias
    assert found == {
        "schema": "fmcompress/inspect/1",
        "tool": "FuxiCTR",
        "name": "FM_tiny_num.model",
        "file_bytes": FUXICTR.stat().st_size,
        "dim": 4,
        "link": "sigmoid",
        "categories": 29,
        "parameters": 30 * 5 + 1,
        "fp32_bytes": 30 * 5 * 4,
        "vocabulary": True,
        "counts": False,
        "missing": ["counts"],
        "also": [],
        "network": None,
        "container": None,
    }
    user = {"name": "user", "kind": "categorical", "cardinality": 9, "pad": 0, "table": None, "pooling": None}
    assert fields[0] == {**user, "tokens": 8, "oov": 8, "null": 8, "keys": None, "key_bytes": None}
    assert [(field["name"], field["kind"]) for field in fields[1:]] == [
        ("item", "categorical"),
        ("ctx", "categorical"),
        ("price", "numeric"),
    ]


def test_text_and_markdown(fmcompress, files):
    text = fmcompress("inspect", files.fm).stdout
    assert text.startswith("tool            fmcompress\n")
    assert "counts          yes" in text
    assert "vocabulary      no: data must hold category ids, or --vocab gives one" in text
    assert "user   categorical         400" in text
    assert "| user | categorical | 400 |" in fmcompress("inspect", files.fm, "--format", "markdown").stdout


def test_what_the_file_does_not_tell(fmcompress):
    stderr = fmcompress("inspect", STATE_DICT, rc=2).stderr
    assert "fields its 23 categories belong to (pass --fields name:size" in stderr
    given = ("--fields", "user:7,price:linear,cat:11,item:5,clicked=item", "--link", "clip:1:5")
    found = inspected(fmcompress, DEEPCTR, *given)
    assert found["link"] == "clip:1:5"
    assert [(field["name"], field["kind"], field["table"]) for field in found["fields"]] == [
        ("user", "categorical", None),
        ("price", "linear", None),
        ("cat", "categorical", None),
        ("item", "categorical", None),
        ("clicked", "shared", "item"),
    ]


def test_model_of_ones_own_with_a_vocabulary(fmcompress):
    (fmcompress.folder / "vocab.json").write_text('{"user": {"alice": 0, "bob": 1, "__OOV__": 6}}')
    found = inspected(fmcompress, STATE_DICT, *OWN, "--vocab", "vocab.json")
    assert (found["tool"], found["link"], found["missing"]) == ("own model", "probit", ["counts"])
    assert found["fields"][0]["oov"] == 6
    assert found["fields"][1]["tokens"] is None


BOTH = """
import torch
state = torch.load({source!r})
wrapped = {{f"model._orig_mod.{{key}}": value for key, value in state.items()}}
wrapped |= {{"criterion.pos_weight": torch.ones(1), "val_auc.confmat": torch.zeros(2, 2)}}
torch.save({{"epoch": 3, "state_dict": wrapped, "optimizer_states": [], "hyper_parameters": {{}}}}, "lit.ckpt")
torch.save({{"net": state, "ema": state, "epoch": 3}}, "both.pt")
"""


def test_models_inside_of_something_else(fmcompress):
    code = BOTH.format(source=str(STATE_DICT))
    python = console_script().replace("fmcompress", "python")
    subprocess.run([python, "-c", code], cwd=fmcompress.folder, check=True)
    fields = ("--fields", "user:7,item:5,cat:11")
    found = inspected(fmcompress, "lit.ckpt", *fields)
    also = ["epoch", "optimizer_states", "hyper_parameters", "criterion.pos_weight", "val_auc.confmat"]
    assert (found["tool"], found["dim"], found["also"]) == ("pytorch-fm", 4, also)
    assert fmcompress("inspect", "both.pt", *fields, rc=2).stderr == (
        "error: both.pt: it holds 2 models, under 'net' and 'ema' (choose one: --key net)\n"
    )
    text = fmcompress("inspect", "both.pt", *fields, "--key", "ema").stdout
    assert "also in it      'net' and 'epoch'\n" in text
    found = inspected(fmcompress, "both.pt", *OWN, "--key", "net")
    assert (found["tool"], found["also"]) == ("own model", ["ema", "epoch"])
    fmcompress("quantize", "both.pt", *fields, "--key", "net", "--budget", "10KB", "-o", "a.safetensors")


def test_arrays_of_numpy(fmcompress):
    table = np.arange(20, dtype=np.float32).reshape(5, 4)
    np.savez_compressed(fmcompress.folder / "own.npz", V=table, w=np.arange(5.0), b=-0.5)
    found = inspected(fmcompress, "own.npz", "--map", "v=V,w=w,b=b", "--fields", "a:3,b:2")
    assert (found["tool"], found["dim"], found["bias"], found["also"]) == ("own model", 4, -0.5, [])


SEQUENCES = """
import json, torch
embeddings = "embedding_layer.embedding_layer.embedding_layers.{}.weight"
state = {"fm.lr_layer.bias": torch.zeros(1)}
for name in "ab":
    for pattern, width in ((embeddings, 3), ("fm.lr_layer." + embeddings, 1)):
        table = state[pattern.format(name)] = torch.randn(5, width, generator=torch.Generator().manual_seed(0))
        table[0] = 0
torch.save(state, "FM.model")
one = {"type": "categorical", "padding_idx": 0, "vocab_size": 5}
several = {**one, "type": "sequence", "feature_encoder": "layers.MaskedAveragePooling()", "max_len": 3}
json.dump({"features": [{"a": one}, {"b": several}]}, open("feature_map.json", "w"))
"""


def test_sequences_from_the_checkpoint_to_the_scores(fmcompress):
    python = console_script().replace("fmcompress", "python")
    subprocess.run([python, "-c", SEQUENCES], cwd=fmcompress.folder, check=True)
    field = inspected(fmcompress, "FM.model")["fields"][1]
    assert (field["kind"], field["pad"], field["pooling"]) == ("categorical", 0, "mean/sum")
    assert "categorical, mean/sum" in fmcompress("inspect", "FM.model").stdout
    lists = [[1, 2, 3], [4], [], None, [0, 2]]
    pq.write_table(pa.table({"a": [1, 2, 3, 4, 0], "b": lists}), fmcompress.folder / "rows.parquet")
    fmcompress("quantize", "FM.model", "--budget", "10KB", "-o", "a.safetensors")
    found = []
    for model in ("FM.model", "a.safetensors"):
        fmcompress("score", model, "rows.parquet", "-o", "scores.parquet", "--force")
        found.append(pq.read_table(fmcompress.folder / "scores.parquet")["prediction"].to_numpy())
    np.testing.assert_allclose(found[0], found[1], atol=0.01)
    assert len(set(found[0].tolist())) == 5


def test_artifact_is_pointed_to_report(fmcompress, files):
    stderr = fmcompress("inspect", files.ptq, rc=2).stderr
    assert stderr == (
        "error: ptq.safetensors: it is an artifact of fmcompress, expected a checkpoint "
        "(fmcompress report shows what is in it)\n"
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--link", "tanh"), "link is 'tanh', expected sigmoid"),
        (("--fields", "user"), "field 'user' is not name:size"),
        (("--map", "w=linear.fc.weight"), "where the embeddings are"),
        (("--vocab", "none.json"), "none.json: cannot be read: No such file"),
        (("--dataset", "none.json"), "none.json cannot be read"),
    ],
)
def test_options_that_make_no_sense(monkeypatch, capsys, arguments, says):
    """What the console script calls, in this process: imports take longer than any of these."""
    monkeypatch.setattr(sys, "argv", ["fmcompress", "inspect", str(FUXICTR), *arguments])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as caught:
        run()
    stderr = capsys.readouterr().err
    assert caught.value.code == 2
    assert says in stderr
    assert stderr.count("\n") == 1


def test_neither_torch_nor_faiss_is_imported():
    code = (
        "import sys; from fmcompress_cli.main import run\n"
        "try: run()\n"
        "finally: print([name for name in ('torch', 'faiss') if name in sys.modules])"
    )
    argv = [console_script().replace("fmcompress", "python"), "-c", code, "inspect", FUXICTR]
    done = subprocess.run(argv, capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.endswith("\n[]\n")


def rows_of(path):
    """Write the rows that FuxiCTR scored, tokens and numbers as they were, and return its predictions."""
    with FUXICTR.with_name("expected_test.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = {name: [row[name] for row in rows] for name in ("user", "item", "ctx")}
    numbers = {name: [float(row[name]) for row in rows] for name in ("price", "label")}
    pq.write_table(pa.table({**columns, **numbers}), path)
    return np.array([float(row["prob"]) for row in rows])


@pytest.mark.slow
def test_raw_rows_are_scored_as_the_tool_scores_them(here, tmp_path):
    expected = rows_of(tmp_path / "rows.parquet")
    here("score", FUXICTR, "rows.parquet", "-o", "scores.parquet")
    found = pq.read_table(tmp_path / "scores.parquet")["prediction"].to_numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ("quantize", STATE_DICT, "--budget", "10KB", "-o", "out.safetensors"),
        ("evaluate", STATE_DICT, "--data", "rows.parquet"),
        ("score", STATE_DICT, "rows.parquet", "-o", "out.parquet"),
        ("sweep", STATE_DICT, "--budgets", "10KB", "--data", "rows.parquet"),
    ],
)
def test_all_commands_can_be_told_the_same(here, command, tmp_path):
    columns = {"user": [0, 1, 2], "item": [0, 1, 2], "cat": [0, 1, 2], "label": [0, 1, 1]}
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
    here(*command, *OWN)


NETWORKS = FILES / "networks" / "fuxictr"


def test_networks_of_other_tools_are_shown_scored_and_evaluated(fmcompress, tmp_path):
    shown = fmcompress("inspect", NETWORKS / "net_all" / "DeepFM_net_all.model", "--activation", "Tanh").stdout
    assert "network         DeepFM 20-8-4-1, tanh\n" in shown
    with (NETWORKS / "net_cat" / "expected_test.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    expected = np.array([float(row["NFM"]) for row in rows])
    own = {name: [row[name] for row in rows] for name in ("user", "item", "ctx")}
    pq.write_table(pa.table({**own, "label": expected > np.median(expected)}), tmp_path / "rows.parquet")
    model = NETWORKS / "net_cat" / "NFM_net_cat.model"
    fmcompress("score", model, tmp_path / "rows.parquet", "-o", tmp_path / "scores.parquet")
    found = pq.read_table(tmp_path / "scores.parquet")["prediction"].to_numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    scores = fmcompress("evaluate", model, "--data", tmp_path / "rows.parquet", "--format", "json").stdout
    assert json.loads(scores)["models"][0]["auc"] == 1


def in_shards(folder):
    (key, first), *others = STATE.items()
    save_file({key: first}, folder / "a.safetensors")
    save_file(dict(others), folder / "b.safetensors")
    places = {key: "a.safetensors"} | dict.fromkeys(dict(others), "b.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))


def in_distributed(folder):
    torch.distributed.checkpoint.save(
        {key: torch.from_numpy(values) for key, values in STATE.items()}, checkpoint_id=folder, no_dist=True
    )


def in_tables(folder):
    for number, name in enumerate(("user", "item")):
        rows = {"field": [name] * 5, "key": [f"{each}" for each in range(5)], "v": [[1.0, number]] * 5}
        pq.write_table(pa.table(rows), folder / f"{name}.parquet")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("write", "tool", "container"),
    [
        (in_shards, "pytorch-fm", "safetensors, 2 files"),
        (in_distributed, "pytorch-fm", "torch.distributed.checkpoint, 1 file"),
        (in_tables, "Parquet table", "Parquet, 2 files"),
    ],
)
def test_checkpoints_in_several_files(tmp_path, write, tool, container):
    write(tmp_path)
    fields = None if tool == "Parquet table" else "user:7,item:5,cat:11"
    found = inspect(load_checkpoint(tmp_path, fields=fields), stored_bytes(tmp_path), container_of(tmp_path))
    assert (found.tool, found.container) == (tool, container)
    assert found.file_bytes == sum(file.stat().st_size for file in tmp_path.iterdir())
    assert re.search(rf"^container +{re.escape(container)}$", to_text(found), re.MULTILINE)
