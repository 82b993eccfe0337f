"""The page of the memory report, without a browser: what it holds, and that nothing can become markup."""

import base64
import hashlib
import json
import math
import re
from dataclasses import replace
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import UndefinedError

from fmcompress.reporting import report
from fmcompress.reporting.page import environment
from fmcompress.reporting.sections import facts
from tests.mixed import mixed_models, packed_mixed
from tests.models import origin, pack_model, packed
from tests.reporting.samples import PAGE, Page, check_figures, figures, small, wide
from tests.reporting.test_curve import NUMBERS, ONE_CLASS, UNMEASURED
from tests.reporting.test_report import HOSTILE, KINDS, hostile_model

CSS = files("fmcompress.reporting").joinpath("page.css").read_text(encoding="utf-8")
URLS = {"data:,"}
ERRORS = st.floats(1e-9, 1e5) | st.floats(-1e5, -1e-9) | st.sampled_from([0.0, math.nan, math.inf])
"""Errors as a header can have them."""


def test_it_stands_alone():
    html = small().to_html(**PAGE)
    page = Page(html)
    assert html.startswith("<!DOCTYPE html>")
    assert {attributes["href"] for attributes, _ in page.named("link")} == URLS
    assert not {tag for tag, _, _ in page.elements} & {
        "script",
        "img",
        "iframe",
        "object",
        "embed",
        "form",
        "a",
        "base",
    }
    assert not any({"src", "style", "onclick", "onload"} & attributes.keys() for _, attributes, _ in page.elements)
    assert "http" not in html.replace("http-equiv", "")
    assert "url(" not in CSS
    assert "@import" not in CSS


def test_its_policy_allows_its_own_style_and_nothing_else():
    page = Page(small().to_html())
    (policy,) = (found["content"] for found, _ in page.named("meta") if found.get("http-equiv"))
    ((_, style),) = page.named("style")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'; ")
    assert "unsafe" not in policy


def test_figures_are_those_of_the_json():
    found = small()
    page = Page(found.to_html(**PAGE))
    shown = figures(page.named("data")) + figures(page.named("rect")) + figures(page.named("circle"))
    check_figures(shown, found.to_json())
    keys = {key for key, _ in shown}
    assert keys >= {"file_bytes", "budget_bytes", "ratio", "source_fp32_bytes", "bits_per_weight", "resident_bytes"}
    assert keys >= {"codes_bytes", "codebook_bytes", "raw_bytes", "linear_bytes", "header_bytes"}
    assert keys >= {
        f"quality.{name}.{score}" for name in ("source", "untuned", "artifact") for score in ("auc", "logloss")
    }
    for number in range(len(found.fields)):
        assert keys >= {f"fields.{number}.{name}" for name in ("bytes", "error", "source_fp32_bytes")}


def test_what_people_see_is_the_figure():
    """In the tables bytes stand as they are, and scores in all digits that they have."""
    for attributes, text in Page(small().to_html()).named("data"):
        key, value = attributes["data-key"], attributes["value"]
        if key.endswith(".bytes") or key.endswith(".rows"):
            assert text == f"{int(value):,}"
        elif key.endswith((".auc", ".logloss")):
            assert text == f"{float(value):.5f}"
        elif key.endswith(".error"):
            assert float(text) == pytest.approx(float(value), rel=0.05)


def test_pictures_say_what_they_show():
    page = Page(small().to_html(**PAGE))
    pictures = [(found, text) for found, text in page.named("svg") if found.get("role") == "img"]
    assert len(pictures) == 5
    ids = {attributes.get("id"): text for _, attributes, text in page.elements}
    for attributes, _ in pictures:
        title, description = (ids[name] for name in attributes["aria-labelledby"].split())
        assert title
        assert len(description) > 40
    assert len(page.named("table")) == 5
    assert all(text for _, text in page.named("caption"))
    hidden = [found for found, _ in page.named("svg") if found.get("aria-hidden") == "true"]
    assert len(hidden) >= 5


@pytest.mark.parametrize("curve", [UNMEASURED, ONE_CLASS, NUMBERS, replace(UNMEASURED, points=())])
def test_curves_of_all_kinds(curve):
    page = Page(small().to_html(curve=curve))
    assert ("Size and quality" in [text for _, text in page.named("h2")]) is True
    titles = [text for attributes, text in page.named("title") if attributes.get("id", "").startswith("curve")]
    assert titles == ([panel.label for panel in curve.panels()] if curve.points else [])


def test_points_of_a_curve_are_those_of_its_json():
    page = Page(small().to_html(**PAGE))
    shown = [float(found["data-value"]) for found, _ in page.named("svg") if found.get("class") == "point"]
    points = json.loads(PAGE["curve"].to_json())["points"]
    assert shown == [point[score] for score in ("auc", "logloss") for point in points if point["file_bytes"]]


