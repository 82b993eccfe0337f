"""The commands do what they say, from the installed console script."""

import json
import re
import subprocess

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fmcompress as fc
from fmcompress.pipeline import make_plan, open_job
from fmcompress.sizes import format_size, parse_size
from tests.conftest import BUDGET, FIELDS, console_script

pytestmark = pytest.mark.slow

COMMANDS = (
    "train",
    "inspect",
    "quantize",
    "sweep",
    "report",
    "compare",
    "evaluate",
    "check",
    "score",
    "export",
    "demo",
)
HEAVY = ("torch", "faiss", "pyarrow", "sklearn", "scipy", "numpy")


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help_is_instant(command):
    code = (
        "import sys; from fmcompress_cli.main import run; sys.argv = sys.argv[:1] + sys.argv[1:]\n"
        "try: run()\n"
        f"finally: print('heavy:', [name for name in {HEAVY} if name in sys.modules])"
    )
    argv = [console_script().replace("fmcompress", "python"), "-c", code, *command, "--help"]
    done = subprocess.run(argv, capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.startswith("Usage: ")
    assert done.stdout.endswith("heavy: []\n")
    assert done.stderr == ""


def test_help_names_all_commands(fmcompress):
    shown = fmcompress("--help").stdout
    assert all(f"\n  {name} " in shown for name in COMMANDS)
    assert fmcompress(rc=2).stdout == shown


def test_version(fmcompress):
    assert fmcompress("--version").stdout == f"fmcompress {fc.__version__}\n"


def test_report_formats(fmcompress, files):
    found = json.loads(fmcompress("report", files.tuned, "--format", "json").stdout)
    assert found["file_bytes"] == files.tuned.stat().st_size <= found["budget_bytes"] == 6000
    assert [field["name"] for field in found["fields"]] == [name for name, _ in FIELDS]
    assert "| user" in fmcompress("report", files.tuned, "--format", "markdown").stdout
    assert "user" in fmcompress("report", files.tuned).stdout


def test_evaluate_formats(here, files):
    models = [files.fm, files.ptq, files.tuned]
    found = json.loads(here("evaluate", *models, "--data", files.test, "--format", "json").stdout)["models"]
    assert [model["name"] for model in found] == [str(path) for path in models]
    assert [model["bytes"] for model in found] == [path.stat().st_size for path in models]
    assert {model["rows"] for model in found} == {4000}
    scores = fc.evaluate(fc.load(files.tuned), files.test)
    assert (found[2]["auc"], found[2]["logloss"]) == pytest.approx((scores.auc, scores.logloss), abs=1e-6)
    text = here("evaluate", files.fm, "--data", files.test, "--format", "markdown").stdout
    assert text.startswith("| model")


@pytest.mark.parametrize("model", ["fm", "tuned"])
def test_score(here, files, model, tmp_path):
    path = getattr(files, model)
    done = here("score", path, files.test, "-o", "scores.parquet")
    assert "4,000 predictions" in done.stdout
    table = pq.read_table(tmp_path / "scores.parquet")
    assert table.column_names == ["prediction"]
    rows = pq.read_table(files.test)
    ids = np.stack([rows[name].to_numpy() for name, _ in FIELDS], axis=1)
    if model == "tuned":
        np.testing.assert_allclose(table["prediction"].to_numpy(), fc.load(path).predict(ids), rtol=1e-6)
    assert here("score", path, files.test, "-o", "scores.parquet", rc=2).stderr.count("\n") == 1


def test_score_needs_no_labels(here, files, tmp_path):
    table = pq.read_table(files.test)
    pq.write_table(table.drop_columns("label"), tmp_path / "rows.parquet")
    here("score", files.tuned, "rows.parquet", "-o", "a.parquet")
    renamed = table.drop_columns("label").rename_columns([f"c{i}" for i in range(len(FIELDS))])
    pq.write_table(renamed, tmp_path / "renamed.parquet")
    here("score", files.tuned, "renamed.parquet", "--match", "order", "-o", "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_ids_out_of_range_can_be_skipped(here, files, tmp_path):
    table = pq.read_table(files.test).slice(0, 3).to_pydict()
    bad = {**table, "city": [10**9, None, -1]}
    missing = {**table, "city": [None, None, None]}
    for name, columns in {"bad": bad, "missing": missing}.items():
        pq.write_table(pa.table(columns, pa.schema([(key, pa.int64()) for key in columns])),
                       tmp_path / f"{name}.parquet")  # fmt: skip
    done = here("score", files.tuned, "bad.parquet", "--oov", "zero", "-o", "a.parquet")
    assert "1 ids were out of range" in done.stdout
    here("score", files.tuned, "missing.parquet", "-o", "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_budgets_hold_and_plans_of_plain_files_are_exact(fmcompress, files):
    checkpoint = fc.load_checkpoint(files.fm)
    with pytest.raises(fc.BudgetError) as caught:
        fc.quantize(checkpoint, 1)
    smallest = caught.value.smallest_bytes
    for budget in (smallest, smallest + 1, 3000, 10_000, 1_000_000):
        path = fmcompress.folder / f"{budget}.safetensors"
        fc.quantize(checkpoint, budget).save(path)
        assert path.stat().st_size <= budget
    planned = make_plan(open_job(checkpoint, 10_000, layout="plain")).file_bytes
    assert fc.quantize(checkpoint, 10_000, layout="plain").file_bytes == planned <= 10_000


def test_dry_run_writes_nothing(fmcompress, files):
    shown = fmcompress("quantize", files.fm, "--budget", BUDGET, "--dry-run").stdout
    most = parse_size(BUDGET)
    assert f"at most {format_size(most)}" in shown
    assert files.ptq.stat().st_size <= most
    assert list(fmcompress.folder.iterdir()) == []


def test_same_seed_same_bytes(fmcompress, files):
    arguments = ("--budget", BUDGET, "--train", files.train, "--valid", files.valid, "--epochs", "2", "--device", "cpu")
    fmcompress("quantize", files.fm, *arguments, "--codes", "fixed", "-o", "again.safetensors")
    assert (fmcompress.folder / "again.safetensors").read_bytes() == files.tuned.read_bytes()
    fmcompress("quantize", files.fm, *arguments, "--codes", "moving", "-o", "moving.safetensors")
    tuning = fc.TuneOptions(epochs=2, moving=fc.MovingOptions())
    moving = fc.quantize(
        fc.load_checkpoint(files.fm), BUDGET, train=files.train, valid=files.valid, tuning=tuning, device="cpu"
    )
    moving.save(fmcompress.folder / "same.safetensors")
    found = (fmcompress.folder / "moving.safetensors").read_bytes()
    assert found == (fmcompress.folder / "same.safetensors").read_bytes() != files.tuned.read_bytes()


def test_default_output_is_in_the_current_folder(fmcompress, files):
    (fmcompress.folder / "fm.safetensors").write_bytes(b"another file")
    done = fmcompress("quantize", files.fm, "--budget", BUDGET)
    assert done.stdout.startswith("fm.fmc.safetensors has ")
    assert (fmcompress.folder / "fm.fmc.safetensors").read_bytes() == files.ptq.read_bytes()


def test_progress_is_plain_lines_or_nothing(fmcompress, files):
    arguments = ("train", files.valid, "--epochs", "1", "--l2", "1e-3", "--lr", "1e-3", "--dim", "2")
    shown = fmcompress(*arguments, "-o", "a.pt").stderr.splitlines()
    assert len(shown) == 1
    assert shown[0].isprintable()
    assert re.search(r"epoch 1 of at most 1: loss [\d.]+, validation AUC", shown[0])
    assert fmcompress(*arguments, "-o", "b.pt", "--quiet").stderr == ""
