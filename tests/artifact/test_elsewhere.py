"""Artifacts that another machine made, with the predictions that it gave for some rows.

They hold tiers and int8, three subspaces of 100 codewords, numeric fields, and numeric fields without embeddings.
"""

from pathlib import Path

import numpy as np
import pytest

import fmcompress as fc

MADE = sorted((Path(__file__).parent / "elsewhere").glob("*.safetensors"))


@pytest.mark.parametrize("path", MADE, ids=lambda path: path.stem)
def test_predictions_are_the_same_on_any_machine(path):
    with np.load(path.with_suffix(".npz")) as kept:
        rows = [kept[name] for name in ("ids", "values") if name in kept]
        found, expected = fc.load(path).predict(*rows), kept["predictions"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("path", MADE, ids=lambda path: path.stem)
def test_the_format_and_the_budget_are_the_same_on_any_machine(path, tmp_path):
    model = fc.load(path)
    model.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path.read_bytes()
    budget_bytes = model.header.origin.budget_bytes
    assert fc.report(path).file_bytes == path.stat().st_size <= budget_bytes
