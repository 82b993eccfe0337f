"""Formats of ``fmcompress report``, from the installed console script."""

import json
import os
import subprocess
from html import unescape
from typing import get_args

import pytest

import fmcompress as fc
from fmcompress.reporting.curve import read_curve
from tests.conftest import console_script
from tests.json_schema import problems, schema
from tests.models import packed
from tests.reporting.test_curve import CURVE

pytestmark = pytest.mark.slow


@pytest.fixture
def curve(fmcompress):
    path = fmcompress.folder / "curve.json"
    path.write_text(CURVE.to_json(), encoding="utf-8")
    return path


def test_each_format_is_that_of_the_library(fmcompress, files):
    found, name = fc.report(files.tuned), files.tuned.name
    texts = {
        "text": found.to_text(),
        "json": found.to_json(),
        "markdown": found.to_markdown(),
        "html": found.to_html(name=name),
        "github": found.to_github(name=name),
    }
    for format_, text in texts.items():
        assert fmcompress("report", files.tuned, "--format", format_).stdout.rstrip("\n") == text.rstrip("\n")
    assert fmcompress("report", files.tuned, "--card").stdout == found.to_card(name=name)
    assert problems(json.loads(texts["json"]), schema("report")) == []


def test_files_hold_what_would_be_printed(fmcompress, files):
    done = fmcompress("report", files.tuned, "--format", "html", "-o", "a")
    assert (done.stdout, done.stderr) == ("", "")
    page = fc.report(files.tuned).to_html(name=files.tuned.name)
    assert (fmcompress.folder / "a").read_text(encoding="utf-8") == page
    assert "exists (pass --force" in fmcompress("report", files.tuned, "-o", "a", rc=2).stderr
    assert (fmcompress.folder / "a").read_text(encoding="utf-8") == page
    fmcompress("report", files.tuned, "-o", "a", "--force")
    assert (fmcompress.folder / "a").read_text(encoding="utf-8") == fc.report(files.tuned).to_text()


def test_the_curve_of_sweep(fmcompress, files, curve):
    fmcompress("report", files.tuned, "--format", "html", "--curve", curve, "-o", "report.html")
    html = (fmcompress.folder / "report.html").read_text(encoding="utf-8")
    assert html == fc.report(files.tuned).to_html(name=files.tuned.name, curve=read_curve(curve))
    assert "Size and quality" in html


def test_plain_text_is_uncut_without_a_terminal(fmcompress):
    name = "a field with a name that is wider than any terminal " * 5
    packed(2, "3 raw raw", names=[name]).save(fmcompress.folder / "a")
    for columns in ("20", "80"):
        text = fmcompress("report", "a", env={"COLUMNS": columns, "TERM": "xterm-256color", "FORCE_COLOR": "1"}).stdout
        assert name in text
        assert "\x1b" not in text


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_html_on_any_standard_output(fmcompress, encoding):
    packed(2, "3 raw raw", names=["größe 価格 🛒"]).save(fmcompress.folder / "a")
    argv = [console_script(), "report", "a", "--format", "html"]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(argv, cwd=fmcompress.folder, env=environment, capture_output=True, check=True)
    assert "größe 価格 🛒" in unescape(done.stdout.decode(encoding))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--format", "json", "--card"), "a model card is Markdown, not json"),
        (("--curve", "curve.json"), "a curve is drawn in html alone (add --format html)"),
        (("--card", "--curve", "curve.json"), "a curve is drawn in html alone"),
        (("--format", "html", "--curve", "none.json"), "none.json: cannot be read: No such file"),
        (("--format", "html", "--curve", "a.safetensors"), "a.safetensors is no curve of fmcompress"),
        (("-o", "a.safetensors", "--force"), "a.safetensors is an input of this job"),
        (("--format", "html", "--curve", "curve.json", "-o", "curve.json"), "curve.json is an input of this job"),
        (("-o", "nowhere/a"), "there is no folder"),
        (("--format", "pdf"), "--format is 'pdf'"),
    ],
)
def test_what_does_not_go_together(fmcompress, curve, arguments, says):
    packed(2, "3 raw raw").save(fmcompress.folder / "a.safetensors")
    before = sorted(fmcompress.folder.iterdir())
    done = fmcompress("report", "a.safetensors", *arguments, rc=2)
    assert done.stdout == ""
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(fmcompress.folder.iterdir()) == before


def test_the_command_line_offers_every_format():
    from fmcompress_cli.report import Format

    from fmcompress.reporting.formats import FORMATS

    assert {*get_args(Format), "card"} == set(FORMATS)
