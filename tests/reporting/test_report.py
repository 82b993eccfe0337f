"""Memory reports: all bytes are accounted for, and whatever stands in a header is shown as it is."""

import dataclasses
import html
import json
import math
import re
import subprocess
import sys

import numpy as np
import pytest

import fmcompress as fc
from fmcompress.artifact import Quality
from fmcompress.errors import ArtifactError
from fmcompress.reporting import report
from fmcompress.text import shortened
from tests.mixed import packed_mixed
from tests.models import EVERY_SHAPE, SHAPES, origin, packed

HOSTILE = [
    *("a|b", "| x | y |\n|---|---|", "<script>alert(1)</script>", "![x](http://x.y/z.png)", "[a](javascript:b)"),
    *("::error title=x::y", "##[error]", "www.x.y"),
    *("`code`", "**bold** _it_ ~~no~~ # head", "&amp;"),
    *("\x1b[31mred\x1b[0m", "bell\a", "line\nbreak", "tab\there", "back\\slash"),
    *("\u202eright to left", "\u2028", "zero\u200bwidth", "n" * 10_000, "=cmd|' /C calc'!A0", "$x^2$", " ", "nul\0"),
]  # fmt: skip


@pytest.mark.parametrize("shape", EVERY_SHAPE)
def test_the_parts_add_up_to_the_file(tmp_path, shape):
    packed(*EVERY_SHAPE[shape]).save(tmp_path / "a")
    found = report(tmp_path / "a")
    assert found.file_bytes == (tmp_path / "a").stat().st_size
    parts = found.codes_bytes + found.codebook_bytes + found.raw_bytes + found.linear_bytes + found.header_bytes
    assert parts == found.file_bytes
    assert found.header_bytes + 4 + sum(field.bytes for field in found.fields) == found.file_bytes
    assert sum(field.cardinality for field in found.fields) == found.source_fp32_bytes // 4 // (found.dim + 1)
    for part in (*found.fields, *(tier for field in found.fields for tier in field.tiers)):
        assert part.bytes == part.codes_bytes + part.codebook_bytes + part.raw_bytes + part.linear_bytes
        assert part.share == part.bytes / found.file_bytes
        assert min(part.codes_bytes, part.codebook_bytes, part.raw_bytes, part.linear_bytes) >= 0


def test_each_part_is_what_its_quantizer_takes():
    model = packed(8, "300 4x64 16", "17 raw raw", "24 shared shared")
    coded, raw, shared = report(model).fields
    assert (coded.quantizer, coded.linear_quantizer, coded.code_bits) == ("4x64", "16", 28)
    assert (coded.codes_bytes, coded.codebook_bytes, coded.linear_bytes) == (900, 2 * 64 * 8, 2 * 16 + 150)
    assert (raw.raw_bytes, raw.linear_bytes, raw.codes_bytes) == (2 * 17 * 8, 2 * 17, 0)
    assert (shared.codebook_bytes, shared.linear_bytes, shared.codes_bytes) == (16, 2, 0)


def test_in_int8_scales_are_counted_where_their_tables_are():
    model = packed(8, "300 4x64:8 16", "17 raw:8 raw", "24 shared:8 shared")
    coded, raw, shared = report(model).fields
    assert (coded.quantizer, coded.linear_quantizer, coded.code_bits) == ("4x64:8", "16", 28)
    assert (coded.codes_bytes, coded.codebook_bytes, coded.linear_bytes) == (900, 64 * 8 + 4 * 2, 16 + 2 + 150)
    assert (raw.raw_bytes, raw.codebook_bytes, raw.linear_bytes, raw.codes_bytes) == (17 * 8 + 2, 0, 17 + 2, 0)
    assert (shared.codebook_bytes, shared.raw_bytes, shared.linear_bytes) == (8 + 2, 0, 1 + 2)


