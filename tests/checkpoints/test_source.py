"""The SHA-256 of what a checkpoint was read from."""

import copy
import hashlib
import pickle
import shutil

import pytest

from fmcompress.checkpoints import Source, load_checkpoint
from fmcompress.errors import CheckpointError
from fmcompress.fm.checkpoint import state_of

from .samples import FILES, WHOLE_MODEL


def test_sha256_is_that_of_the_file():
    source = load_checkpoint(WHOLE_MODEL).source
    assert source.sha256 == hashlib.sha256(WHOLE_MODEL.read_bytes()).hexdigest()


def test_file_may_be_gone_once_it_is_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(WHOLE_MODEL, "fm.pt")
    source = load_checkpoint("fm.pt").source
    sha256 = source.sha256
    (tmp_path / "fm.pt").unlink()
    assert source.sha256 == sha256


def test_names_and_contents_in_a_directory_count(tmp_path):
    def sha256():
        return load_checkpoint(path).source.sha256

    path = shutil.copytree(FILES / "spark" / "pipeline_clf", tmp_path / "fm")
    first = sha256()
    assert sha256() == first
    (path / "metadata" / "_SUCCESS").rename(path / "metadata" / "_DONE")
    second = sha256()
    (path / "metadata" / "_DONE").write_text("x")
    assert len({first, second, sha256()}) == 3


@pytest.mark.parametrize("change", [lambda path: path.write_bytes(b"ab"), lambda path: path.unlink()])
def test_change_while_it_is_read_is_told(tmp_path, change):
    path = tmp_path / "fm.pt"
    path.write_bytes(b"a")
    state = state_of(path)
    change(path)
    with pytest.raises(CheckpointError, match=r"^fm\.pt: it was changed while it was read"):
        print(Source.of("a tool", path, state).sha256)


def test_copies_are_equal():
    source = load_checkpoint(WHOLE_MODEL).source
    assert copy.deepcopy(source) == pickle.loads(pickle.dumps(source)) == source
    assert source != Source("pytorch-fm", "fm.pt", "0" * 64)
