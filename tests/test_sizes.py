"""Sizes: as people write them, and with their exact bytes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmcompress.errors import UsageError
from fmcompress.sizes import format_size, parse_size, short_size


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("139KB", 139_000),
        ("10MB", 10_000_000),
        ("10 mb", 10_000_000),
        (" 1.5MiB ", 1_572_864),
        ("0.5KiB", 512),
        ("2GB", 2 * 10**9),
        ("1GiB", 2**30),
        ("4096", 4096),
        ("4096B", 4096),
        (4096, 4096),
        ("1.9", 1),
        ("0.1MB", 100_000),
        ("1.1MB", 1_100_000),
        ("1048576GiB", 2**50),
    ],
)
def test_sizes_are_read_exactly(text, size_bytes):
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(
    "text",
    [
        *("", "MB", "ten MB", "10 MBit", "1e6", "-5", "-1MB", "0", "0.5", "0MB", "1048577GiB", "1_000", "1,000"),
        *("1..5MB", ".5MB", "5.MB", "nan", "inf", "０１MB", "10MB 5", "10M", 0, -3, True, None, "9" * 5000 + "MB"),
    ],
)  # fmt: skip
def test_what_is_no_size_is_refused_in_one_line(text):
    with pytest.raises(UsageError) as caught:
        parse_size(text)
    assert "\n" not in str(caught.value)
    assert "10MB" in caught.value.hint


@settings(deadline=None)
@given(st.integers(1, 2**50))
def test_exact_bytes_stand_beside_and_can_be_read_again(size_bytes):
    assert f"{size_bytes:,} bytes" in format_size(size_bytes)
    assert parse_size(str(size_bytes)) == parse_size(size_bytes) == size_bytes


def test_sizes_are_shown_in_powers_of_ten():
    assert format_size(999) == "999 bytes"
    assert format_size(139_000) == "139.0 KB (139,000 bytes)"
    assert format_size(10_000_000) == "10.0 MB (10,000,000 bytes)"
    assert format_size(2_500_000_000) == "2.5 GB (2,500,000,000 bytes)"


def test_sizes_on_axes_are_short():
    sizes = (7, 999, 20_000, 999_499, 999_501, 1_500_000, 2e9)
    assert [*map(short_size, sizes)] == ["7 B", "999 B", "20 KB", "999 KB", "1 MB", "1.5 MB", "2 GB"]
