"""Times for people, and a progress that keeps silent."""

import pytest

from fmcompress.errors import FMCompressWarning
from fmcompress.progress import SILENT, format_duration


def test_durations():
    texts = {0.1: "1 min", 60: "1 min", 61: "2 min", 3599: "1 h 00 min", 7500: "2 h 05 min"}
    assert {seconds: format_duration(seconds) for seconds in texts} == texts


def test_silence(capsys):
    SILENT.note("done")
    SILENT.start("scoring", 10)
    SILENT.advance(3, "loss 0.5")
    SILENT.finish()
    assert capsys.readouterr() == ("", "")


def test_even_silence_warns():
    with pytest.warns(FMCompressWarning, match="beware"):
        SILENT.warn("beware")
