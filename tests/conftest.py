"""What several groups of tests share: the console script, a small trained checkpoint, the real data sets."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import fmcompress as fc
from fmcompress.backbones.training import TrainOptions, train
from fmcompress.data.click_model import draw_clicks, random_click_model, write_rows
from fmcompress.data.rows import open_training_rows
from fmcompress.fm.schema import Schema

FIELDS = (("user", 400), ("item", 250), ("city", 30), ("hour", 24))
BUDGET = "6KB"
SEED = int(os.environ.get("FM_TEST_SEED", "0"))
"""Of generated clicks: what is asserted of models that are trained on them holds whatever it is."""
THREADS = os.environ.get("FM_TEST_THREADS")
"""Of torch, where that is said: by itself it takes no more than there are cores."""
REAL_DATA = Path(os.environ.get("FM_REAL_DATA") or Path(__file__).parents[2] / "shared" / "data")


if THREADS is not None:
    import torch

    torch.set_num_threads(int(THREADS))


def console_script():
    beside = Path(sys.executable).with_name("fmcompress")
    found = str(beside) if beside.exists() else shutil.which("fmcompress")
    if found is None:
        pytest.skip("the console script fmcompress is not installed")
    return found


def heed_interrupts():
    """Let Ctrl-C end this process: tests that run in the background are told to ignore it, and would hand that on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass(frozen=True)
class CommandLine:
    """Runs the installed console script in a folder of its own."""

    folder: Path

    def __call__(self, *args, rc=0, env=None, **options):
        """Run it, check its exit code, and return the finished process."""
        done = subprocess.run(
            [console_script(), *map(os.fspath, args)],
            cwd=self.folder,
            env={"OMP_NUM_THREADS": "2", **os.environ, **(env or {})},
            capture_output=True,
            encoding="utf-8",
            timeout=300,
            check=False,
            **options,
        )
        assert done.returncode == rc, f"exit code {done.returncode}, expected {rc}: {done.stderr}"
        return done

    def start(self, *args, **options):
        """Start it in a process group of its own, and return the running process; Ctrl-C reaches it."""
        return subprocess.Popen(
            [console_script(), *map(os.fspath, args)],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,
            preexec_fn=heed_interrupts,  # noqa: PLW1509
            **options,
        )


@dataclass(frozen=True)
class Files:
    """Generated data, a checkpoint trained on it, and artifacts of it; read only."""

    folder: Path

    def __getattr__(self, name):
        suffix = {"fm": ".pt", "ptq": ".safetensors", "tuned": ".safetensors"}.get(name, ".parquet")
        return self.folder / f"{name}{suffix}"


@pytest.fixture
def fmcompress(tmp_path):
    return CommandLine(tmp_path)


@pytest.fixture
def here(tmp_path, monkeypatch, capsys):
    """Return a function that runs the console script's code in this process, where torch is imported only once.

    It checks the exit code, and returns what ``fmcompress`` does. The current folder is the test's own.
    """
    from fmcompress_cli.main import run

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(signal, "signal", lambda *_: None)

    def called(*args, rc=0):
        argv = ["fmcompress", *map(str, args)]
        monkeypatch.setattr(sys, "argv", argv)
        code = 0
        try:
            run()
        except SystemExit as ended:
            code = ended.code or 0
        shown = capsys.readouterr()
        assert code == rc, f"exit code {code}, expected {rc}: {shown.err}"
        return subprocess.CompletedProcess(argv, code, shown.out, shown.err)

    return called


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    found = Files(tmp_path_factory.mktemp("files"))
    schema = Schema.of(FIELDS)
    model = random_click_model(schema, dim=4, seed=SEED)
    for seed, (part, rows) in enumerate({"train": 20_000, "valid": 4_000, "test": 4_000}.items()):
        write_rows(draw_clicks(model, rows, seed=seed + 1), schema, found.folder / f"{part}.parquet")
    options = TrainOptions(dim=8, l2=1e-3, lr=3e-3, epochs=4, batch_size=512)
    trained = train(*open_training_rows(found.train, found.valid, schema=schema), options)
    fc.save_checkpoint(trained.checkpoint, found.fm)
    checkpoint = fc.load_checkpoint(found.fm)
    fc.quantize(checkpoint, BUDGET, device="cpu").save(found.ptq)
    tuning = fc.TuneOptions(epochs=2)
    tuned = fc.quantize(checkpoint, BUDGET, train=found.train, valid=found.valid, tuning=tuning, device="cpu")
    tuned.save(found.tuned)
    return found


@pytest.fixture(scope="session")
def real_data():
    """Return a function from the name of a real data set to its folder; it skips where that is absent."""

    def folder(name):
        if not (REAL_DATA / name).is_dir():
            pytest.skip(f"no data set {name} in {REAL_DATA}; $FM_REAL_DATA says where they are")
        return REAL_DATA / name

    return folder
