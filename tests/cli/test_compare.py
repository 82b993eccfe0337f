"""``fmcompress compare``, from the installed console script."""

import json
import subprocess

import pytest

from fmcompress.reporting.compare import compare
from tests.conftest import console_script


def test_formats(fmcompress, files):
    found = compare(files.ptq, files.tuned)
    assert fmcompress("compare", files.ptq, files.tuned).stdout == found.to_text()
    assert fmcompress("compare", files.ptq, files.tuned, "--format", "markdown").stdout == found.to_markdown()
    assert json.loads(fmcompress("compare", files.ptq, files.tuned, "--format", "json").stdout) == json.loads(
        found.to_json()
    )


@pytest.mark.slow
def test_scores_on_data(here, files):
    text = here("compare", files.ptq, files.tuned, "--data", files.test).stdout
    assert "AUC, 4,000 rows of the data given" in text
    assert text == compare(files.ptq, files.tuned, data=files.test).to_text()


def test_an_artifact_is_itself(fmcompress, files):
    assert "byte for byte" in fmcompress("compare", files.ptq, files.ptq).stdout


@pytest.mark.parametrize("place", [0, 1])
def test_a_checkpoint_is_no_artifact(fmcompress, files, place):
    paths = [files.ptq, files.ptq]
    paths[place] = files.fm
    done = fmcompress("compare", *paths, rc=2)
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert "an artifact is a file that quantize wrote; inspect shows checkpoints" in done.stderr
    assert done.stderr.count("\n") == 1


def test_neither_torch_nor_faiss_is_imported(files):
    code = (
        "import sys; from fmcompress_cli.main import run\n"
        "try: run()\n"
        "finally: print([name for name in ('torch', 'faiss', 'pyarrow', 'sklearn', 'scipy') if name in sys.modules])"
    )
    argv = [console_script().replace("fmcompress", "python"), "-c", code, "compare", files.ptq, files.tuned]
    done = subprocess.run(argv, capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.endswith("\n[]\n")
