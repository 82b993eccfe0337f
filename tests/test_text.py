"""Text for people, whatever it holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmcompress.text import inert, printable, shortened


@given(st.text(max_size=60), st.integers(4, 40))
def test_shortened_texts_are_printable_and_short(text, most):
    found = shortened(text, most)
    assert found.isprintable()
    assert len(found) <= most
    assert found == printable(text) or ("…" in found and len(printable(text)) > most)


def test_long_names_keep_their_beginning_and_their_end():
    assert shortened("user_clicks_last_week_count", 12) == "user_cl…ount"
    assert shortened("short", 12) == "short"
    assert len(shortened("n" * 10_000_000, 40)) == 40


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("::error title=x::y", r"\x3a:error title=x::y"),
        ("  ::add-mask::y", r"  \x3a:add-mask::y"),
        ("a  ##[error]y", r"a  #\x23[error]y"),
        ("##vso[task.complete]", r"#\x23vso[task.complete]"),
        ("fc::report ## heading [1]", "fc::report ## heading [1]"),
    ],
)
def test_lines_are_no_commands_of_build_systems(line, shown):
    assert inert(line) == shown
