"""A whole job with all of its heavy work done by torch, as on a GPU: on the CPU, which stands in for one."""

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
import torch

import fmcompress as fc
from fmcompress import pipeline
from fmcompress.data.click_model import draw_clicks, random_click_model, write_rows
from fmcompress.errors import UsageError
from fmcompress.finetune.module_scorer import ModuleScorer
from fmcompress.finetune.options import ReassignOptions
from fmcompress.fm.schema import Schema
from fmcompress.progress import Progress
from fmcompress.quantization import device_kmeans
from tests.devices.offloaded import torch_at_work

pytestmark = pytest.mark.slow

SCHEMA = Schema.of([("user", 300), ("item", 200), ("city", 12)])
CLICKS = random_click_model(SCHEMA, dim=6, seed=0)
FM = fc.FMCheckpoint(SCHEMA, CLICKS.bias, CLICKS.linear, CLICKS.embeddings)
TUNING = fc.TuneOptions(epochs=2, reassign=ReassignOptions(share=1.0))


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    for seed, (name, size) in enumerate({"train": 8000, "valid": 4000}.items()):
        write_rows(draw_clicks(CLICKS, size, seed=seed), SCHEMA, folder / f"{name}.parquet")
    return {name: folder / f"{name}.parquet" for name in ("train", "valid")}


@pytest.mark.parametrize("method", ["auto", "lightfm"])
def test_an_artifact_is_as_good_as_that_of_the_cpu_and_the_same_each_time(rows, tmp_path, method):
    settings = {"budget": 2600, "method": method, "device": "cpu", **rows}
    settings |= {"tuning": TUNING if method == "auto" else fc.TuneOptions(epochs=2)}
    if method == "lightfm":
        settings |= {"method": fc.LightFM(subspaces=2, codewords=16), "budget": None}
    on_cpu = fc.quantize(FM, **settings)
    with torch_at_work():
        for name in "ab":
            fc.quantize(FM, **settings).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    found = fc.load(tmp_path / "a")
    assert found.file_bytes <= max(2600, on_cpu.file_bytes)
    expected, reached = (fc.evaluate(model, rows["valid"]) for model in (on_cpu, found))
    assert reached.logloss == pytest.approx(expected.logloss, abs=0.003)
    assert reached.auc == pytest.approx(expected.auc, abs=0.003)


def test_all_heavy_work_is_done_by_torch(rows):
    """What each phase calls on a device is called."""
    called = []

    def watched(owner, name):
        original = getattr(owner, name)
        return patch.object(owner, name, lambda *a, **k: called.append(original.__qualname__) or original(*a, **k))

    from fmcompress.data.counting import DeviceCounts
    from fmcompress.methods.auto import device_codebooks
    from fmcompress.methods.auto.device_rows import DeviceRowsByCategory
    from fmcompress.methods.auto.device_shifts import DeviceRises
    from fmcompress.quantization.device_moments import DeviceMoments

    with (
        torch_at_work(),
        watched(DeviceCounts, "total"),
        watched(DeviceMoments, "sums"),
        watched(device_kmeans, "train_centroids"),
        watched(device_kmeans, "nearest"),
        watched(device_codebooks, "nested_on_device"),
        watched(DeviceRises, "sums"),
        watched(DeviceRowsByCategory, "derivatives"),
        watched(ModuleScorer, "predict"),
    ):
        fc.quantize(FM, 2600, device="cpu", tuning=replace(TUNING, epochs=1), **rows)
    of_classes = {"DeviceCounts.total", "DeviceMoments.sums", "DeviceRises.sums", "DeviceRowsByCategory.derivatives"}
    of_classes.add("ModuleScorer.predict")
    assert set(called) == of_classes | {"train_centroids", "nearest", "nested_on_device"}


def test_a_full_memory_ends_a_job_with_one_line(rows, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(device_kmeans, "train_centroids", full)
    with torch_at_work(), pytest.raises(UsageError, match="the memory of the device cpu is full"):
        fc.quantize(FM, 2600, device="cpu", **rows)


def test_faiss_without_gpus_is_told_once(monkeypatch):
    told = []
    progress = type("Told", (Progress,), {"note": lambda _, message: told.append(message)})()
    monkeypatch.setattr(pipeline, "resolve_device", lambda device: device)
    job = pipeline.open_job(replace(FM, counts=np.ones(512, np.int64)), 2600, device="cuda", progress=progress)
    monkeypatch.setattr(type(job.method), "measure", lambda self, job: None)
    pipeline.measure(job)
    assert [message for message in told if "faiss is not built for GPUs" in message] == told
    assert len(told) == 1