@settings(max_examples=40, deadline=None)
@given(mixed_models(), st.lists(ERRORS, min_size=9, max_size=9), st.text(max_size=20))
def test_every_format_works_for_every_model(model, errors, name):
    packed_model = pack_model(model, origin())
    header = packed_model.header
    found = report(replace(packed_model, header=replace(header, errors=tuple(errors[: len(header.errors)]))))
    page = Page(found.to_html(name=name))
    check_figures(
        figures(page.named("data")) + figures(page.named("rect")) + figures(page.named("circle")), found.to_json()
    )
    for text in (found.to_text(), found.to_markdown(), found.to_github(name=name), found.to_card(name=name)):
        assert all(c.isprintable() for c in text.replace("\n", ""))


def test_models_of_all_kinds():
    model = packed_mixed(4, "9 2x4 4", "5 raw raw", link="clip:1:5", **KINDS)
    odd = [packed(2, "3 raw raw", budget_bytes=budget) for budget in (0, -1, 1, 10**15)]
    for found in (model, packed(2, "3 raw raw", quality=False, source=()), *odd):
        page = Page(report(found).to_html())
        assert [text for _, text in page.named("h1")] == ["Memory report"]
        check_figures(figures(page.named("data")), report(found).to_json())
        texts = [text for _, text in page.named("dd")]
        assert all(value in texts for _, value in facts(report(found)))


def test_fields_without_error_and_errors_without_a_number():
    found = report(packed(2, "3 raw raw", "4 raw raw", "5 raw raw"))
    nothing = replace(found, fields=tuple(replace(field, error=0.0) for field in found.fields))
    assert "Bytes and error" not in nothing.to_html()
    for errors, shown in {
        (math.nan, 1e-6, 0.0): ["fields.2.error", "fields.1.error"],
        (math.inf, 1e-6, -1e-5): ["fields.1.error", "fields.2.error"],
        (-3e-6, -1e-6, -1e-5): ["fields.1.error", "fields.0.error", "fields.2.error"],
    }.items():
        odd = replace(found, fields=tuple(replace(f, error=e) for f, e in zip(found.fields, errors, strict=True)))
        page = Page(odd.to_html())
        assert [circle["data-key"] for circle, _ in page.named("circle")] == shown
        assert all(0 <= float(circle["cy"]) <= 300 for circle, _ in page.named("circle"))


@pytest.mark.slow
def test_nothing_in_a_header_becomes_markup():
    plain = packed(2, *["3 raw raw"] * len(HOSTILE), method="m", source=("tool", "fm", "sha"))
    names = [each for name in HOSTILE for each in (name, f'"{name}', f"'>{name}")]
    expected = [
        tag for tag, _, _ in Page(report(plain).to_html(name="a")).elements if tag not in ("bdi", "div", "dt", "dd")
    ]
    for name in ("a", *names):
        html = report(hostile_model()).to_html(name=name)
        assert all(c.isprintable() for c in html.replace("\n", ""))
        found = Page(html)
        assert [tag for tag, _, _ in found.elements if tag not in ("bdi", "div", "dt", "dd")] == expected
        assert not any(key.startswith("on") for _, attributes, _ in found.elements for key in attributes)


def test_long_names_are_cut_short_and_told_in_a_title():
    page = Page(report(packed(2, "3 raw raw", names=["n" * 10_000])).to_html())
    names = page.named("bdi")
    assert all(len(text) <= 60 and 60 < len(found["title"]) <= 160 for found, text in names if "n" * 20 in text)
    assert len(names) > 1


@pytest.mark.slow
def test_a_thousand_fields():
    found = wide()
    html = found.to_html()
    assert len(html.encode()) < 1_000_000
    page = Page(html)
    largest = [found for found, _ in page.named("data") if re.fullmatch(r"fields\.\d+\.bytes", found["data-key"])]
    assert len({found["data-key"] for found in largest}) == 1000
    assert "and 980 more fields, " in html
    check_figures(figures(page.named("data")), found.to_json())


def test_texts_are_escaped_wherever_they_stand():
    made = environment().from_string("<b class='{{ x }}'>{{ x }}{{ '<i>'|safe }}{{ 0.5 }}</b>")
    assert made.render(x="\"'<&>\n") == "<b class='&#34;&#39;&lt;&amp;&gt;\\n'>&#34;&#39;&lt;&amp;&gt;\\n<i>0.5</b>"
    with pytest.raises(UndefinedError):
        made.render()


def colours(part):
    return dict(re.findall(r"--([\w-]+): (#\w{6});", part))


def luminance(colour):
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_contrasts_are_those_that_people_need(dark):
    light_part, dark_part = CSS.split("@media (prefers-color-scheme: dark)")
    found = colours(dark_part if dark else light_part)
    assert found.keys() == colours(light_part).keys()
    for ground in ("ground", "panel"):
        for text in ("text", "quiet"):
            assert contrast(found[text], found[ground]) >= 4.5
        for shape in found.keys() - {"text", "quiet", "ground", "panel", "edge", "grid", "on-dot"}:
            assert contrast(found[shape], found[ground]) >= 3, shape
    assert contrast(found["on-dot"], found["codes"]) >= 4.5
