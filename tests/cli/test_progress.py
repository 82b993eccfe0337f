"""Progress on standard error: nothing, plain lines, or bars that vanish."""

import io
import time

import pytest
import typer
from fmcompress_cli.main import app
from fmcompress_cli.options import GlobalOptions
from fmcompress_cli.progress import PlainProgress, progress_of


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def context():
    return typer.main.get_command(app).make_context("fmcompress", ["doctor"], obj=GlobalOptions())


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO(), None])
def test_quiet_is_silent_wherever_it_would_go_but_warns(context, monkeypatch, stream):
    context.obj = GlobalOptions(quiet=True)
    monkeypatch.setattr("sys.stderr", stream)
    told(progress_of(context))
    assert stream is None or stream.getvalue() == "warning: beware\\n\n"


def test_without_standard_error_there_is_nobody_to_tell(context, monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    told(progress_of(context))


def told(progress):
    progress.start("reading", 3)
    progress.advance(2, figures="loss 0.5")
    progress.note("epoch 1 of 2")
    progress.warn("beware\n")
    progress.finish()


def test_lines_where_there_is_no_terminal(context, capsys):
    progress = progress_of(context)
    assert isinstance(progress, PlainProgress)
    told(progress)
    assert capsys.readouterr() == ("", "epoch 1 of 2\nwarning: beware\\n\n")


def test_bars_on_a_terminal(context, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    progress = progress_of(context)
    progress.start("reading [rows]", 3)
    progress.advance(2, figures="loss 0.5 [a]")
    progress.note("a line [b] that stays")
    progress.warn("beware [c]")
    end = time.monotonic() + 5
    while "2/3" not in terminal.getvalue() and time.monotonic() < end:
        time.sleep(0.02)  # bars are drawn ten times a second
    progress.finish()
    shown = terminal.getvalue()
    assert "reading [rows]" in shown
    assert "warning: beware [c]\n" in shown.replace("\r", "")
    assert "2/3" in shown
    assert "loss 0.5 [a]" in shown
    assert "a line [b] that stays\n" in shown


def test_the_cursor_comes_back_however_the_command_ends(context, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    progress_of(context).start("reading", 3)
    assert "\x1b[?25l" in terminal.getvalue()
    assert "\x1b[?25h" not in terminal.getvalue()
    context.close()
    assert "\x1b[?25h" in terminal.getvalue()
