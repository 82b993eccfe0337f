"""The commands take libsvm text as they take Parquet."""

import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest

from fmcompress.fm.schema import Schema
from tests.conftest import FIELDS

pytestmark = pytest.mark.slow

SIZES = ",".join(f"{name}:{size}" for name, size in FIELDS)
SCHEMA = Schema.of(FIELDS)


@pytest.fixture(scope="module")
def text(files, tmp_path_factory):
    """Return a folder with the same rows as the Parquet files, as lines that count indices from 1."""
    folder = tmp_path_factory.mktemp("text")
    for part in ("train", "test"):
        rows = pq.read_table(getattr(files, part))
        indices = np.stack([rows[name].to_numpy() for name in SCHEMA.names], axis=1) + SCHEMA.offsets + 1
        lines = zip(rows["label"].to_pylist(), indices.tolist(), strict=True)
        (folder / f"{part}.svm").write_text(
            "".join(f"{label or -1} {' '.join(f'{index}:1' for index in own)}\n" for label, own in lines)
        )
    return folder


def test_scores_and_artifacts_are_those_of_parquet(here, files, text, tmp_path):
    as_text = ("--first-index", "1")
    found = [
        json.loads(here("evaluate", files.fm, files.tuned, "--data", *data, "--format", "json").stdout)
        for data in ((files.test,), (text / "test.svm", *as_text))
    ]
    assert found[0] == found[1]
    here("score", files.tuned, text / "test.svm", *as_text, "-o", "a.parquet")
    here("score", files.tuned, files.test, "-o", "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_training_and_tuning_on_text(here, text):
    arguments = (text / "train.svm", "--first-index", "1", "--epochs", "1")
    options = ("--dim", "4", "--l2", "1e-3", "--lr", "1e-3", "--fields", SIZES)
    assert "--fields" in here("train", *arguments, *options[:4], "-o", "fm.pt", rc=2).stderr
    here("train", *arguments, *options, "-o", "fm.pt")
    here("quantize", "fm.pt", "--budget", "6KB", "--train", *arguments, "-o", "small.safetensors")
    test = ("--data", text / "test.svm")
    assert "AUC" in here("sweep", "fm.pt", "--budgets", "6KB", *test, "--first-index", "1").stdout
    assert re.search(r"test.svm: line \d+: index 704 is out of range", here("evaluate", "fm.pt", *test, rc=2).stderr)