def test_a_field_in_tiers_is_the_sum_of_them():
    model = packed(8, "100 4x64:8 16 | 200 1x4 2 | 50 raw raw", "9 raw raw", names=("item", "user"))
    item, user = report(model).fields
    assert user.tiers == ()
    assert [tier.name for tier in item.tiers] == [f"item, tier {number} of 3" for number in (1, 2, 3)]
    assert [tier.cardinality for tier in item.tiers] == [100, 200, 50]
    assert (item.quantizer, item.linear_quantizer) == ("4x64:8 + 1x4 + raw", "16 + 2 + raw")
    assert [tier.code_bits for tier in item.tiers] == [28, 3, 0]
    assert item.code_bits == 28
    stream = (350 * 2 + 7) // 8
    assert item.codes_bytes == stream + sum(tier.codes_bytes for tier in item.tiers)
    assert item.bytes == stream + sum(tier.bytes for tier in item.tiers)
    for name in ("cardinality", "codebook_bytes", "raw_bytes", "linear_bytes"):
        assert getattr(item, name) == sum(getattr(tier, name) for tier in item.tiers)
    assert item.error == pytest.approx(sum(tier.error for tier in item.tiers))
    assert item.raw_bytes == 2 * 50 * 8


def test_tiers_have_rows_of_their_own():
    model = packed(8, "100 4x64:8 16 | 200 1x4 2", "9 raw raw", names=("item", "user"))
    for text in (report(model).to_text(), report(model).to_markdown()):
        lines = [line.strip("| ") for line in text.splitlines()]
        (start,) = [number for number, line in enumerate(lines) if line.startswith("item ")]
        rows = [re.split(r" *\| *|  +", line)[:5] for line in lines[start : start + 4]]
        assert rows == [
            ["item", "4x64:8 + 1x4", "16 + 2", "300", "28"],
            ["item, tier 1 of 2", "4x64:8", "16", "100", "28"],
            ["item, tier 2 of 2", "1x4", "2", "200", "3"],
            ["user", "raw", "raw", "9", "0"],
        ]
    tiers = [field["tiers"] for field in json.loads(report(model).to_json())["fields"]]
    assert [(tier["cardinality"], tier["quantizer"], tier["linear_quantizer"]) for tier in tiers[0]] == [
        (100, "4x64:8", "16"),
        (200, "1x4", "2"),
    ]
    assert tiers[1] == []


