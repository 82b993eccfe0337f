"""What changed from one artifact to another."""

import json
import math
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import fmcompress as fc
from fmcompress.artifact import Quality
from fmcompress.artifact.layout import tier_layouts
from fmcompress.serve.compressed_fm import load
from tests.mixed import packed_mixed
from tests.models import EVERY_SHAPE, origin, packed
from tests.reporting.test_report import HOSTILE, KINDS, hostile_model

OLD = packed(
    8, "300 4x64 16", "90 2x16 4", "40 raw raw | 50 1x4 raw", "24 raw raw", names=["user", "item", "city", "gone"]
)
NEW = packed(
    *(8, "310 4x64 16", "90 2x8 4", "30 raw raw | 60 1x4 raw", "7 shared shared"),
    names=["user", "item", "city", "came"],
    method="lightfm",
    budget_bytes=9_000_000,
)


def changes(found):
    return {field.name: field.changes for field in found.fields}


def changed(model, **pieces):
    """Return a model with a few other numbers, its arrays copied."""
    return replace(model, **{name: np.array(piece) for name, piece in pieces.items()})


def test_fields_that_came_and_went_and_are_stored_in_another_way():
    found = fc.compare(OLD, NEW)
    assert changes(found) == {
        "user": ("cardinality",),
        "item": ("quantizer",),
        "city": ("quantizer",),
        "came": ("added",),
        "gone": ("removed",),
    }
    assert (found.fields[3].old, found.fields[4].new) == (None, None)
    assert found.bytes_change == NEW.file_bytes - OLD.file_bytes
    assert not found.identical


def test_bytes_add_up():
    found = fc.compare(OLD, NEW)
    *parts, total = found.parts
    assert (total.name, total.old_bytes, total.new_bytes) == ("total", OLD.file_bytes, NEW.file_bytes)
    assert sum(part.old_bytes for part in parts) == OLD.file_bytes
    assert sum(part.bytes_change for part in parts) == total.bytes_change
    headers = NEW.header.header_bytes - OLD.header.header_bytes
    assert sum(field.bytes_change for field in found.fields) + headers == total.bytes_change


def test_settings_that_are_others():
    found = fc.compare(OLD, NEW)
    assert [(setting.name, setting.old, setting.new) for setting in found.settings] == [
        ("method", "auto", "lightfm"),
        ("budget_bytes", "10000000", "9000000"),
    ]
    turned = packed(8, "24 raw raw", "300 4x64 16", names=["gone", "user"], seed=0)
    other = packed(8, "300 4x64 16", "24 raw raw", names=["user", "gone"], seed=0)
    (order,) = fc.compare(turned, other).settings
    assert (order.name, order.old, order.new) == ("order of fields", "gone, user", "user, gone")


@pytest.mark.parametrize("shape", EVERY_SHAPE)
def test_an_artifact_is_itself(tmp_path, shape):
    model = packed(*EVERY_SHAPE[shape])
    model.save(tmp_path / "a")
    found = fc.compare(tmp_path / "a", model)
    assert found.identical
    assert not found.changed_fields
    assert found.to_text() == f"new is {tmp_path / 'a'}, byte for byte: {fc.sizes.format_size(model.file_bytes)}.\n"
    assert not fc.compare(model, replace(model, bias=model.bias + 1)).identical


def test_figures_that_do_not_exist_are_no_difference(tmp_path):
    model = packed(2, "3 raw raw", quality={"artifact": Quality(9, math.nan, 0.5)})
    model = replace(model, header=replace(model.header, errors=(math.nan,)))
    model.save(tmp_path / "a")
    assert fc.compare(tmp_path / "a", tmp_path / "a").identical


@pytest.mark.parametrize("shape", ["mixed", "int8", "many tiers"])
def test_each_number_belongs_to_its_field(shape):
    """Change any stored number, and the field that has it has other weights, and no other field."""
    model = packed(*EVERY_SHAPE[shape])
    owners = [name for name, sizes in zip(model.schema.names, model.header.tier_sizes, strict=True) for _ in sizes]
    for layout, owner in zip(tier_layouts(model.header), owners, strict=True):
        for table in (*layout.tables, layout.linear):
            values, codes = np.array(model.values), np.array(model.codes)
            if table.scale is None:
                values[table.start] += 1
            else:
                codes[table.start] ^= 1
            found = fc.compare(model, changed(model, values=values, codes=codes))
            assert {field.name: field.changes for field in found.changed_fields} == {owner: ("weights",)}
            assert not found.identical
            assert found.bytes_change == 0


def test_numeric_fields_shared_tables_and_vocabularies():
    old = packed_mixed(4, "9 2x4 4", "5 raw raw", **KINDS)
    linear = np.array(old.numeric.linear)
    linear[1] += 1
    found = fc.compare(old, replace(old, numeric=replace(old.numeric, linear=linear)))
    assert {field.name: field.changes for field in found.changed_fields} == {"n1": ("weights",)}
    found = fc.compare(old, packed_mixed(4, "9 2x4 4", "5 raw raw", **KINDS | {"vocabulary": False}))
    assert found.vocabulary_changed
    assert not found.identical
    assert "Its vocabulary is another." in found.to_text()
    other = packed_mixed(4, "9 2x4 4", "5 raw raw", **KINDS | {"pads": (1,), "shared": (0, 1), "numeric": (True, True)})
    found = changes(fc.compare(old, other))
    assert (found["f0"], found["s0"][:1], found["n0"], found["n2"]) == (
        ("pad",), ("cardinality",), ("kind", "quantizer"), ("removed",),
    )  # fmt: skip
    assert "table" in found["s0"]


