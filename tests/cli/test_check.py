"""``fmcompress check`` as a pipeline calls it."""

import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fmcompress.gates.gate import GATES

pytestmark = pytest.mark.slow

HEAVY = ("torch", "faiss", "pyarrow", "sklearn", "scipy", "pydantic")


def test_formats(fmcompress, files):
    size = files.ptq.stat().st_size
    arguments = ("check", files.ptq, "--max-size", f"{size}B")
    assert fmcompress(*arguments).stdout.splitlines()[2].endswith("  pass")
    found = json.loads(fmcompress(*arguments, "--format", "json").stdout)
    assert found["passed"] is True
    assert found["checks"][0]["actual"] == found["checks"][0]["limit"] == size
    assert fmcompress(*arguments, "--format", "markdown").stdout.startswith("## Release check: 1 of 1 passed\n")
    assert fmcompress(*arguments, "--format", "github").stdout.startswith("::notice title=max-size%3A pass::")


def test_all_limits_at_once(here, files):
    done = here(
        "check", files.tuned, files.ptq, "--max-size", "6KB", "--baseline", files.fm, "--max-growth", "0%",
        "--data", files.test, "--min-auc", "0.999", "--max-auc-drop", "0.2", "--max-logloss-rise", "20%",
        "--format", "json", rc=1,
    )  # fmt: skip
    found = json.loads(done.stdout)
    names = ["max-size", "max-growth", "min-auc", "max-auc-drop", "max-logloss-rise"]
    assert [check["name"] for check in found["checks"]] == names * 2
    assert [check["passed"] for check in found["checks"]] == [True, True, False, True, True] * 2
    assert found["baseline"]["kind"] == "checkpoint of fmcompress"
    assert {model["scores"]["rows"] for model in found["artifacts"]} == {4000}
    assert done.stderr == (f"failed: 2 of 10 checks: min-auc of {files.tuned}, min-auc of {files.ptq}\n")


def test_each_gate_is_an_option(fmcompress):
    shown = fmcompress("check", "--help").stdout
    assert all(f"--{gate.name} " in shown for gate in GATES)


def test_summary_is_added_to_the_file(fmcompress, files):
    summary = fmcompress.folder / "summary.md"
    summary.write_text("# Release\n")
    done = fmcompress("check", files.ptq, "--max-size", "1KB", "--summary", summary, "--format", "github", rc=1)
    assert done.stdout.startswith("::error title=max-size%3A FAIL::")
    fmcompress("check", files.ptq, "none", "--max-size", "6KB", "--summary", summary, rc=2)
    text = summary.read_text()
    assert text.startswith("# Release\n## Release check: 1 of 1 failed\n")
    assert "## Release check: 1 of 2 could not be judged" in text
    assert fmcompress("check", files.ptq, "--max-size", "6KB", "--summary", "none/a.md", rc=2).stdout == ""


@pytest.mark.parametrize("name", ["-rf", "a b.safetensors", "::error::x", "größe\n|<b>.safetensors"])
def test_any_name_will_do(fmcompress, files, name):
    (fmcompress.folder / name).write_bytes(files.ptq.read_bytes())
    done = fmcompress("check", "--max-size", "1KB", "--format", "github", "--summary", "s.md", "--", name, rc=1)
    assert [line for line in done.stdout.splitlines() if line.startswith("::")] == [done.stdout.splitlines()[0]]
    assert done.stderr.count("\n") == 1


def test_ids_out_of_range(here, files, tmp_path):
    rows = pq.read_table(files.test).slice(0, 100)
    rows = rows.set_column(rows.column_names.index("city"), "city", pa.array([10**6] * 100))
    pq.write_table(rows, tmp_path / "rows.parquet")
    arguments = ("check", files.ptq, "--data", "rows.parquet", "--min-auc", "0")
    assert "--oov zero" in here(*arguments, rc=2).stderr
    assert "100 ids out of range" in here(*arguments, "--oov", "zero").stderr


@pytest.mark.parametrize("baseline", [False, True])
def test_sizes_take_no_heavy_import(files, baseline):
    """A gate on sizes alone must be as light as reading the file."""
    code = (
        "import sys; from fmcompress_cli.main import run\n"
        f"try: run()\nfinally: print([name for name in {HEAVY} if name in sys.modules])"
    )
    argv = ["check", files.ptq, "--max-size", "6KB", *(["--baseline", files.tuned, "--max-growth", "90%"] * baseline)]
    done = subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("pass\n[]\n") or done.stdout.endswith("bytes)\n[]\n")


def test_without_a_terminal_nothing_is_cut(fmcompress, files):
    name = "n" * 200 + ".safetensors"
    (fmcompress.folder / name).write_bytes(files.ptq.read_bytes())
    done = fmcompress("check", name, "--max-size", "6KB", env={"COLUMNS": "40"})
    assert name in done.stdout
    assert "\x1b" not in done.stdout
