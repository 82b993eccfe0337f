"""Weights as they are found in the wild: huge, tiny, with outliers, from the installed console script."""

import dataclasses
import json
import re

import numpy as np
import pytest

import fmcompress as fc
from tests.models import random_checkpoint
from tests.wild import wild_checkpoint

pytestmark = pytest.mark.slow

USAGE = 2


def saved(path, *, entry=None, weight=None, times=1.0, counts=True):
    """Write a checkpoint of 390 rows with weights multiplied, one entry or linear weight replaced."""
    found = random_checkpoint((130, 200, 60), dim=8, counts=counts)
    embeddings, linear = found.embeddings * np.float32(times), found.linear.copy()
    if entry is not None:
        embeddings[137, 3] = entry
    if weight is not None:
        linear[137] = weight
    fc.save_checkpoint(dataclasses.replace(found, embeddings=embeddings, linear=linear), path)
    return path


@pytest.mark.parametrize("times", [1e20, 1e30])
def test_weights_that_cannot_predict_are_refused_in_a_line(fmcompress, tmp_path, times):
    done = fmcompress("quantize", saved(tmp_path / "fm.pt", times=times), "--budget", "8KB", rc=USAGE)
    assert "category" in done.stderr
    assert "too large" in done.stderr
    assert done.stderr.startswith("error: field 'f")
    assert not list(tmp_path.glob("*.safetensors*"))


@pytest.mark.parametrize("method", ["auto", "lightfm"])
def test_an_entry_that_cannot_predict_is_named(here, tmp_path, method):
    file = saved(tmp_path / "fm.pt", entry=1e20)
    done = here("quantize", file, "--budget", "80KB", "--method", method, rc=USAGE)
    assert "field 'f1', category 7: an embedding with 1e+20" in done.stderr


@pytest.mark.parametrize(("entry", "weight"), [(1e5, None), (None, 1e6), (1e16, -1e30), (65505.0, 1e-30)])
def test_outliers_are_quantized_finitely_within_the_budget(here, tmp_path, entry, weight):
    file = saved(tmp_path / "fm.pt", entry=entry, weight=weight)
    here("quantize", file, "--budget", "8KB", "-o", "a.safetensors")
    model = fc.load(tmp_path / "a.safetensors")
    assert model.file_bytes <= 8000
    ids = np.array([[3, 7, 5], [-1, 7, -1], [1, 1, 1]])
    assert np.isfinite(model.predict(ids)).all()
    (fields,) = (json.loads(here("report", "a.safetensors", "--format", "json").stdout)["fields"],)
    assert ":32" in fields[1]["quantizer"]
    assert ":32" not in fields[0]["quantizer"] + fields[2]["quantizer"]


@pytest.mark.parametrize("times", [1e15, 1e-20, 1e-30])
def test_weights_of_any_size_that_predict_are_quantized(here, tmp_path, times):
    here("quantize", saved(tmp_path / "fm.pt", times=times), "--budget", "8KB", "-o", "a.safetensors")
    assert np.isfinite(fc.load(tmp_path / "a.safetensors").predict([[3, 7, 5]])).all()


@pytest.mark.parametrize("seed", [5, 6])
def test_wild_weights_end_well(fmcompress, tmp_path, seed):
    fc.save_checkpoint(wild_checkpoint(seed), tmp_path / "fm.pt")
    done = fmcompress("quantize", "fm.pt", "--budget", "4KB")
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr


def test_without_data_errors_on_drawn_rows_are_told_and_bad_ones_with_quiet_too(here, tmp_path):
    file = saved(tmp_path / "fm.pt", times=10)
    done = here("quantize", file, "--budget", "8KB", "-o", "a.safetensors")
    assert "sampled rows: logits are off by" in done.stderr
    assert "warning" not in done.stderr
    found = json.loads(here("report", "a.safetensors", "--format", "json").stdout)["sampled"]
    assert 0 < found["mean"] < found["largest"]
    least = re.search(r"--budget (\d+) is the least", here("quantize", file, "--budget", "20", rc=1).stderr)[1]
    done = here("--quiet", "quantize", file, "--budget", least, "-o", "b.safetensors")
    assert done.stderr.startswith("warning: without data, logits of the artifact are off by")
    assert "on drawn rows" in here("report", "b.safetensors").stdout
