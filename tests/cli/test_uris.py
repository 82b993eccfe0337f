"""Commands take rows by URI, and no other file; what a URI holds of secrets is told nowhere."""

import fsspec
import pytest

import fmcompress as fc
from tests.conftest import BUDGET

pytestmark = pytest.mark.slow


@pytest.fixture
def memory(files):
    """The splits, in fsspec's memory."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    for name in ("train", "valid", "test"):
        system.put_file(str(getattr(files, name)), f"/rows/{name}.parquet")
    yield "memory://rows"
    system.store.clear()


def test_commands_take_rows_by_uri(here, files, memory, tmp_path):
    output, scored = tmp_path / "x.fmc.safetensors", tmp_path / "x.parquet"
    data = ("--train", f"{memory}/train.parquet", "--valid", f"{memory}/valid.parquet")
    here("quantize", files.fm, "--budget", BUDGET, "-o", output, *data, "--epochs", "1")
    shown = here("evaluate", output, "--data", f"{memory}/te*.parquet").stdout
    assert f"{fc.evaluate(fc.load(output), files.test).auc:.5f}" in shown
    here("score", output, f"{memory}/test.parquet", "-o", scored)
    here("check", output, "--data", f"{memory}/test.parquet", "--min-auc", "0.5")


@pytest.mark.parametrize(
    "arguments",
    [
        ("quantize", "s3://key:hidden@b/x.pt", "--budget", "1KB"),
        ("inspect", "s3://key:hidden@b/x.pt"),
        ("evaluate", "s3://key:hidden@b/x.pt", "--data", "x"),
        ("train", "x.csv", "-o", "s3://key:hidden@b/x.pt"),
    ],
)
def test_other_files_are_of_this_machine(here, arguments):
    told = here(*arguments, rc=2).stderr
    assert told.startswith("error: s3://b/x.pt is a URI, expected a path of this machine")
    assert len(told.splitlines()) == 1


def test_configuration_has_uris_and_tells_no_secrets(here, files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fmcompress.toml").write_text('[evaluate]\ndata = "nope://key:hidden@b/x"\n')
    told = here("--debug", "evaluate", files.fm, rc=2).stderr
    assert "nope://b/x" in told
    assert "hidden" not in told
