"""Real data sets, a few epochs each: loose bounds that a broken step would miss by far."""

import json

import pyarrow.parquet as pq
import pytest

import fmcompress as fc
from fmcompress.backbones.training import TrainOptions, train
from fmcompress.data.rows import open_training_rows
from fmcompress.pipeline import make_plan, open_job

pytestmark = pytest.mark.slow


def trained(folder, **options):
    """Return a factorization machine trained for a short while, and its scores on the test rows."""
    rows, valid = open_training_rows(folder / "train.parquet", folder / "valid.parquet")
    checkpoint = train(rows, valid, TrainOptions(l2=1e-3, **options)).checkpoint
    return checkpoint, fc.evaluate(checkpoint, folder / "test.parquet", oov="zero")


@pytest.fixture(scope="module")
def frappe(real_data):
    return real_data("frappe"), *trained(real_data("frappe"), dim=8, epochs=2, lr=1e-2)


def test_frappe_at_a_tenth(frappe):
    folder, checkpoint, full = frappe
    assert full.auc > 0.9
    budget = checkpoint.fp32_bytes // 10
    untuned = fc.quantize(checkpoint, budget)
    tuned = fc.quantize(
        checkpoint, budget, train=folder / "train.parquet", valid=folder / "valid.parquet",
        tuning=fc.TuneOptions(epochs=1),
    )  # fmt: skip
    assert full.auc - fc.evaluate(untuned, folder / "test.parquet").auc < 0.01
    assert full.auc - fc.evaluate(tuned, folder / "test.parquet").auc < 0.005


def test_frappe_down_the_ladder(frappe, tmp_path):
    _, checkpoint, _ = frappe
    with pytest.raises(fc.BudgetError) as caught:
        fc.quantize(checkpoint, 1)
    smallest = caught.value.smallest_bytes
    for budget in (smallest, 4_000, 10**7):
        fc.quantize(checkpoint, budget).save(tmp_path / f"{budget}.safetensors")
        assert (tmp_path / f"{budget}.safetensors").stat().st_size <= budget
        plain = fc.quantize(checkpoint, max(budget, 6_000), layout="plain")
        assert plain.file_bytes == make_plan(open_job(checkpoint, max(budget, 6_000), layout="plain")).file_bytes


def test_ml1m_at_a_tenth(real_data):
    folder = real_data("ml1m")
    checkpoint, full = trained(folder, dim=4, epochs=1, lr=1e-2)
    untuned = fc.quantize(checkpoint, checkpoint.fp32_bytes // 10)
    assert full.auc > 0.7
    assert full.auc - fc.evaluate(untuned, folder / "test.parquet").auc < 0.01


def test_criteo_from_python(real_data, tmp_path):
    folder = real_data("criteo/ids")
    checkpoint, full = trained(folder, dim=4, epochs=1)
    model = fc.quantize(checkpoint, "200KB", train=folder / "train.parquet", tuning=fc.TuneOptions(epochs=1))
    model.save(tmp_path / "a.safetensors")
    assert (tmp_path / "a.safetensors").stat().st_size <= 200_000
    found = fc.evaluate(fc.load(tmp_path / "a.safetensors"), folder / "test.parquet", oov="zero")
    assert full.auc - found.auc < 0.02


def test_talkingdata_from_the_command_line(here, real_data, tmp_path):
    """Sizes of fields differ between the splits, and test rows hold ids that no other rows do."""
    folder = real_data("talkingdata")
    data = [folder / f"{part}.parquet" for part in ("train", "valid", "test")]
    here("train", data[0], "--valid", data[1], "-o", "fm.pt", "--epochs", "1", "--l2", "1e-3", "--dim", "4")
    here("quantize", "fm.pt", "--budget", "200KB", "--train", data[0], "--valid", data[1], "--epochs", "1",
               "-o", "a.safetensors")  # fmt: skip
    assert (tmp_path / "a.safetensors").stat().st_size <= 200_000
    done = here("evaluate", "fm.pt", "a.safetensors", "--data", data[2], "--oov", "zero", "--format", "json")
    full, small = json.loads(done.stdout)["models"]
    assert full["auc"] - small["auc"] < 0.02
    here("score", "a.safetensors", data[2], "--oov", "zero", "-o", "scores.parquet")
    assert pq.read_metadata(tmp_path / "scores.parquet").num_rows == full["rows"]
