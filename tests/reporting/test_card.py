"""Model cards: a README whose metadata machines understand, and whose code runs."""

import json
import math
import re
import shlex
from dataclasses import replace

import numpy as np
import pytest
import yaml

from fmcompress.artifact import Quality
from fmcompress.reporting import report
from tests.mixed import packed_mixed
from tests.models import SHAPES, origin, packed
from tests.reporting.test_report import HOSTILE, KINDS, hostile_model


def split(card):
    """Return the metadata and the Markdown of a card."""
    start, metadata, body = card.split("---\n", 2)
    assert start == ""
    return metadata, body


def code_of(card, language):
    (code,) = re.findall(rf"```{language}\n(.*?)\n```", card, re.DOTALL)
    return code


def test_metadata():
    metadata, body = split(report(packed(*SHAPES["mixed"])).to_card(name="fm.safetensors"))
    found = yaml.safe_load(metadata)
    assert (found["library_name"], found["pipeline_tag"]) == ("fmcompress", "tabular-classification")
    assert found["metrics"] == ["roc_auc", "log_loss"]
    assert "factorization-machine" in found["tags"]
    (model,) = found["model-index"]
    (result,) = model["results"]
    assert model["name"] == "fm.safetensors"
    assert result["task"] == {"type": "tabular-classification"}
    assert result["dataset"] == {"type": "validation", "name": "validation data, 12,345 rows"}
    assert [(metric["type"], float(metric["value"])) for metric in result["metrics"]] == [
        ("roc_auc", 0.80023),
        ("log_loss", 0.45779),
    ]
    assert body.strip().startswith("# fm.safetensors\n")


def test_regressions_have_their_own_task_and_metric():
    model = packed_mixed(4, "9 2x4 4", link="identity")
    quality = {"artifact": Quality(50, math.nan, math.nan, 1.25)}
    found = yaml.safe_load(
        split(report(replace(model, header=replace(model.header, origin=origin(quality=quality)))).to_card())[0]
    )
    assert found["pipeline_tag"] == "tabular-regression"
    assert found["metrics"] == ["rmse"]
    assert found["model-index"][0]["results"][0]["metrics"] == [{"type": "rmse", "name": "RMSE", "value": 1.25}]


@pytest.mark.parametrize("quality", [{}, {"artifact": Quality(5, math.nan, 0.5)}])
def test_only_what_was_measured_is_told(quality):
    card = report(packed(2, "3 raw raw", quality=quality)).to_card()
    found = yaml.safe_load(split(card)[0])
    assert found.get("metrics", []) == (["log_loss"] if quality else [])
    assert ("model-index" in found) == bool(quality)
    assert ("made without data" in card) == (not quality)


@pytest.mark.parametrize("many", [False, True])
def test_its_code_runs(tmp_path, monkeypatch, many):
    model = packed_mixed(4, *["9 2x4 4", "5 raw raw"] * (12 if many else 1), **KINDS)
    name = """it's "a" model.safetensors"""
    model.save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    card = report(tmp_path / name).to_card(name=name)
    found = {}
    exec(code_of(card, "python"), found)
    assert np.isfinite(found["predictions"]).all()
    assert np.shape(found["ids"]) == (1, len(model.schema.id_names))
    assert shlex.split(code_of(card, "console"))[:4] == ["$", "fmcompress", "score", name]
    names = re.search(r"The ids of a row are those of (.*), in this order", card)[1]
    assert names.split(", ")[:20] == list(model.schema.id_names)[:20] or many
    assert names.startswith(", ".join(list(model.schema.id_names)[:19]))


def test_what_it_shows_of_a_vocabulary():
    assert "It carries no vocabulary" in report(packed(2, "3 raw raw")).to_card()
    assert "It carries its vocabulary" in report(packed_mixed(4, "9 2x4 4", vocabulary=True)).to_card()


@pytest.mark.parametrize("name", [*HOSTILE, "---", "```\n---\na: b", "a: b # c", '"', "\ud800", "@user", "{{ x }}"])
def test_hostile_names_stay_texts(name):
    card = report(hostile_model()).to_card(name=name)
    metadata, body = split(card)
    (line,) = [line for line in metadata.splitlines() if line.startswith("  - name: ")]
    assert json.loads(line.removeprefix("  - name: ")).isprintable()
    assert len(line) < 450
    assert all(c.isprintable() for c in card.replace("\n", ""))
    parser = pytest.importorskip("markdown_it").MarkdownIt("commonmark").enable("table")
    tokens = parser.parse(body)
    inline = [child.type for token in tokens for child in token.children or ()]
    assert {*inline} <= {"text", "code_inline", "text_special", "softbreak"}
    kinds = [
        token.type for token in tokens if token.type in ("heading_open", "fence", "table_open", "html_block", "hr")
    ]
    plain = parser.parse(split(report(packed(2, *["3 raw raw"] * len(HOSTILE))).to_card(name="a"))[1])
    assert kinds == [token.type for token in plain if token.type in ("heading_open", "fence", "table_open")]
