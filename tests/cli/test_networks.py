"""DeepFM and NFM by the installed commands: from training to a gate."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

import fmcompress as fc
from fmcompress.data.click_model import write_rows
from tests import networks

pytestmark = pytest.mark.slow

SCHEMA = networks.PLAIN


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Rows that a network has drawn, and checkpoints trained on them."""
    found = tmp_path_factory.mktemp("networks")
    ckpt = networks.checkpoint("deepfm", SCHEMA)
    rows = networks.batch(ckpt, 9000)
    for name, part in (("train", slice(6000)), ("valid", slice(6000, 8500)), ("test", slice(8500, None))):
        own = rows.take(part)
        write_rows(type(own)(np.maximum(own.ids, 0), own.labels), SCHEMA, found / f"{name}.parquet")
    return found


@pytest.mark.parametrize("kind", networks.KINDS)
def test_from_training_to_a_gate(here, folder, tmp_path, kind):
    rows = ("--valid", folder / "valid.parquet")
    how = ("--backbone", kind, "--hidden", "8,4", "--dim", "4", "--l2", "1e-3", "--lr", "2e-2", "--epochs", "3")
    here("train", folder / "train.parquet", *rows, "-o", "net.pt", *how)
    ckpt = fc.load_checkpoint(tmp_path / "net.pt")
    title = {"deepfm": "DeepFM 12-8-4-1, relu", "nfm": "NFM 4-8-4-1, relu"}[kind]
    assert title in here("inspect", "net.pt").stdout

    here("quantize", "net.pt", "--budget", "2500", "-o", "alone.safetensors")
    for method in (("auto", "--budget", "2500"), ("lightfm", "--codewords", "8", "--linear-codewords", "8")):
        name = f"{method[0]}.safetensors"
        tuning = ("--train", folder / "train.parquet", *rows, "--epochs", "2")
        here("quantize", "net.pt", "--method", *method, *tuning, "-o", name)
        report = json.loads(here("report", name, "--format", "json").stdout)
        assert report["network"].startswith(title)
        assert report["network_bytes"] > 100
        assert report["file_bytes"] == (tmp_path / name).stat().st_size
    assert (tmp_path / "auto.safetensors").stat().st_size <= 2500

    here("score", "net.pt", folder / "test.parquet", "-o", "of-checkpoint.parquet")
    here("score", "auto.safetensors", folder / "test.parquet", "-o", "of-artifact.parquet")
    predicted = [
        pq.read_table(tmp_path / f"of-{name}.parquet")["prediction"].to_numpy() for name in ("checkpoint", "artifact")
    ]
    ids = np.stack([pq.read_table(folder / "test.parquet")[name].to_numpy() for name in SCHEMA.names], axis=1)
    np.testing.assert_allclose(predicted[1], fc.load(tmp_path / "auto.safetensors").predict(ids), atol=1e-6)
    assert np.corrcoef(*predicted)[0, 1] > 0.9
    assert "AUC" in here("evaluate", "auto.safetensors", "--data", folder / "test.parquet").stdout
    gate = ("--max-size", "2500", "--data", folder / "test.parquet", "--baseline", "net.pt", "--max-auc-drop", "0.2")
    here("check", "auto.safetensors", *gate)
    assert ckpt.network.kind == kind


def test_baselines_are_made_of_factorization_machines_alone(here, folder):
    how = ("--backbone", "nfm", "--hidden", "", "--dim", "4", "--l2", "1e-3", "--lr", "1e-3", "--epochs", "1")
    here("train", folder / "train.parquet", "-o", "net.pt", *how)
    rows = ("--train", folder / "train.parquet", "--valid", folder / "valid.parquet", "--data", folder / "test.parquet")
    found = here("sweep", "net.pt", "--budgets", "3KB", *rows, "--baselines", "rowwise-int4", rc=2)
    assert "network" in found.stderr


def test_hidden_layers_that_are_no_numbers_are_refused(here, folder):
    found = here("train", folder / "train.parquet", "-o", "net.pt", "--backbone", "nfm", "--hidden", "a,b", rc=2)
    assert "--hidden is 'a,b'" in found.stderr
