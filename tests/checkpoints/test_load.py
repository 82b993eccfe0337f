"""Files that are no checkpoint at all, and what reading must not do."""

import importlib
import os
import pkgutil
import subprocess
import sys

import pytest

from fmcompress import checkpoints
from fmcompress.checkpoints import load_checkpoint, tools
from fmcompress.checkpoints.load import DIALECTS
from fmcompress.errors import CheckpointError, FMCompressError
from tests.unprivileged import unprivileged

from .samples import WHOLE_MODEL


def test_public_names():
    assert sorted(checkpoints.__all__) == [
        "FMCheckpoint",
        "Source",
        "check_saveable",
        "load_checkpoint",
        "save_checkpoint",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"a", "no known format"),
        (b"bias: 0.5\n" * 10, "no known format"),
        (b"\x00" * 1000, "no known format"),
        (b"PK\x03\x04", "cannot be read"),
        (b"PK\x03\x04" + b"\x00" * 500, "cannot be read"),
        (b"\x80\x02\x8a\x0alp\x9cF\xf9 j\xa8P\x19.", "format of before version 1.6"),
        (b"\x80\x04]\x94.", "found no tensors"),
        (b"PAR1" * 10, "Parquet"),
        (b"x\x9cabc", "it is compressed"),
        (b"\x28\xb5\x2f\xfdabc", "it is compressed"),
        (b"\x06\x00\x00\x008.8.0\x00\x01\x00\x00\x00\x00m\x00\x00\x80\xbf", "Vowpal Wabbit"),
        (b"Version 9.11.2\nId \nMin label:0\nMax label:2\nbits:18\n", "Vowpal Wabbit"),
        (b"n 23\nm 3\nk 4\nnormalization 1\nw0,0 0.5 0.1\n", "field-aware"),
        (b"\x02\x00\x00\x00\x00\x00\x00\x00{}", "no factorization machine of a known tool: found no tensors"),
        (b"\x09\x00\x00\x00\x00\x00\x00\x00{garbage}" + b"\x00" * 20, "safetensors file cannot be read"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    path = tmp_path / "fm.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"^fm\.pt: .*{message}"):
        load_checkpoint(path)


def test_missing_file_says_where_it_looked(tmp_path):
    with pytest.raises(CheckpointError, match=r"^fm\.pt: there is no such file") as caught:
        load_checkpoint(tmp_path / "fm.pt")
    assert str(tmp_path) in caught.value.hint


def test_directory_and_pipe_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="it is a directory"):
        load_checkpoint(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match=r"^pipe: it is a device or a pipe"):
        load_checkpoint(tmp_path / "pipe")


def test_message_stays_one_line_whatever_the_name(tmp_path):
    path = tmp_path / "two\nlines\x1b[31m.pt"
    path.write_bytes(b"x")
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert str(caught.value).isprintable()


def test_path_may_be_text():
    assert load_checkpoint(str(WHOLE_MODEL)).dim == 4


def test_unreadable_file(tmp_path):
    path = tmp_path / "fm.pt"
    path.write_bytes(WHOLE_MODEL.read_bytes())
    path.chmod(0)
    with pytest.raises(CheckpointError, match="Permission denied"):
        unprivileged(lambda: load_checkpoint(path))


def test_reading_imports_no_torch(tmp_path):
    program = (
        "import sys, fmcompress.checkpoints as c;"
        f"c.load_checkpoint({str(WHOLE_MODEL)!r});"
        "print(sorted({'torch', 'torchfm', 'faiss', 'pyarrow', 'pickle'} & set(sys.modules) - {'pickle'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_all_errors_are_ours():
    assert issubclass(CheckpointError, FMCompressError)


def test_every_module_of_a_tool_has_its_row():
    """A new dialect is one module that recognises and reads files of a tool, and one row."""
    modules = [
        importlib.import_module(f"{tools.__name__}.{found.name}") for found in pkgutil.iter_modules(tools.__path__)
    ]
    dialects = {module.__name__ for module in modules if hasattr(module, "recognises")}
    assert dialects == {dialect.read.__module__ for dialect in DIALECTS}
