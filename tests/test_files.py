"""Files appear whole or not at all."""

import os
import stat

import pytest

from fmcompress.errors import OutputError
from fmcompress.files import check_writable, replacing
from tests.unprivileged import unprivileged


def test_new_file_follows_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        with replacing(tmp_path / "a") as file:
            file.write(b"abc")
    finally:
        os.umask(old)
    assert (tmp_path / "a").read_bytes() == b"abc"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["a"]


def write_then(file, error):
    file.write(b"new")
    raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, MemoryError])
def test_nothing_is_left_after_an_error(tmp_path, error):
    (tmp_path / "a").write_text("old")
    with pytest.raises(error), replacing(tmp_path / "a", force=True) as file:
        write_then(file, error)
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_system_errors_say_what_to_do(tmp_path):
    with pytest.raises(OutputError, match="No space left") as caught, replacing(tmp_path / "a"):
        raise OSError(28, "No space left on device")
    assert caught.value.hint
    assert os.listdir(tmp_path) == []


def write_as_another(path, file):
    file.write(b"ours")
    path.write_text("theirs")


def test_file_that_appeared_meanwhile_is_kept(tmp_path):
    with pytest.raises(OutputError, match="exists"), replacing(tmp_path / "a") as file:
        write_as_another(tmp_path / "a", file)
    assert (tmp_path / "a").read_text() == "theirs"
    assert os.listdir(tmp_path) == ["a"]


def test_link_stays_a_link(tmp_path):
    (tmp_path / "current").symlink_to(tmp_path / "v2")
    with replacing(tmp_path / "current", force=True) as file:
        file.write(b"abc")
    assert (tmp_path / "current").is_symlink()
    assert (tmp_path / "v2").read_bytes() == b"abc"


def test_longest_name_is_possible(tmp_path):
    with replacing(tmp_path / ("n" * 255)) as file:
        file.write(b"abc")
    assert os.listdir(tmp_path) == ["n" * 255]


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("folder", "is a directory"),
        ("missing/a", "there is no folder"),
        ("file/a", "there is no folder|Not a directory"),
        ("pipe", "is a device or a pipe"),
        ("n" * 256, "File name too long"),
    ],
)
def test_impossible_targets_are_found_up_front(tmp_path, name, message, force):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match=message):
        check_writable(tmp_path / name, force=force)
    with pytest.raises(OutputError, match=message), replacing(tmp_path / name, force=force):
        pytest.fail("the block must not start")


def test_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="no permission"):
        unprivileged(lambda: check_writable(tmp_path / "a"))
    tmp_path.chmod(0o700)
