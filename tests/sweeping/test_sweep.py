"""The size-quality curve from Python: shared measurements, same bytes as single runs, what is refused when."""

import math
import subprocess
import sys

import pytest

import fmcompress as fc
from fmcompress import pipeline
from fmcompress.sweeping.sweep import parse_budgets
from tests.notes import Notes

pytestmark = pytest.mark.slow

TUNING = fc.TuneOptions(epochs=1)


@pytest.fixture(scope="module")
def checkpoint(files):
    return fc.load_checkpoint(files.fm)


@pytest.fixture
def untouched(monkeypatch):
    """Fail where anything is computed."""

    def never(*_, **__):
        raise AssertionError("computed before everything was checked")

    monkeypatch.setattr(pipeline, "measure", never)


@pytest.mark.parametrize(
    ("budgets", "found"),
    [
        ("20KB,10KB", (10_000, 20_000)),
        ("20KB, 20000,2e", None),
        (["20KB", 20_000, "10 KB"], (10_000, 20_000)),
        ("10x,2.5X", (2534, 10_137)),
        (["10x", 3000], (2534, 3000)),
        ("1x", (25_344,)),
        ([], None),
        ("", None),
        ("20KB,,30KB", None),
        ("0x", None),
        ("99999999x", None),
        ("-1x", None),
        ([0], None),
    ],
)
def test_budgets(budgets, found):
    if found is None:
        with pytest.raises(fc.UsageError):
            parse_budgets(budgets, 25_344)
    else:
        assert parse_budgets(budgets, 25_344) == found


def test_without_data_no_torch_and_no_quality(checkpoint, tmp_path):
    code = (
        "import sys, fmcompress as fc; curve = fc.sweep(fc.load_checkpoint(sys.argv[1]), '3KB,6KB')\n"
        "curve.to_text(); print([p.quality for p in curve.points], callable(fc.sweep))\n"
        "print([m for m in ('torch', 'pyarrow', 'matplotlib') if m in sys.modules])"
    )
    fc.save_checkpoint(checkpoint, tmp_path / "fm.safetensors")
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "fm.safetensors"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[None, None] True\n[]\n"


def test_all_budgets_are_measured_once_and_bytes_are_those_of_quantize(files, checkpoint, tmp_path, monkeypatch):
    measured = []
    measure = pipeline.measure
    monkeypatch.setattr(pipeline, "measure", lambda job: measured.append(job) or measure(job))
    data = {"train": files.train, "valid": files.valid, "device": "cpu", "tuning": fc.TuneOptions(epochs=1)}
    notes = Notes()
    curve = fc.sweep(checkpoint, ["6KB", "20x", 100, 3000], **data, output_dir=tmp_path / "kept", progress=notes)
    assert len(measured) == 1
    assert [point.budget_bytes for point in curve.points] == [100, 1267, 3000, 6000]
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == [
        "fm-1267.safetensors", "fm-3000.safetensors", "fm-6000.safetensors",
    ]  # fmt: skip
    for point in curve.points[2:]:
        single = tmp_path / "single.safetensors"
        model = fc.quantize(checkpoint, point.budget_bytes, **data)
        model.save(single, force=True)
        kept = tmp_path / "kept" / f"fm-{point.budget_bytes}.safetensors"
        assert kept.read_bytes() == single.read_bytes()
        assert point.file_bytes == kept.stat().st_size <= point.budget_bytes
    assert curve.measured_on == "validation"
    last = curve.points[-1]
    scores = fc.evaluate(fc.load(kept), files.valid)
    assert (last.quality.auc, last.quality.logloss) == pytest.approx((scores.auc, scores.logloss), abs=1e-6)
    assert last.predicted_rise == fc.report(model).predicted_rise
    assert last.seconds > 0
    assert sum(line.startswith("auto, ") and "validation AUC" in line for line in notes.lines) == 3


def test_points_are_measured_on_test_data(files, checkpoint):
    curve = fc.sweep(checkpoint, "6KB", data=files.test)
    scores = fc.evaluate(fc.load(files.ptq), files.test)
    fm = fc.evaluate(checkpoint, files.test)
    assert (curve.measured_on, curve.points[0].quality.rows) == ("test", 4000)
    assert curve.points[0].quality.auc == pytest.approx(scores.auc, abs=1e-9)
    assert curve.checkpoint.quality.logloss == pytest.approx(fm.logloss, abs=1e-9)


