"""What the page on serving says of files: of a new one while threads score, and of changes to one that is open."""

import os
import shutil
import threading

import numpy as np
import pytest

import fmcompress as fc
from tests.docs.pages import ROOT, blocks

pytestmark = pytest.mark.slow


def test_a_model_is_replaced_while_threads_score(workspace):
    (block,) = (block for block in blocks(ROOT / "docs" / "serving.md", "python") if "class Served" in block)
    names = {"fc": fc}
    exec(compile(block, "docs/serving.md", "exec"), names)
    paths = [workspace / "artifact.safetensors", workspace / "old.safetensors"]
    models = [fc.load(path) for path in paths]
    ids = np.random.default_rng(0).integers(0, models[0].schema.id_cardinalities, (50, len(models[0].schema.id_names)))
    either = {model.predict(ids).tobytes() for model in models}
    served, found, ended = names["Served"](paths[0]), set(), threading.Event()

    def score():
        while not ended.is_set():
            found.add(served.predict(ids).tobytes())

    threads = [threading.Thread(target=score) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(40):
        served.reload(paths[turn % 2])
        found.add(served.predict(ids).tobytes())
        with pytest.raises(fc.ArtifactError):
            served.reload(workspace / "fm.pt")
    ended.set()
    for thread in threads:
        thread.join()
    assert len(either) == 2
    assert found == either


@pytest.mark.parametrize(
    ("mapped", "changes"),
    [(False, ("overwritten", "cut", "replaced", "removed")), (True, ("replaced", "removed"))],
    ids=["read", "mapped"],
)
def test_what_a_file_may_do_to_a_model_that_is_open(mapped, changes, workspace, tmp_path):
    path, other = tmp_path / "artifact", tmp_path / "other"
    change = {
        "overwritten": lambda: path.write_bytes(bytes(path.stat().st_size)),
        "cut": lambda: os.truncate(path, 10),
        "replaced": lambda: other.replace(path),
        "removed": path.unlink,
    }
    for what in changes:
        shutil.copy(workspace / "artifact.safetensors", path)
        shutil.copy(workspace / "old.safetensors", other)
        expected, model = fc.load(path), fc.load(path, map=mapped)
        ids = np.zeros((9, len(model.schema.id_names)), dtype=np.int64)
        predictions = expected.predict(ids)
        change[what]()
        np.testing.assert_array_equal(model.predict(ids), predictions)
