"""``fmcompress sweep``, from the installed console script."""

import json
import os
import xml.etree.ElementTree as ET

import pytest

import fmcompress as fc
from fmcompress.baselines import BASELINES
from tests.conftest import BUDGET

pytestmark = pytest.mark.slow

NULLS = (
    "auc", "logloss", "calibrated_logloss", "rmse", "auc_standard_error", "rows", "measured_on", "delta_auc",
    "delta_logloss", "delta_rmse",
)  # fmt: skip
KEYS = {
    "name", "baseline", "budget_bytes", "file_bytes", "smallest_bytes", "ratio", "predicted_rise", "seconds", *NULLS,
}  # fmt: skip


def is_svg(path):
    return ET.fromstring(path.read_text(encoding="utf-8")).tag == "{http://www.w3.org/2000/svg}svg"


def test_text_without_data(fmcompress, files):
    done = fmcompress("sweep", files.fm, "--budgets", "10x,6KB,100", "--plot", "curve.svg", "--output-dir", "kept")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["model", "budget", "bytes", "ratio", "predicted", "rise", "seconds"]
    assert lines[2].startswith("fm.pt, in fp32 ")
    assert lines[3].startswith("auto: too small, the least is ")
    assert [line.split()[1] for line in lines[4:6]] == ["2,534", "6,000"]
    assert len(lines) == 8
    assert is_svg(fmcompress.folder / "curve.svg")
    kept = fmcompress.folder / "kept"
    assert sorted(path.name for path in kept.iterdir()) == ["fm-2534.safetensors", "fm-6000.safetensors"]
    assert (kept / "fm-6000.safetensors").read_bytes() == files.ptq.read_bytes()
    assert "auto, 2.5 KB" in done.stderr
    again = fmcompress("sweep", files.fm, "--budgets", BUDGET, "--output-dir", "kept", rc=2)
    assert again.stdout == ""
    assert again.stderr.startswith("error: kept/fm-6000.safetensors exists (pass --force")
    fmcompress("sweep", files.fm, "--budgets", BUDGET, "--output-dir", "kept", "--force")


def test_json_with_data_and_baselines(here, files, tmp_path):
    data = ("--train", files.train, "--valid", files.valid, "--data", files.test, "--epochs", "1", "--device", "cpu")
    done = here(
        *("sweep", files.fm, "--budgets", "6KB,3KB", *data, "--baselines", "rowwise-int4,uniform-pq"),
        *("--format", "json", "--plot", "curve.svg", "--output-dir", ".", "--quiet"),
    )
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found.keys() == {"schema", "checkpoint", "points"}
    assert all(point.keys() == KEYS for point in found["points"])
    assert [point["baseline"] for point in found["points"]] == [None, None, *["rowwise-int4"], *["uniform-pq"] * 2]
    fm = fc.evaluate(fc.load_checkpoint(files.fm), files.test)
    assert found["checkpoint"]["auc"] == pytest.approx(fm.auc, abs=1e-6)
    for point in found["points"][:2]:
        path = tmp_path / f"fm-{point['budget_bytes']}.safetensors"
        scores = fc.evaluate(fc.load(path), files.test)
        assert (point["file_bytes"], point["measured_on"]) == (path.stat().st_size, "test")
        assert (point["auc"], point["logloss"]) == pytest.approx((scores.auc, scores.logloss), abs=1e-6)
        assert point["delta_auc"] == pytest.approx(scores.auc - fm.auc, abs=1e-6)
    shown = (tmp_path / "curve.svg").read_text(encoding="utf-8")
    assert all(f"<!-- {label} -->" in shown for label in ("FM", "auto", "rowwise-int4", "uniform-pq"))


def test_the_papers_other_systems(here, files):
    data = ("--train", files.train, "--valid", files.valid, "--data", files.test, "--epochs", "1", "--device", "cpu")
    done = here(
        *("sweep", files.fm, "--budgets", "6KB", *data, "--baselines", "dfm,qr,md,dhe", "--format", "json", "--quiet"),
    )
    found = json.loads(done.stdout)["points"]
    assert [point["baseline"] for point in found] == [None, "dfm", "qr", "md", "dhe"]
    assert all(point["file_bytes"] <= 6000 and point["rows"] == 4000 for point in found)
    assert [point["name"].split(",")[0] for point in found[1:]] == ["DFM", "QR", "MD", "DHE"]


def test_markdown_on_test_data_alone(here, files):
    done = here("sweep", files.fm, "--budgets", BUDGET, "--data", files.test, "--format", "markdown")
    assert done.stdout.startswith("| model | budget | bytes | ratio | AUC |")
    assert "4,000 rows of test data" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "rc", "says"),
    [
        (("--budgets", "100,200"), 1, "no budget is large enough: the smallest artifact of this model has "),
        (("--budgets", "6KB,tiny"), 2, "'tiny' is not a size"),
        (("--budgets", "0x"), 2, "ratio '0x' is not between"),
        (("--budgets", "6KB", "--plot", "curve.jpg"), 2, "curve.jpg is no name for a plot"),
        (("--budgets", "6KB", "--baselines", "authors"), 2, "baselines without training data (give"),
        ((), 2, "Missing option '--budgets'"),
    ],
)
def test_errors_write_nothing(here, files, arguments, rc, says):
    done = here("sweep", files.fm, *arguments, "--output-dir", "kept", "--quiet", rc=rc)
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert says in done.stderr
    assert os.listdir() == []


def test_the_checkpoint_is_never_overwritten(here, files, tmp_path):
    checkpoint = tmp_path / "fm.pt"
    checkpoint.write_bytes(files.fm.read_bytes())
    (tmp_path / "fm-6000.safetensors").symlink_to(checkpoint)
    done = here("sweep", "fm.pt", "--budgets", BUDGET, "--output-dir", ".", "--force", rc=2)
    assert "is an input of this job" in done.stderr
    assert checkpoint.read_bytes() == files.fm.read_bytes()


def test_help_names_all_baselines(here):
    shown = " ".join(here("sweep", "--help").stdout.split()).replace("- ", "-")
    assert ", ".join(baseline.key for baseline in BASELINES) in shown
