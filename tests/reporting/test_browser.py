"""The page of the memory report in a real browser: it renders, asks for nothing, and shows the figures of the JSON."""

import pytest

from tests.reporting.browser import running
from tests.reporting.samples import PAGE, check_figures, small, wide

pytestmark = pytest.mark.slow

_FIGURES = """
[...document.querySelectorAll("[data-key]")].map(e => [e.dataset.key, e.getAttribute("value") ?? e.dataset.value])
"""
_SHOWN = """
[...document.querySelectorAll("data")].every(e => e.getBoundingClientRect().width > 0 && e.value !== undefined)
"""
_WIDTHS = "[document.scrollingElement.scrollWidth, document.documentElement.clientWidth]"
_BARS = """
[...document.querySelectorAll("svg[aria-labelledby^=parts] rect[data-key]")]
    .filter(e => e.getBoundingClientRect().y == document.querySelector(".codes").getBoundingClientRect().y)
    .map(e => [e.dataset.key, Number(e.dataset.value), e.getBoundingClientRect().width])
"""
_COLOURS = """
[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color,
 getComputedStyle(document.querySelector(".codes")).fill]
"""
_OVERLAPS = """
[...document.querySelectorAll("svg[aria-labelledby^=fields] .number")].filter(number => {
    const own = number.getBoundingClientRect();
    return [...number.parentNode.querySelectorAll("svg")].some(name => {
        const other = name.getBoundingClientRect();
        return Math.abs(own.y - other.y) < 10 && other.left + name.width.baseVal.value > own.left;
    });
}).length
"""

_LABELS_OVERLAP = """
[...document.querySelectorAll("svg[aria-labelledby^=parts] > text")].map(e => e.getBoundingClientRect())
    .some((one, at, all) => all.slice(at + 1).some(other => Math.abs(one.y - other.y) < 10 && one.right > other.left))
"""


@pytest.fixture(scope="module")
def browser():
    with running() as found:
        yield found


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report #1 & <b>.html"
    path.write_text(small().to_html(**PAGE), encoding="utf-8")
    return path


def test_it_renders_without_errors_and_without_requests(browser, page):
    seen = browser.open(page)
    assert seen.messages == []
    assert seen.requests == [page.as_uri()]
    assert browser.evaluate("document.title") == "Memory report of tuned.safetensors"
    assert browser.evaluate("document.querySelectorAll('svg[role=img]').length") == 5
    assert browser.evaluate("getComputedStyle(document.querySelector('main')).maxWidth") != "none"  # the style is there


def test_the_figures_are_those_of_the_json(browser, page):
    browser.open(page)
    found = small()
    shown = browser.evaluate(_FIGURES)
    assert len(shown) > 60
    check_figures([(key, value) for key, value in shown], found.to_json())
    assert browser.evaluate(_SHOWN)


@pytest.mark.parametrize("width", [390, 1000])
def test_bars_are_as_long_as_their_bytes(browser, page, width):
    browser.open(page, width=width)
    bars = browser.evaluate(_BARS)
    assert [key for key, _, _ in bars] == ["codes_bytes", "codebook_bytes", "raw_bytes", "linear_bytes", "header_bytes"]
    total_bytes, total_pixels = sum(size for _, size, _ in bars), sum(pixels for _, _, pixels in bars)
    assert total_bytes == small().file_bytes
    for _, size, pixels in bars:
        assert pixels / total_pixels == pytest.approx(size / total_bytes, abs=2 / total_pixels)


@pytest.mark.parametrize("width", [320, 390, 768, 1440])
def test_nothing_is_wider_than_the_window(browser, page, width):
    browser.open(page, width=width, height=844)
    assert browser.evaluate(_WIDTHS) == [width, width]
    assert browser.evaluate(_OVERLAPS) == 0
    assert browser.evaluate(_LABELS_OVERLAP) is False


def test_a_thousand_fields_with_long_names_on_a_phone(browser, tmp_path):
    (tmp_path / "page.html").write_text(wide().to_html(name="n" * 10_000), encoding="utf-8")
    assert browser.open(tmp_path / "page.html", width=390, height=844).messages == []
    assert browser.evaluate(_WIDTHS) == [390, 390]
    assert browser.evaluate(_OVERLAPS) == 0


def test_it_is_light_or_dark_as_people_have_it(browser, page):
    browser.open(page)
    light = browser.evaluate(_COLOURS)
    seen = browser.open(page, dark=True)
    dark = browser.evaluate(_COLOURS)
    assert seen.messages == []
    assert light == ["rgb(255, 255, 255)", "rgb(31, 35, 40)", "rgb(10, 88, 202)"]
    assert dark == ["rgb(13, 17, 23)", "rgb(230, 237, 243)", "rgb(88, 166, 255)"]