def test_the_papers_params_count_tiers_as_codes():
    whole, split = packed(8, "300 1x4 raw"), packed(8, "100 1x4 raw | 200 1x4 raw")
    more = (report(split).paper_params_mib - report(whole).paper_params_mib) * 2**20
    assert more == pytest.approx(4 * 4 * 8 + (300 + 7) // 8)
    assert report(split).paper_fm_mib == report(whole).paper_fm_mib


def test_the_expected_rise_stands_beside_the_measured_ones():
    model = packed(*EVERY_SHAPE["two tiers"])
    found = report(model)
    assert found.predicted_rise == pytest.approx(sum(field.error for field in found.fields))
    assert (found.measured_rise_untuned, found.measured_rise) == (0.01, 0.001)
    line = f"predicted {found.predicted_rise:+.5f}, measured before tuning +0.01000, after +0.00100"
    assert line in found.to_text()
    assert line in found.to_markdown()
    shown = json.loads(found.to_json())
    assert (shown["measured_rise_untuned"], shown["measured_rise"]) == (0.01, 0.001)


def test_without_data_there_is_no_measured_rise():
    found = report(packed(*SHAPES["mixed"], quality=False))
    assert (found.measured_rise_untuned, found.measured_rise) == (None, None)
    shown = json.loads(found.to_json())
    assert shown["measured_rise"] is None
    assert shown["predicted_rise"] > 0
    assert "measured" not in found.to_text()


def test_ratios_are_to_all_weights_of_the_checkpoint():
    model = packed(*SHAPES["mixed"])
    found = report(model)
    weights = model.schema.categories * 9
    assert found.source_fp32_bytes == 4 * weights
    assert found.source_linear_bytes == 4 * model.schema.categories
    assert sum(field.source_fp32_bytes for field in found.fields) == found.source_fp32_bytes
    assert found.ratio == found.source_fp32_bytes / found.file_bytes
    assert found.bits_per_weight == pytest.approx(8 * found.file_bytes / (weights + 1))
    assert found.decoded_bytes == 4 * (weights + 1)
    assert found.resident_bytes < found.decoded_bytes


def test_the_keys_that_pipelines_lean_on():
    found = json.loads(report(packed(*SHAPES["mixed"])).to_json())
    keys = {"file_bytes", "budget_bytes", "source_fp32_bytes", "ratio", "paper_params_mib", "fields"}
    assert keys <= found.keys()
    assert found["budget_bytes"] == 10_000_000
    assert {"name", "cardinality", "quantizer", "bytes"} <= found["fields"][0].keys()
    assert found["fields"][0]["name"] == "f0"
    assert found["fields"][0]["cardinality"] == 300
    figures = {"rows": 12345, "auc": 0.80123, "logloss": 0.45679, "rmse": None, "auc_standard_error": None}
    figures["calibrated_logloss"] = None
    assert found["quality"]["source"] == figures
    assert found["source"] == ["pytorch-fm", "fm.pt", "0123456789abcdef" * 4]


KINDS = {"pads": (0,), "shared": (1, 1), "numeric": (False, True, False), "vocabulary": True}


def test_every_kind_of_field_adds_up_to_the_file(tmp_path):
    model = packed_mixed(4, "9 2x4 4", "5 raw raw | 3 1x2 shared", **KINDS)
    model.save(tmp_path / "a")
    found = report(tmp_path / "a")
    assert found == report(model)
    assert found.numeric_bytes == 4 * (5 + 1 + 5)
    assert found.vocabulary_bytes == len(model.vocabulary.encode())
    parts = found.codes_bytes + found.codebook_bytes + found.raw_bytes + found.linear_bytes + found.header_bytes
    assert parts + found.numeric_bytes + found.vocabulary_bytes == found.file_bytes == (tmp_path / "a").stat().st_size
    assert found.header_bytes + 4 + sum(f.bytes for f in found.fields) + found.vocabulary_bytes == found.file_bytes
    assert sum(field.bytes for field in found.fields if field.kind in ("numeric", "linear")) == found.numeric_bytes
    for field in found.fields:
        assert field.bytes == field.codes_bytes + field.codebook_bytes + field.raw_bytes + field.linear_bytes
    weights = (9 + 8 + 2) * 5 + 1
    assert (found.source_fp32_bytes, found.decoded_bytes) == (4 * weights, 4 * (weights + 1))
    assert found.paper_fm_mib == pytest.approx(4 * 4 * (9 + 8 + 2) / 2**20)


def test_each_kind_of_field_says_what_it_is():
    model = packed_mixed(4, "9 2x4 4", "5 raw raw | 3 1x2 shared", **KINDS)
    fields = json.loads(report(model).to_json())["fields"]
    assert [field["name"] for field in fields] == list(model.schema.order)
    named = {field["name"]: field for field in fields}
    keys = ("kind", "cardinality", "table", "pad", "quantizer", "linear_quantizer", "bytes")
    assert [named["f0"][key] for key in keys][:-1] == ["categorical", 9, None, 0, "2x4", "4"]
    assert [named["f1"][key] for key in keys[:4]] == ["categorical", 8, None, None]
    assert [named["s1"][key] for key in keys] == ["shared", 8, "f1", None, "raw + 1x2", "raw + shared", 0]
    assert [named["n0"][key] for key in keys] == ["numeric", 0, None, None, "fp32", "fp32", 4 * 5]
    assert [named["n1"][key] for key in keys] == ["linear", 0, None, None, "none", "fp32", 4]
    assert named["s1"]["tiers"] == []


def test_all_formats_tell_of_links_numbers_shared_tables_and_tokens():
    model = packed_mixed(4, "9 2x4 4", "5 raw raw", link="probit", **KINDS)
    found = report(model)
    for text in (found.to_text(), found.to_markdown()):
        lines = [re.split(r" *\| *|  +", line.strip("| ")) for line in text.splitlines()]
        cells = {line[0]: line[1:] for line in lines if line[0]}
        assert cells["link"] == ["probit"]
        assert cells["numeric fields"][0] == f"{found.numeric_bytes:,}"
        assert cells["vocabulary"][0] == f"{found.vocabulary_bytes:,}"
        assert cells["f0"][:3] == ["2x4", "4", "9, PAD 0"]
        assert cells["s0"][:3] == ["shares the table of f1", "–", "5"]
        assert cells["n0"][:3] == ["numeric, fp32", "fp32", "–"]
        assert cells["n1"][:3] == ["numeric, linear only", "fp32", "–"]
    shown = json.loads(found.to_json())
    assert (shown["link"], shown["numeric_bytes"], shown["vocabulary_bytes"]) == (
        "probit", found.numeric_bytes, found.vocabulary_bytes,
    )  # fmt: skip


def test_what_a_model_does_not_have_is_not_told_of():
    text = report(packed(*SHAPES["mixed"])).to_text()
    assert "numeric" not in text
    assert "vocabulary" not in text


def test_a_regression_is_reported_by_its_rmse():
    model = packed_mixed(4, "9 2x4 4", link="clip:1:5")
    quality = {name: Quality(50, math.nan, math.nan, r) for name, r in (("source", 1.0), ("artifact", 1.2))}
    header = dataclasses.replace(model.header, origin=origin(quality=quality))
    found = report(dataclasses.replace(model, header=header))
    assert found.measured_rise == pytest.approx((1.44 - 1) / 2)
    assert found.measured_rise_untuned is None
    text = found.to_text()
    assert f"rise of half the squared error  predicted {found.predicted_rise:+.3g}, after +0.22" in text
    assert "LogLoss" not in text
    assert re.search(r"on validation data +rows +RMSE\n.*\ncheckpoint +50 +1\nartifact +50 +1.2", text)


def strict(text):
    def refuse(constant):
        raise AssertionError(constant)

    return json.loads(text, parse_constant=refuse)


def test_what_does_not_exist_is_null_and_not_nan(tmp_path):
    nothing = Quality(10, math.nan, 0.3)
    model = packed(2, "3 raw raw")
    header = dataclasses.replace(model.header, errors=(math.inf,))
    header = dataclasses.replace(header, origin=dataclasses.replace(header.origin, quality={"artifact": nothing}))
    dataclasses.replace(model, header=header).save(tmp_path / "a")
    for found in (report(dataclasses.replace(model, header=header)), report(tmp_path / "a")):
        shown = strict(found.to_json())["quality"]["artifact"]
        figures = {"rows": 10, "auc": None, "logloss": 0.3, "rmse": None, "auc_standard_error": None}
        assert shown == {**figures, "calibrated_logloss": None}
        assert "nan" in found.to_text()


@pytest.mark.parametrize("shape", ["mixed", "two tiers"])
def test_a_report_from_the_file_is_that_of_the_model(tmp_path, shape):
    model = packed(*EVERY_SHAPE[shape])
    model.save(tmp_path / "a")
    assert fc.report(tmp_path / "a") == report(model)


def test_a_damaged_file_is_refused(tmp_path):
    packed(*SHAPES["mixed"]).save(tmp_path / "a")
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes()[:-1])
    with pytest.raises(ArtifactError):
        report(tmp_path / "a")