def test_text_says_all_there_is():
    text = fc.compare(OLD, NEW).to_text()
    less = OLD.file_bytes - NEW.file_bytes
    assert text.startswith(f"new is {less:,} bytes ({less / OLD.file_bytes:.1%}) smaller than old: ")
    rows = [re.split(r" {2,}", line) for line in text.splitlines()]
    assert ["budget", "10,000,000 bytes", "9,000,000 bytes"] in rows
    found = {row[0]: row[1:] for row in rows if len(row) == 8}
    assert found["user"][:4] == ["resized", "4x64", "16", "300 → 310"]
    assert found["item"][:4] == ["re-quantized", "2x16 → 2x8", "4", "90"]
    assert found["came"][0] == "added"
    assert found["gone"][0] == "removed"
    assert found["came"][5].startswith("+")
    assert found["gone"][5].startswith("-")
    assert ["AUC, 12,345 rows of validation data", "0.80023", "0.80023", "+0.00000"] in rows


def test_fields_that_are_the_same_are_counted():
    values = np.array(OLD.values)
    values[0] += 1
    text = fc.compare(OLD, changed(OLD, values=values)).to_text()
    assert text.startswith("new is as large as old: ")
    assert re.search(r"^user +other weights ", text, re.MULTILINE)
    rest = sum(field.bytes for field in fc.report(OLD).fields[1:])
    assert text.endswith(f"\n\n3 fields are the same in every byte, {rest:,} bytes\n")


def test_markdown_has_the_fields_that_changed_most():
    sizes = range(10, 60)
    old = packed(4, *(f"{size} raw raw" for size in sizes))
    new = packed(4, *(f"{2 * size} raw raw" for size in sizes))
    found = fc.compare(old, new)
    lines = [line for line in found.to_markdown().splitlines() if line.startswith("| f")][1:]
    assert [line.split(" | ")[0] for line in lines] == [f"| f{number}" for number in range(49, 29, -1)]
    rest = sum(field.bytes_change for field in found.fields[:30])
    assert f"\n\nand 30 more fields that changed, {rest:+,} bytes\n" in found.to_markdown()
    assert found.to_markdown(top=None).count("resized") == 50
    assert found.to_text().count("resized") == 50


def test_regressions_are_compared_by_their_rmse():
    def with_rmse(value):
        quality = {"artifact": Quality(50, math.nan, math.nan, value)}
        model = packed_mixed(4, "9 2x4 4", link="identity")
        return replace(model, header=replace(model.header, origin=origin(quality=quality)))

    text = fc.compare(with_rmse(1.25), with_rmse(1250.5)).to_text()
    assert re.search(r"^RMSE, 50 rows of validation data +1\.25 +1250\.5 +\+1249\.25$", text, re.MULTILINE)
    assert "AUC" not in text
    text = fc.compare(with_rmse(1.25), OLD).to_text()
    assert re.search(r"^RMSE, 50 and 12,345 rows of validation data +1\.25 +– +–$", text, re.MULTILINE)


def test_scores_on_the_same_rows(files):
    found = fc.compare(files.ptq, files.tuned, data=files.test)
    scores = [fc.evaluate(load(path), files.test) for path in (files.ptq, files.tuned)]
    assert (found.old.scores, found.new.scores) == tuple(scores)
    shown = [f"{each.auc:.5f} ± {each.auc_standard_error:.5f}" for each in scores]
    line = f"{'  '.join(shown)}  {scores[1].auc - scores[0].auc:+.5f} ± {found.auc_change_error:.5f}"
    assert 0 < found.auc_change_error < scores[0].auc_standard_error
    assert re.search(rf"^AUC, 4,000 rows of the data given +{re.escape(line)}$", found.to_text(), re.MULTILINE)
    assert json.loads(found.to_json())["new"]["scores"]["auc"] == scores[1].auc


def test_hostile_names_stay_in_their_lines():
    names = [f"{name}!" for name in HOSTILE]
    other = packed(2, *["3 raw raw"] * len(HOSTILE), names=names, method="::error::x")
    found = fc.compare(other, hostile_model())
    for text in (found.to_text(), found.to_markdown(top=None)):
        assert all(c.isprintable() for c in text.replace("\n", ""))
        assert not re.search(r"^\s*::|##\w*\[", text, re.MULTILINE)
    assert [field["name"] for field in json.loads(found.to_json())["fields"]] == [*HOSTILE, *names]
    honest = fc.compare(
        packed(2, *["3 raw raw"] * 24, method="b", names=[f"x{n}" for n in range(24)]), packed(2, *["3 raw raw"] * 24)
    )
    assert len(HOSTILE) == 24
    assert abs(len(found.to_markdown().splitlines()) - len(honest.to_markdown().splitlines())) <= 2  # settings


def test_without_data_nothing_heavy_is_imported(tmp_path):
    OLD.save(tmp_path / "old")
    NEW.save(tmp_path / "new")
    program = """
import sys
import fmcompress as fc
found = fc.compare(*sys.argv[1:])
found.to_text(), found.to_json(), found.to_markdown()
print([name for name in ("torch", "faiss", "pyarrow", "scipy", "sklearn", "typer") if name in sys.modules])
"""
    command = [sys.executable, "-c", program, str(tmp_path / "old"), str(tmp_path / "new")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_is_no_artifact(tmp_path, files):
    with pytest.raises(fc.ArtifactError, match="no such file"):
        fc.compare(tmp_path / "none", files.ptq)
    with pytest.raises(fc.ArtifactError, match=r"fm\.pt: is not a safetensors file"):
        fc.compare(files.ptq, files.fm)
