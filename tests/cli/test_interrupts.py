"""Ctrl-C, a polite kill, a full disk, a reader that has gone: the old output is untouched, no part is left."""

import os
import pty
import re
import resource
import signal
import subprocess

import pytest

from tests.conftest import console_script, heed_interrupts

pytestmark = pytest.mark.slow

OLD = b"the old file"


def jobs(files):
    return {
        "train": ("train", files.train, "--epochs", "100", "--patience", "100", "--l2", "1e-3", "--lr", "1e-3"),
        "tuning": (
            "quantize",
            files.fm,
            "--budget",
            "6KB",
            "--train",
            files.train,
            "--epochs",
            "10000",
            "--lr",
            "1e-9",
        ),
    }


@pytest.mark.parametrize(
    ("job", "at", "sent", "rc"),
    [
        ("train", "epoch 1 of", signal.SIGINT, 130),
        ("tuning", "quantized: ", signal.SIGINT, 130),
        ("tuning", "quantized: ", signal.SIGTERM, 143),
        ("tuning", "epoch 2 of", signal.SIGINT, 130),
        ("tuning", "epoch 2 of", signal.SIGTERM, 143),
    ],
)
def test_interrupted_in_the_middle(fmcompress, files, job, at, sent, rc):
    output = fmcompress.folder / "out.pt"
    output.write_bytes(OLD)
    with fmcompress.start(*jobs(files)[job], "-o", output, "--force", "--batch-size", "64") as process:
        for line in process.stderr:
            if at in line:
                process.send_signal(sent)
                break
        rest = process.stderr.read()
        assert process.wait(120) == rc
        assert process.stdout.read() == ""
    assert output.read_bytes() == OLD
    assert "Traceback" not in rest
    last = rest.splitlines()[-1]
    if (fmcompress.folder / "out.pt.resume").exists():  # tuning had come to the end of an epoch
        assert re.fullmatch(
            r"interrupted: no output was written \(--resume goes on from epoch \d+ of the tuning\)", last
        )
        assert sorted(os.listdir(fmcompress.folder)) == ["out.pt", "out.pt.resume"]
    else:
        assert at != "epoch 2 of"
        assert last == "interrupted: no output was written"
        assert os.listdir(fmcompress.folder) == ["out.pt"]


def test_interrupted_on_a_terminal(fmcompress, files):
    """The bar goes, and the cursor comes back."""
    main, terminal = pty.openpty()
    argv = [console_script(), *map(str, jobs(files)["train"]), "-o", "out.pt", "--batch-size", "64"]
    with subprocess.Popen(
        argv, cwd=fmcompress.folder, stdout=terminal, stderr=terminal, start_new_session=True,
        env={**os.environ, "TERM": "xterm"}, preexec_fn=heed_interrupts,  # noqa: PLW1509
    ) as process:  # fmt: skip
        os.close(terminal)
        shown, sent = b"", False
        while chunk := read(main):
            shown += chunk
            if not sent and b"loss" in shown:
                process.send_signal(signal.SIGINT)
                sent = True
        assert process.wait(120) == 130
    os.close(main)
    hide, show = b"\x1b[?25l", b"\x1b[?25h"
    assert 0 < shown.count(hide) == shown.count(show)
    assert shown.rindex(show) > shown.rindex(hide)
    assert shown.endswith(b"interrupted: no output was written\r\n")
    assert os.listdir(fmcompress.folder) == []


def read(descriptor):
    try:
        return os.read(descriptor, 4096)
    except OSError:  # the other side has been closed
        return b""


@pytest.mark.parametrize("command", ["train", "quantize", "score"])
def test_full_disk(fmcompress, files, command):
    output = fmcompress.folder / "out.pt"
    output.write_bytes(OLD)
    arguments = {
        "train": ("train", files.valid, "--epochs", "1", "--l2", "0", "--lr", "1e-3"),
        "quantize": ("quantize", files.fm, "--budget", "9KB"),
        "score": ("score", files.ptq, files.test),
    }[command]
    limit = 4096  # a file cannot grow beyond it
    done = fmcompress(
        *arguments, "-o", output, "--force", "--quiet", rc=2,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip
    assert (
        done.stderr
        == f"error: {output} cannot be written: File too large (free some space, or write to another disk)\n"
    )
    assert output.read_bytes() == OLD
    assert os.listdir(fmcompress.folder) == ["out.pt"]


def test_reader_that_has_gone(files):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([console_script(), "report", files.ptq], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_output_that_is_full(files):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([console_script(), "report", files.ptq], stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 2
    assert done.stderr == b"error: the system refuses: [Errno 28] No space left on device\n"


def test_names_that_are_no_unicode(fmcompress, files):
    name = os.fsencode(fmcompress.folder) + b"/n\xff"
    for suffix, source in ((b".pt", files.fm), (b".parquet", files.test)):
        with open(name + suffix, "wb") as file:
            file.write(source.read_bytes())
    done = fmcompress("score", os.fsdecode(name + b".pt"), os.fsdecode(name + b".parquet"), "-o", "out.parquet")
    assert "4,000 predictions" in done.stdout
    fmcompress("evaluate", os.fsdecode(name + b".pt"), "--data", os.fsdecode(name + b".parquet"),
               env={"PYTHONIOENCODING": "ascii", "PYTHONWARNINGS": "error"})  # fmt: skip
