"""Artifacts made without data are held against the checkpoint on drawn rows, and say what was found."""

import dataclasses

import numpy as np
import pytest

import fmcompress as fc
from fmcompress.artifact.origin import Sampled
from fmcompress.errors import FMCompressWarning
from fmcompress.evaluation.sampled_rows import doubt_of, sampled_errors
from tests.models import random_checkpoint

CHECKPOINT = random_checkpoint((130, 200, 60), dim=8)


def test_errors_are_those_of_the_logits_and_written_with_two_digits(tmp_path):
    model = fc.quantize(CHECKPOINT, 6000)
    found = model.header.origin.sampled
    assert found == sampled_errors(CHECKPOINT, model, seed=0)
    assert 0 < found.mean < found.largest
    assert found.mean < 0.2 * found.spread
    model.save(tmp_path / "a.safetensors")
    assert (tmp_path / "a.safetensors").stat().st_size == model.file_bytes <= 6000
    read = fc.load(tmp_path / "a.safetensors").header.origin.sampled
    for name in ("largest", "mean", "spread"):
        assert getattr(read, name) == pytest.approx(getattr(found, name), rel=0.05)


def test_with_room_for_everything_they_are_those_of_rounding():
    assert fc.quantize(CHECKPOINT, 10**6).header.origin.sampled.largest < 1e-2


def test_the_most_extreme_categories_are_among_the_rows():
    model = fc.quantize(CHECKPOINT, 10**6)
    linear = CHECKPOINT.linear.copy()
    linear[150] = 77.0  # as if quantizing had lost this weight
    found = sampled_errors(dataclasses.replace(CHECKPOINT, linear=linear), model, seed=0)
    assert found.largest == pytest.approx(77, abs=1)


def test_what_is_bad_is_doubted():
    assert doubt_of(Sampled(1.0, 0.1, 1.0)) is None
    assert doubt_of(Sampled(0.0, 0.0, 0.0)) is None
    assert "off by 0.6 on average" in doubt_of(Sampled(1.0, 0.6, 1.0))
    assert doubt_of(Sampled(np.inf, 0.1, 1.0)) is not None


def test_a_bad_artifact_warns_and_tells_in_each_report():
    smallest = fc.errors.BudgetError
    with pytest.raises(smallest) as refused:
        fc.quantize(CHECKPOINT, 10)
    with pytest.warns(FMCompressWarning, match="on sampled rows"):
        model = fc.quantize(CHECKPOINT, refused.value.smallest_bytes)
    report = fc.report(model)
    mean = f"{report.sampled.mean:.2g}"
    assert report.to_dict()["sampled"]["mean"] == report.sampled.mean
    for shown in (report.to_text(), report.to_markdown()):
        assert f"off by {mean} on average" in shown
    assert "Logit error, drawn rows" in report.to_html()
