"""Documents: tables that line up, and annotations of GitHub on one line, whatever stands in a name."""

import re

import pytest

from fmcompress.reporting import report
from fmcompress.reporting.document import Paragraph, Table, markdown_document, plain_document, workflow_command
from tests.models import SHAPES, packed
from tests.reporting.test_report import HOSTILE, hostile_model

_COMMAND = re.compile(r"::notice title=([^:,\r\n]*)::([^\r\n]*)")


def decoded(text):
    for shown, hidden in (("\r", "%0D"), ("\n", "%0A"), (":", "%3A"), (",", "%2C"), ("%", "%25")):
        text = text.replace(hidden, shown)
    return text


def test_it_tells_size_and_quality():
    text = report(packed(*SHAPES["mixed"])).to_github(name="fm.safetensors")
    title, message = _COMMAND.fullmatch(text).groups()
    assert title == "Memory report of fm.safetensors"
    assert re.fullmatch(
        r"[\d.]+ KB \([\d,]+ bytes\), [\d,]+ bytes left of the budget; [\d.]+ times (smaller|larger) than in fp32; on "
        r"12,345 rows of validation data AUC 0\.80023 \(0\.80123 before\), LogLoss 0\.45779 \(0\.45679 before\)",
        decoded(message),
    )


def test_without_data_it_tells_the_expected_rise():
    assert "; rise of the loss: predicted +0." in report(packed(*SHAPES["mixed"], quality=False)).to_github()


@pytest.mark.parametrize("name", [*HOSTILE, "100%", "a,b:c", "%0A::error::x", "\r\n::error::x"])
def test_hostile_names_stay_in_their_command(name):
    title, _ = _COMMAND.fullmatch(report(hostile_model()).to_github(name=name)).groups()
    assert decoded(title).startswith("Memory report of ")
    assert len(title) < 700


def test_commands_give_back_what_they_were_given():
    text = workflow_command("error", "a: 5%, b", "x::y, 7%")
    assert text == "::error title=a%3A 5%25%2C b::x::y, 7%25"


def test_tables_line_up():
    table = Table(("name", "bytes"), [("a", "1"), ("größer", "1,000")])
    assert table.plain().splitlines() == ["name    bytes", "------  -----", "a           1", "größer  1,000"]
    rule = "| --- | ---: |"
    assert table.markdown().splitlines() == ["| name | bytes |", rule, "| a | 1 |", "| größer | 1,000 |"]


def test_tables_without_titles_have_no_rule_in_plain_text():
    assert Table(("", ""), [("a", "b"), ("link", "c  ")], left=2).plain() == "a     b\nlink  c"


def test_blocks_stand_apart_and_empty_ones_take_no_room():
    blocks = [Paragraph(["::a", "b\n*"], bullet="- "), Paragraph([]), Table(("x",), [("y",)])]
    assert plain_document(blocks) == "\\x3a:a\nb\\n*\n\nx\n-\ny"
    assert markdown_document(blocks, "Title") == "## Title\n\n- ::a\n- b\\\\n\\*\n\n| x |\n| --- |\n| y |"
