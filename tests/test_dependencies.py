"""What each use of the package needs: loading and scoring take numpy alone, and the rest says what it lacks."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fmcompress.checkpoints import save_checkpoint
from fmcompress.errors import DependencyError, missing_packages_named
from tests import kinds
from tests.models import packed

tomllib = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")
ROOT = Path(__file__).parents[1]

BLOCK = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

BLOCKED = set(sys.argv[1].split(","))
sys.meta_path.insert(0, Blocked())
"""
SERVE = """
import numpy as np
import fmcompress

model = fmcompress.load(sys.argv[2])
assert model.predict(np.zeros((3, 2), np.int64)).shape == (3,)
assert len(model.predict([[1, -1]])) == 1
assert not BLOCKED & set(sys.modules)
print(sorted(name for name in {name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names))
"""
CALL = """
import fmcompress

try:
    %s
except fmcompress.DependencyError as error:
    print(f"{error}; {error.hint}")
"""
EXTRAS = (
    "faiss", "jinja2", "matplotlib", "onnx", "pyarrow", "safetensors", "scipy", "sklearn", "threadpoolctl", "tomli",
    "torch", "typer",
)  # fmt: skip
CPU = "pip install 'fmcompress[cpu]' (or 'fmcompress[gpu]' for faiss on CUDA)"


def without(modules, code, *args):
    """Run code in a process that cannot import these modules."""
    argv = [sys.executable, "-c", BLOCK + code, ",".join(modules), *map(str, args)]
    return subprocess.run(argv, capture_output=True, encoding="utf-8", check=False)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Return an artifact; a checkpoint and rows for it are beside it."""
    folder = tmp_path_factory.mktemp("models")
    packed(4, "9 2x4 4", "5 raw raw | 3 shared shared").save(folder / "a.safetensors")
    checkpoint = kinds.checkpoint()
    save_checkpoint(checkpoint, folder / "fm.pt")
    batch = kinds.batch(checkpoint, 30)
    columns = zip((*kinds.SCHEMA.id_names, *kinds.SCHEMA.numeric_names), (*batch.ids.T, *batch.values.T), strict=True)
    pq.write_table(pa.table({"label": batch.labels, **dict(columns)}), folder / "rows.parquet")
    return folder / "a.safetensors"


@pytest.mark.parametrize("native", ["0", "1"])
def test_loading_and_scoring_take_numpy_alone(path, monkeypatch, native):
    monkeypatch.setenv("FMCOMPRESS_NATIVE", native)
    done = without(EXTRAS, SERVE, path)
    assert done.returncode == 0, done.stderr
    ours = eval(done.stdout)
    assert {"numpy", "fmcompress"} <= set(ours)
    assert all(name in ("numpy", "fmcompress") or name.startswith(("_", "sitecustomize")) for name in ours), ours


@pytest.mark.parametrize(
    ("missing", "call"),
    [
        ("torch", "fmcompress.evaluate(fmcompress.load_checkpoint(sys.argv[3]), sys.argv[4])"),
        ("pyarrow", "fmcompress.evaluate(fmcompress.load(sys.argv[2]), sys.argv[4])"),
        ("scipy", "fmcompress.sweep"),
        ("safetensors", "fmcompress.load_checkpoint(sys.argv[3])"),
        ("jinja2", "print(fmcompress.report(sys.argv[2]).to_html())"),
    ],
)
def test_a_call_that_lacks_a_package_says_which_extra_brings_it(path, missing, call):
    done = without([missing], CALL % call, path, path.parent / "fm.pt", path.parent / "rows.parquet")
    assert (done.stdout, done.returncode) == (f"{missing} is not installed; {CPU}\n", 0), done.stderr


def test_the_console_script_says_that_the_command_line_is_not_installed():
    done = without(["typer"], "from fmcompress_cli.entry import run; run()")
    assert (done.stderr, done.returncode) == (f"error: typer is not installed ({CPU})\n", 1)


def test_modules_of_others_that_are_missing_are_no_business_of_ours():
    with pytest.raises(ModuleNotFoundError, match="nothing_of_ours"), missing_packages_named():
        import nothing_of_ours  # noqa: F401


def test_what_is_named_is_what_extras_bring():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert [one.partition(">")[0] for one in project["dependencies"]] == ["numpy"]
    assert {"cpu", "gpu", "cli", "onnx", "plot", "serve", "tools"} <= set(project["optional-dependencies"])
    assert issubclass(DependencyError, Exception)