def test_lightfm(checkpoint):
    curve = fc.sweep(checkpoint, [1000, 12_000], method=fc.LightFM(subspaces=2, codewords=16))
    assert curve.points[0].smallest_bytes >= curve.points[1].file_bytes  # by what entropy coding saves
    assert [point.name for point in curve.points] == ["lightfm", "lightfm"]


def test_baselines(files, checkpoint):
    data = {"train": files.train, "valid": files.valid, "data": files.test, "device": "cpu", "tuning": TUNING}
    curve = fc.sweep(checkpoint, "5KB", **data, baselines=["uniform-pq", "rowwise-int4", "uniform-pq"])
    assert [point.baseline for point in curve.points] == [None, "uniform-pq", "rowwise-int4"]
    assert curve.points[1].file_bytes <= 5000
    assert all(math.isfinite(point.quality.auc) and point.quality.rows == 4000 for point in curve.points)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"budgets": "some"}, fc.UsageError, "'some' is not a size"),
        ({"method": "best"}, fc.UsageError, "method is 'best'"),
        ({"method": "xlightfm"}, fc.UsageError, "searches on data"),
        ({"method": "lightfm", "budgets": [500, 600]}, fc.BudgetError, "the artifact has"),
        ({"seed": -1}, fc.UsageError, "seed is -1"),
        ({"baselines": ["rowwise-int4"]}, fc.UsageError, "without training data"),
        ({"baselines": ["best"], "train": "train"}, fc.UsageError, "baseline is 'best', expected smaller-fm"),
        ({"valid": "valid"}, fc.UsageError, "without training data"),
        ({"data": "none"}, fc.DataError, "no such file"),
        ({"plot": "curve.gif"}, fc.UsageError, "no name for a plot"),
        ({"plot": "none/curve.svg"}, fc.OutputError, "no folder"),
        ({"plot": "old.svg"}, fc.OutputError, "exists"),
        ({"output_dir": "old.svg"}, fc.OutputError, "no folder"),
        ({"output_dir": "none/kept"}, fc.OutputError, "no folder"),
        ({"output_dir": "."}, fc.OutputError, "fm-6000.safetensors exists"),
    ],
)
def test_refused_before_anything_is_computed(files, checkpoint, tmp_path, monkeypatch, options, error, says):
    monkeypatch.chdir(tmp_path)
    for name in ("old.svg", "fm-6000.safetensors"):
        (tmp_path / name).write_text("old")
    options = {"budgets": "6KB", **options}
    for part in ("train", "valid"):
        if part in options:
            options[part] = getattr(files, part)
    with pytest.raises(error, match=says):
        fc.sweep(checkpoint, options.pop("budgets"), **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fm-6000.safetensors", "old.svg"]


def test_no_budget_is_met(checkpoint, tmp_path):
    with pytest.raises(fc.BudgetError, match="no budget is large enough: the smallest artifact") as caught:
        fc.sweep(checkpoint, [10, 20], output_dir=tmp_path / "kept", plot=tmp_path / "curve.svg")
    assert 20 < caught.value.smallest_bytes < 3000
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_after_an_error(files, checkpoint, tmp_path, monkeypatch):
    quantize = pipeline.quantize

    def broken(job, plan, measured):
        if plan.file_bytes >= 4000:
            raise fc.DataError("a broken file")
        return quantize(job, plan, measured)

    monkeypatch.setattr(pipeline, "quantize", broken)
    with pytest.raises(fc.DataError):
        fc.sweep(checkpoint, "3KB,6KB", output_dir=tmp_path / "kept", plot=tmp_path / "curve.svg")
    assert list(tmp_path.iterdir()) == []


def test_outputs_are_no_inputs(files, checkpoint, tmp_path):
    data = tmp_path / "test.svg"
    data.write_bytes(files.test.read_bytes())
    with pytest.raises(fc.OutputError, match="is an input"):
        fc.sweep(checkpoint, "6KB", data=data, plot=data, force=True)