def hostile_model():
    texts = dict(zip(HOSTILE, HOSTILE[::-1], strict=True))
    source = ("tool\x1b[2J\n", "fm\n|.pt<b>", "sha\r|")
    fields = ["3 raw raw"] * len(HOSTILE)
    return packed(2, *fields, names=HOSTILE, libraries=texts, source=source, method="\x1b]0;x\a\n|")


def shown(cell):
    """Return what a reader of rendered Markdown sees of a cell."""
    return html.unescape(re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", cell))


def test_hostile_texts_stay_in_their_markdown_cells():
    text = report(hostile_model()).to_markdown(top=None)
    assert all(c.isprintable() for c in text.replace("\n", ""))
    rows = [re.split(r"(?<!\\)(?:\\\\)*\|", line)[1:-1] for line in text.splitlines() if line.startswith("|")]
    assert {len(row) for row in rows} == {2, 3, 4, 12}
    names = [shown(row[0].strip(" ")) for row in rows if len(row) == 12][2:]
    assert [name.strip() for name in names] == [shortened(name, 80).strip() for name in HOSTILE]
    assert "<" not in text
    assert "://" not in text
    assert not re.search(r"(?<!\\)[`\[\]*_~$]", text)


def test_hostile_texts_stay_in_their_lines_of_plain_text():
    found = report(hostile_model())
    text = found.to_text()
    assert all(c.isprintable() for c in text.replace("\n", ""))
    honest = packed(2, *["3 raw raw"] * len(HOSTILE))
    assert len(text.splitlines()) == len(report(honest).to_text().splitlines())
    # One name of 10,000 letters makes its own lines long, and no others.
    assert sorted(map(len, text.splitlines()))[-4] < 250
    assert "n" * 10_000 in text
    assert not re.search(r"^\s*::|##\w*\[", text, re.MULTILINE)


def test_hostile_texts_go_through_json_unchanged():
    found = strict(report(hostile_model()).to_json())
    assert [field["name"] for field in found["fields"]] == HOSTILE
    assert found["method"] == "\x1b]0;x\a\n|"


@pytest.fixture(scope="module")
def wide():
    """Return the report of a thousand fields, each of another size."""
    fields = (f"{size} {'1x4 raw' if size % 2 else 'raw raw'}" for size in range(10, 1010))
    return report(packed(4, *fields, names=[f"field {number}" for number in range(1000)]))


def test_markdown_has_the_largest_fields(wide):
    lines = [line for line in wide.to_markdown().splitlines() if line.startswith("| field ")][1:]
    shown = [line.split(" | ")[0].removeprefix("| ") for line in lines]
    largest = sorted(wide.fields, key=lambda field: -field.bytes)
    assert shown == [field.name for field in largest[:20]]
    rest = sum(field.bytes for field in largest[20:])
    assert f"\n\nand 980 more fields, {rest:,} bytes\n" in wide.to_markdown()
    assert wide.to_markdown(top=None).count("| field ") == 1001
    assert "more field" not in wide.to_markdown(top=None)
    assert "and 1 more field, " in wide.to_markdown(top=999)


def test_plain_text_has_all_fields(wide):
    assert len(re.findall(r"^field \d+ ", wide.to_text(), re.MULTILINE)) == 1000


def test_the_text_shows_what_there_is_to_know():
    text = report(packed(*SHAPES["mixed"])).to_text()
    facts = ("10.0 MB (10,000,000 bytes)", "fm.pt of pytorch-fm", "auto, seed 7", "b8666", "faiss 1.15.1")
    for fact in (*facts, "0.80123"):
        assert fact in text


def test_the_artifacts_of_a_model_in_memory_say_so():
    assert "a model in memory" in report(packed(2, "3 raw raw", source=())).to_text()


def test_reports_need_none_of_the_heavy_packages(tmp_path):
    dim, *fields = EVERY_SHAPE["many tiers"]
    packed_mixed(dim, *fields, link="clip:1:5", **KINDS).save(tmp_path / "a")
    program = """
import sys
import fmcompress as fc
found = fc.report(sys.argv[1])
found.to_text(), found.to_json(), found.to_markdown(), found.to_html(), found.to_github(), found.to_card()
print([name for name in ("torch", "faiss", "pyarrow", "scipy", "sklearn", "typer") if name in sys.modules])
"""
    command = [sys.executable, "-c", program, str(tmp_path / "a")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_origin_is_shown_as_it_was_given():
    found = report(packed(2, "3 raw raw", seed=3))
    expected = origin(seed=7)
    assert (found.method, found.seed, found.libraries) == (expected.method, expected.seed, expected.libraries)
    assert np.isfinite([field.error for field in found.fields]).all()
