"""The table of formats has all that a report, and the command line, can be asked for."""

from typing import get_args

import pytest
from fmcompress_cli.report import Format

from fmcompress.reporting.formats import FORMATS
from fmcompress.reporting.sections import Options
from tests.reporting.samples import PAGE, small


def test_formats_of_the_command_line_are_rows():
    assert {*get_args(Format), "card"} == set(FORMATS)


@pytest.mark.parametrize("name", FORMATS)
def test_methods_of_reports_are_rows(name):
    report, given = small(), {"html": PAGE, "github": {"name": "a"}, "card": {"name": "a"}, "markdown": {"top": 2}}
    options = given.get(name, {})
    assert FORMATS[name](report, Options(**options)) == getattr(report, f"to_{name}")(**options)
