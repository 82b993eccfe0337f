"""The size-quality curve as a picture: the same bytes each time, whatever matplotlib's user has set."""

import locale
import sys
import xml.etree.ElementTree as ET

import pytest

from fmcompress.errors import DependencyError, OutputError, UsageError
from fmcompress.reporting import plot
from tests.reporting.test_curve import CURVE, NUMBERS, ONE_CLASS, UNMEASURED

pytestmark = pytest.mark.slow


def svg_of(curve, path):
    plot.save_plot(curve, path)
    text = path.read_text(encoding="utf-8")
    assert ET.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
    return text


def test_plot_is_the_same_bytes_each_time(tmp_path, monkeypatch):
    import matplotlib

    first = svg_of(CURVE, tmp_path / "a.svg")
    monkeypatch.setitem(matplotlib.rcParams, "axes.facecolor", "black")
    monkeypatch.setitem(matplotlib.rcParams, "axes.formatter.use_locale", True)
    monkeypatch.setattr(locale, "localeconv", lambda: {"decimal_point": ",", "thousands_sep": ".", "grouping": []})
    assert svg_of(CURVE, tmp_path / "b.svg") == first
    assert matplotlib.rcParams["axes.facecolor"] == "black"
    for shown in ("AUC, test data", "LogLoss, test data", "bytes of the file", "auto", "rowwise-int4", "FM"):
        assert f"<!-- {shown} -->" in first
    assert "date" not in first


@pytest.mark.parametrize(("kind", "magic"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")])
@pytest.mark.parametrize("curve", [CURVE, UNMEASURED, ONE_CLASS], ids=["measured", "unmeasured", "one class"])
def test_plot_kinds(curve, kind, magic):
    found = plot.drawn(curve, kind)
    assert found.startswith(magic)
    assert found == plot.drawn(curve, kind)


def test_plot_panels(tmp_path):
    assert "<!-- RMSE, test data -->" in svg_of(NUMBERS, tmp_path / "c.svg")
    assert "<!-- predicted rise of LogLoss -->" in svg_of(UNMEASURED, tmp_path / "a.svg")
    shown = svg_of(ONE_CLASS, tmp_path / "b.svg")
    assert "<!-- LogLoss, validation data -->" in shown
    assert "AUC" not in shown


def test_plots_are_refused_early(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"curve.jpg is no name for a plot, expected .*\.svg, \.png, \.pdf"):
        plot.check_plot(tmp_path / "curve.jpg")
    with pytest.raises(OutputError, match="no folder"):
        plot.check_plot(tmp_path / "none" / "curve.svg")
    (tmp_path / "old.SVG").touch()
    with pytest.raises(OutputError, match="exists"):
        plot.save_plot(CURVE, tmp_path / "old.SVG")
    plot.save_plot(CURVE, str(tmp_path / "old.SVG"), force=True)
    monkeypatch.setattr(plot, "find_spec", lambda _: None)
    with pytest.raises(DependencyError, match="matplotlib") as caught:
        plot.check_plot(tmp_path / "curve.svg")
    assert caught.value.hint == "pip install 'fmcompress[plot]'"
    assert "matplotlib.pyplot" not in sys.modules  # its global figures would never be freed


def test_the_axis_of_bytes_is_the_pages(tmp_path):
    shown = svg_of(CURVE, tmp_path / "a.svg")
    assert [size for size in ("1 KB", "2 KB", "5 KB", "10 KB") if f"<!-- {size} -->" in shown] == ["2 KB", "5 KB"]
