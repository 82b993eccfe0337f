"""The folders in which commands of the pages run, with small files under the names that the pages use."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fmcompress_cli import demo
from fmcompress_cli.main import run

import fmcompress as fc
from fmcompress.backbones import training
from fmcompress.data.click_model import draw_clicks, random_click_model, write_rows
from fmcompress.fm.schema import Schema
from fmcompress.progress import SILENT
from tests.checkpoints.samples import FILES, STATE_DICT
from tests.conftest import SEED, console_script

SIZES = {"user": 1000, "item": 600, "city": 60, "category": 30, "hour": 24, "weekday": 7, "browser": 20, "device": 4}
ROWS = {"train": 3000, "valid": 1000, "test": 1000}
SHORT = "[train]\nepochs = 1\ndim = 8\nl2 = 1e-3\n[quantize]\nepochs = 1\n[sweep]\nepochs = 1\n"


def small_rows(folder, label="label"):
    """Write rows of clicks, and return the model that they are drawn from as a checkpoint."""
    schema = Schema.of(SIZES.items())
    clicks = random_click_model(schema, dim=8, seed=SEED)
    for seed, (part, rows) in enumerate(ROWS.items()):
        path = folder / f"{part}.parquet"
        write_rows(draw_clicks(clicks, rows, seed=seed), schema, path)
        table = pq.read_table(path)
        pq.write_table(table.rename_columns([label, *table.column_names[1:]]), path)
    return fc.FMCheckpoint(schema, clicks.bias, clicks.linear, clicks.embeddings)


def own_model(path, rows, **keys):
    """Write a model that no known tool made: the names of its embeddings, linear weights and bias are given."""
    import torch

    rng = np.random.default_rng(0)
    shapes = {"v": (rows, 2), "w": (rows, 1), "b": (1,)}
    torch.save({keys[part]: torch.from_numpy(rng.normal(size=shape)).float() for part, shape in shapes.items()}, path)


def tables_of_two_towers(folder):
    """Write a model with two embedding tables, counts of one, and both tables compressed."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    layers = {
        "user_emb": nn.Embedding(600, 16, padding_idx=0),
        "item_emb": nn.Embedding(200, 16),
        "mlp": nn.Linear(16, 16),
    }
    torch.save(nn.ModuleDict(layers).state_dict(), folder / "towers.pt")
    np.savez(folder / "counts.npz", user_emb=np.arange(600))
    fc.quantize_tables(fc.load_tables(folder / "towers.pt"), "20KB").save(folder / "tables.safetensors")


@pytest.fixture(scope="session")
def workspace(tmp_path_factory):
    """Return a folder with rows, checkpoints and artifacts; read only."""
    folder = tmp_path_factory.mktemp("workspace")
    model = small_rows(folder)
    fc.save_checkpoint(model, folder / "fm.pt")
    tables_of_two_towers(folder)
    keys = np.random.default_rng(SEED).integers(0, 2**64, SIZES["user"], dtype=np.uint64)
    pq.write_table(pa.table({"field": ["user"] * len(keys), "key": keys}), folder / "keys.parquet")
    for name, budget in {"artifact": "8KB", "tuned": "8KB", "old": "7KB"}.items():
        fc.quantize(model, budget).save(folder / f"{name}.safetensors")
    curve = fc.sweep(model, ["7KB", "8KB"], data=folder / "test.parquet")
    (folder / "curve.json").write_text(curve.to_json(), encoding="utf-8")
    own_model(folder / "own.pt", 6040 + 3706, v="emb.weight", w="lin.weight", b="bias")
    own_model(folder / "short.pt", 23, v="V", w="w", b="b")
    shutil.copy(STATE_DICT, folder / "fm_state_dict.pt")
    shutil.copytree(FILES / "fuxictr" / "tiny_cat", folder, dirs_exist_ok=True)
    shutil.copy(folder / "FM_tiny_cat.model", folder / "FM.model")
    (folder / "fmcompress.toml").write_text(SHORT)
    (folder / "release.toml").write_text('[check]\nmax-size = "10MB"\n')
    return folder


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory):
    """Return what ``fmcompress demo --folder demo`` makes, with fewer rows and categories, and a smaller model."""
    folder = tmp_path_factory.mktemp("demo")
    sizes = dict(demo._FIELDS) | {"user": 2000, "item": 1000, "city": 100}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "_FIELDS", tuple(sizes.items()))
        # Enough rows for a model that predicts: on fewer, differences of .001 in AUC are noise.
        patch.setattr(demo, "_ROWS", {"train": 40_000, "valid": 2000, "test": 10_000})
        patch.setattr(demo, "_SEED", SEED)
        patch.setattr(demo, "_EPOCHS", 1)
        patch.setattr(training, "TrainOptions", partial(training.TrainOptions, dim=16, epochs=3, lr=1e-2))
        demo._run(folder, SILENT)
    shutil.copy(folder / "tuned.safetensors", folder / "artifact.safetensors")
    (folder / "fmcompress.toml").write_text(SHORT)
    return folder


@pytest.fixture
def folder(workspace, tmp_path, monkeypatch):
    """Return a copy of the workspace, which is the current folder, and the root of a repository."""
    copy = shutil.copytree(workspace, tmp_path / "copy")
    (copy / ".git").mkdir()
    monkeypatch.chdir(copy)
    return copy


@pytest.fixture
def in_shell():
    """Return a function that runs a command in a shell, with the installed console script."""
    path = os.pathsep.join([str(Path(console_script()).parent), os.environ["PATH"]])
    env = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}

    def ran(command):
        argv = ["bash", "--noprofile", "--norc", "-c", command]
        done = subprocess.run(argv, env=env, capture_output=True, encoding="utf-8", check=False)
        return done.returncode, done.stdout, done.stderr

    return ran


@pytest.fixture
def in_process(monkeypatch, capsys):
    """Return a function that runs a command as the console script does, in this process: torch is imported once."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)

    def ran(command):
        program, *args = shlex.split(command.replace("\\\n", " "), comments=True)
        assert program == "fmcompress", f"{program} is no command that can be run here"
        monkeypatch.setattr(sys, "argv", [program, *args])
        with pytest.raises(SystemExit) as ended:
            run()
        return (ended.value.code or 0, *capsys.readouterr())

    return ran
