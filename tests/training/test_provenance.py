"""What an artifact says of where it comes from, and what decides whether a run can be gone on with."""

from dataclasses import asdict, replace

import pytest

import fmcompress as fc
from fmcompress.data.options import DataOptions
from fmcompress.data.rows import TuningData
from fmcompress.fm.checkpoint import Source
from fmcompress.training.provenance import fingerprint_of, origin_of
from tests.models import random_checkpoint
from tests.training.scripted import MemoryRows

CHECKPOINT = random_checkpoint((40, 7), dim=4)
DATA = TuningData(MemoryRows(10), MemoryRows(2), DataOptions())
TUNING = fc.TuneOptions(moving=fc.MovingOptions())


def fingerprint(checkpoint=CHECKPOINT, data=DATA, method=fc.LightFM(), tuning=TUNING, **changes):  # noqa: B008
    given = {"budget_bytes": 5000, "seed": 3, "carries_vocabulary": False, **changes}
    origin = origin_of(checkpoint, given["budget_bytes"], method.name, given["seed"], data)
    return fingerprint_of(
        checkpoint,
        origin,
        data,
        method_settings=asdict(method),
        tuning_settings=asdict(tuning),
        carries_vocabulary=given["carries_vocabulary"],
    )


def test_without_data_torch_has_no_part_in_an_artifact():
    origin = origin_of(CHECKPOINT, 5000, "auto", 3, None)
    assert (origin.budget_bytes, origin.method, origin.seed, origin.source) == (5000, "auto", 3, ())
    assert list(origin.libraries) == ["fmcompress", "faiss", "numpy"]
    assert origin.quality == {}


def test_quality_has_its_place_before_it_is_known():
    source = Source("pytorch-fm", "fm.pt", "ab" * 32)
    origin = origin_of(replace(CHECKPOINT, source=source), 5000, "auto", 3, DATA)
    assert origin.source == ("pytorch-fm", "fm.pt", "ab" * 32)
    assert list(origin.libraries) == ["fmcompress", "faiss", "numpy", "torch"]
    assert [(name, quality.rows) for name, quality in origin.quality.items()] == [
        *(("source", 2), ("untuned", 2), ("artifact", 2))
    ]


def test_a_fingerprint_is_flat_and_names_what_was_chosen():
    found = fingerprint()
    assert all(isinstance(value, str | int | float | None) for value in found.values())
    expected = {"method": "lightfm", "codewords": 1024, "moving_candidates": 16, "reassign": None, "seed": 3}
    assert {name: found[name] for name in expected} == expected
    assert {"train_rows": 10, "valid_rows": 2, "oov": "error", "device": "cpu"}.items() <= found.items()
    assert found == fingerprint()


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"seed": 4}, {"seed"}),
        ({"budget_bytes": 6000}, {"budget_bytes"}),
        ({"carries_vocabulary": True}, {"carries_vocabulary"}),
        ({"method": fc.LightFM(codewords=16)}, {"codewords"}),
        ({"tuning": replace(TUNING, lr=0.5)}, {"lr"}),
        ({"tuning": replace(TUNING, seed=9)}, set()),  # the job's seed overrules it
        ({"data": replace(DATA, rows=MemoryRows(11))}, {"train_rows"}),
        ({"data": replace(DATA, options=DataOptions(oov="zero"))}, {"oov"}),
        ({"checkpoint": replace(CHECKPOINT, bias=1.5)}, {"checkpoint_sha256", "weights_sha256"}),
        ({"checkpoint": replace(CHECKPOINT, link="probit")}, {"checkpoint_sha256", "weights_sha256", "link"}),
    ],
)
def test_another_run_has_another_fingerprint(changes, names):
    first, second = fingerprint(), fingerprint(**changes)
    assert {name for name in first if first[name] != second[name]} == names
