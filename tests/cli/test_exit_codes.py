"""How the installed console script ends: pipelines go on, or stop, by its exit code alone."""

import os
import signal
import subprocess
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import CommandLine, console_script

pytestmark = pytest.mark.slow

FINE, FAILED, WRONG, BUG, INTERRUPTED, NO_READER = 0, 1, 2, 70, 130, 141

# What a site would put there to break something of ours; nothing in the package listens to the environment.
BROKEN = (
    "import fmcompress.sizes as sizes\ndef broken(size): raise ZeroDivisionError(size)\nsizes.format_size = broken\n"
)


@dataclass(frozen=True)
class Case:
    """A command line, its exit code, and what it must say: on standard error, or if all is fine, on standard output."""

    args: str
    code: int
    says: str


CASES = {
    # All is fine
    "version": Case("--version", FINE, "fmcompress "),
    "help": Case("--help", FINE, "Usage: fmcompress"),
    "help of a command": Case("check --help", FINE, "--max-size"),
    "report": Case("report good.safetensors", FINE, "budget"),
    "inspect": Case("inspect fm.pt", FINE, "fmcompress"),
    "quantize": Case("quantize fm.pt --budget 6KB -o made.safetensors", FINE, "made.safetensors has"),
    "dry run": Case("quantize fm.pt --budget 6KB --dry-run", FINE, "would have"),
    "sweep": Case("sweep fm.pt --budgets 6KB", FINE, "auto"),
    "score": Case("score good.safetensors test.parquet -o scores.parquet", FINE, "500 predictions"),
    "export": Case("export good.safetensors -o made.onnx", FINE, "made.onnx has"),
    "evaluate": Case("evaluate good.safetensors --data test.parquet", FINE, "AUC"),
    "train": Case("train test.parquet -o made.pt --epochs 1 --l2 0 --dim 2 --valid test.parquet", FINE, "validation"),
    "limits kept": Case("check good.safetensors --max-size 6KB", FINE, "pass"),
    "limit broken, told not to mind": Case("check good.safetensors --max-size 1KB --exit-zero", FINE, "FAIL"),
    # A gate failed, or the budget cannot be met
    "budget too small": Case("quantize fm.pt --budget 20", FAILED, "error: budget of 20 bytes is too small"),
    "budget too small for a dry run": Case("quantize fm.pt --budget 20 --dry-run", FAILED, "is the least that works"),
    "too large": Case("check good.safetensors --max-size 1KB", FAILED, "failed: 1 of 1 checks: max-size of good"),
    "one of two too large": Case(
        "check small.safetensors good.safetensors --max-size 3KB", FAILED, "failed: 1 of 2 checks: max-size of good"
    ),
    "grown": Case(
        "check good.safetensors --baseline small.safetensors --max-growth 5%", FAILED, "max-growth of good.safetensors"
    ),
    "worse": Case("check good.safetensors --data test.parquet --min-auc 0.99", FAILED, "min-auc of good.safetensors"),
    # A gate could not be judged
    "nothing to judge": Case("check none.safetensors --max-size 1KB", WRONG, "none.safetensors: no such file"),
    "damaged, to be judged": Case("check damaged.safetensors --max-size 1GB", WRONG, "damaged.safetensors: is damaged"),
    "a checkpoint, to be judged": Case("check fm.pt --max-size 1GB", WRONG, "is not a safetensors file"),
    "a folder, to be judged": Case("check folder --max-size 1GB", WRONG, "folder: is not a file"),
    "not judged, told not to mind": Case("check none.safetensors --max-size 1KB --exit-zero", WRONG, "1 of 1 checks"),
    "one failed, one not judged": Case(
        "check good.safetensors none.safetensors --max-size 1KB", WRONG, "error: 1 of 2 checks could not be judged"
    ),
    "no baseline there": Case(
        "check good.safetensors --baseline none --max-growth 5%", WRONG, "max-growth: none: there is no such file"
    ),
    "wrong rows": Case(
        "check good.safetensors --data less.parquet --min-auc 0.5", WRONG, "column of field 'city' is missing"
    ),
    "labels of one class": Case("check good.safetensors --data zeros.parquet --min-auc 0.5", WRONG, "all the same"),
    "no limit": Case("check good.safetensors", WRONG, "there is no limit"),
    "limit without rows": Case("check good.safetensors --min-auc 0.5", WRONG, "needs labelled rows (give them with"),
    "limit without baseline": Case("check good.safetensors --max-growth 5%", WRONG, "(give it with --baseline)"),
    "limit of no sense": Case("check good.safetensors --max-size much", WRONG, "'much' is not a size"),
    # Wrong usage
    "no such command": Case("squeeze fm.pt", WRONG, "No such command 'squeeze'"),
    "no such option": Case("report good.safetensors --colour", WRONG, "No such option: --colour"),
    "no argument": Case("report", WRONG, "Missing argument"),
    "no such choice": Case("report good.safetensors --format xml", WRONG, "--format"),
    "no budget": Case("quantize fm.pt", WRONG, "budget"),
    "budget of no sense": Case("quantize fm.pt --budget 10XB", WRONG, "'10XB' is not a size"),
    "budgets of no sense": Case("sweep fm.pt --budgets 10XB", WRONG, "10XB"),
    "no such setting": Case("report good.safetensors --config wrong.toml", WRONG, "wrong.toml"),
    # Wrong input
    "no artifact": Case("report none.safetensors", WRONG, "none.safetensors: no such file"),
    "damaged artifact": Case("report damaged.safetensors", WRONG, "damaged.safetensors: is damaged"),
    "artifact cut short": Case("report cut.safetensors", WRONG, "cut short"),
    "a folder": Case("report folder", WRONG, "folder: is not a file"),
    "no checkpoint": Case("inspect none.pt", WRONG, "none.pt: there is no such file"),
    "an artifact, not a checkpoint": Case("inspect good.safetensors", WRONG, "is an artifact"),
    "damaged checkpoint": Case("quantize cut.pt --budget 6KB", WRONG, "cut.pt: "),
    "no rows there": Case("evaluate good.safetensors --data none.parquet", WRONG, "none.parquet: no such file"),
    "no label": Case("evaluate good.safetensors --data test.parquet --label click", WRONG, "label column 'click'"),
    "rows to train on are no rows": Case("train fm.pt -o other.pt", WRONG, "fm.pt: is a checkpoint of torch"),
    # Wrong output
    "output exists": Case("quantize fm.pt --budget 6KB -o old", WRONG, "old exists (pass --force"),
    "output in no folder": Case("score good.safetensors test.parquet -o none/a.parquet", WRONG, "there is no folder"),
    "checkpoint of no kind": Case("train test.parquet -o made.bin", WRONG, "made.bin"),
    "summary over the artifact": Case(
        "check good.safetensors --max-size 6KB --summary good.safetensors", WRONG, "is an input of this job"
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory, files):
    found = tmp_path_factory.mktemp("exits")
    good, rows = files.ptq.read_bytes(), pq.read_table(files.test).slice(0, 500)
    contents = {
        "fm.pt": files.fm.read_bytes(),
        "cut.pt": files.fm.read_bytes()[:-3000],
        "good.safetensors": good,
        "damaged.safetensors": good[:-9] + bytes(9),
        "cut.safetensors": good[:300],
        "old": b"the old file",
        "wrong.toml": b"[report]\ncolour = true\n",
    }
    for name, content in contents.items():
        (found / name).write_bytes(content)
    pq.write_table(rows, found / "test.parquet")
    pq.write_table(rows.drop_columns("city"), found / "less.parquet")
    pq.write_table(rows.set_column(0, "label", pa.array([0] * 500)), found / "zeros.parquet")
    (found / "folder").mkdir()
    (found / "broken").mkdir()
    (found / "broken" / "sitecustomize.py").write_text(BROKEN)
    CommandLine(found)("quantize", "fm.pt", "--budget", "2500", "-o", "small.safetensors")
    return found


@pytest.mark.parametrize("name", CASES)
def test_exit_code(folder, name):
    case = CASES[name]
    before = sorted(folder.iterdir())
    done = CommandLine(folder)(*case.args.split(), rc=case.code)
    errors = [line for line in done.stderr.splitlines() if line.startswith(("error: ", "failed: "))]
    assert "Traceback" not in done.stderr
    if case.code == FINE:
        assert case.says in done.stdout
        assert all(line.startswith("failed: ") for line in errors)
        return
    assert len(errors) == 1
    assert case.says in errors[0]
    assert done.stderr.endswith(f"{errors[0]}\n")
    assert sorted(folder.iterdir()) == before


def test_no_arguments(folder):
    done = CommandLine(folder)(rc=WRONG)
    assert done.stdout.startswith("Usage: fmcompress")


def test_a_bug_of_ours(folder):
    broken = {"PYTHONPATH": str(folder / "broken")}
    done = CommandLine(folder)("report", "good.safetensors", rc=BUG, env=broken)
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)
    assert done.stderr.startswith("error: a bug in fmcompress: ZeroDivisionError(")
    assert "Traceback" in CommandLine(folder)("report", "good.safetensors", "--debug", rc=BUG, env=broken).stderr


def test_interrupted(folder):
    endless = (
        "train",
        "test.parquet",
        "-o",
        "endless.pt",
        "--epochs",
        "1000000",
        "--patience",
        "1000000",
        "--l2",
        "0",
        "--lr",
        "1e-3",
    )
    with CommandLine(folder).start(*endless) as process:
        assert process.stderr.readline().startswith("warning: there are 475 training rows")
        assert process.stderr.readline().startswith("warning: 11 of 25 validation rows")
        assert "epoch 1 " in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(60) == INTERRUPTED
    assert rest.splitlines()[-1] == "interrupted: no output was written"
    assert not (folder / "endless.pt").exists()


def test_nobody_reads(folder):
    reader, writer = os.pipe()
    os.close(reader)
    argv = [console_script(), "check", folder / "good.safetensors", "--max-size", "1KB"]
    done = subprocess.run(argv, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (NO_READER, b"")


def test_the_disk_is_full(folder):
    with open("/dev/full", "wb") as full:
        argv = [console_script(), "check", folder / "good.safetensors", "--max-size", "6KB"]
        done = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == WRONG
    assert done.stderr == b"error: the system refuses: [Errno 28] No space left on device\n"


def test_the_table_is_long_enough():
    assert len(CASES) >= 30
