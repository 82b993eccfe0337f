"""Headers: there and back; what is none is refused."""

import json
import math

import pytest

from fmcompress.artifact.header import decode, encode
from fmcompress.errors import ArtifactError
from tests.artifact.crafted import SEAL
from tests.models import EVERY_SHAPE, ODD_NAMES, packed


@pytest.mark.parametrize("shape", EVERY_SHAPE)
def test_decode_is_the_inverse_of_encode(shape):
    header = packed(*EVERY_SHAPE[shape]).header
    assert decode(encode(header, SEAL)) == (header, SEAL)


def test_any_unicode_goes_there_and_back():
    header = packed(2, *["3 raw raw"] * len(ODD_NAMES), names=ODD_NAMES).header
    assert decode(encode(header, SEAL))[0].schema.names == ODD_NAMES


@pytest.mark.parametrize(
    ("link", "quality"),
    [
        ("identity", [1, None, None, [0.5, 0.5]]), ("identity", {"a": [1, 0.5, 0.5]}),
        ("clip:1:5", [1, None, None, []]), ("sigmoid", [1, None, None, [0.5]]), ("probit", {"a": [1, 0.5]}),
    ],
)  # fmt: skip
def test_scores_of_another_link_are_refused(link, quality):
    with pytest.raises(ArtifactError, match="is damaged: its metadata cannot be used"):
        decode(changed(link=link, quality=quality))


def changed(**entries):
    found = json.loads(encode(packed(4, "9 2x4 4", "5 raw raw", names=("a", "b")).header, SEAL))
    return json.dumps({**found, **entries})


FIELD = ["a", "cat", 9, "2x4", "4", 0.0]


@pytest.mark.parametrize(
    "entries",
    [
        {"dim": 0},
        {"dim": -4},
        {"dim": 4.0},
        {"dim": True},
        {"dim": None},
        {"dim": 10**30},
        {"link": "logit"},
        {"link": ["sigmoid"]},
        {"schema_version": 0},
        {"sha256": ""},
        {"sha256": None},
        {"sha256": "G" * 64},
        {"sha256": ["0"] * 64},
        {"budget": "10MB"},
        {"budget": 10**4000},
        {"seed": 1.5},
        {"method": None},
        {"source": [1]},
        {"source": None},
        {"libraries": {"numpy": 2}},
        {"libraries": []},
        {"quality": {"source": [1, 0.5]}},
        {"quality": {"source": [1, "0.5", 0.5]}},
        {"quality": {"source": [None, 0.5, 0.5]}},
        {"quality": [1]},
        {"quality": [1, None, None]},
        {"quality": [1, [0.5, 0.5], [0.5], None]},
        {"quality": [1, [0.5, 0.5], [0.5, 0.5, 0.1, 0.1], None]},
        {"quality": [1, [0.5, 0.5], [0.5, 0.5, "0.1"], None]},
        {"warnings": "a"},
        {"warnings": ["a", 1]},
        {"warnings": None},
        {"quality": [1, [0.5, 0.5], [0.5, "0.5"], None]},
        {"quality": [1.5, None, None, [0.5, 0.5]]},
        {"quality": "abcd"},
        {"libraries": "numpy"},
        {"libraries": "numpy 2 4"},
        {"libraries": "numpy 2.4,faiss 1.0"},
        {"link": ""},
        {"link": None},
        {"fields": []},
        {"fields": None},
        {"fields": {"a": 1}},
        {"fields": "abcdef"},
        {"fields": ["abcdef"]},
        {"fields": [FIELD, FIELD]},
        {"fields": [FIELD[:5]]},
        {"fields": [[*FIELD, 1]]},
    ],
    ids=str,
)
def test_metadata_that_make_no_sense_are_refused(entries):
    with pytest.raises(ArtifactError, match="is damaged: its metadata cannot be used") as caught:
        decode(changed(**entries))
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *((0, value) for value in ("", None, 3, ["a"], "\ud800", "x" * 70000 + "\ud800")),
        *((1, value) for value in ("num", None, ["cat"])),
        *((2, value) for value in (0, -1, 2**31, 2**63, 10**400, 9.0, "9", None, True)),
        *((3, value) for value in ("", "4x0", "0x4", "4x4097", "x", "5x4", "257x1", "99999x4", "4,4,4,4,4", None, 7)),
        *((3, value) for value in ("1x1", "4,4", "04", "4", "2x04", "4x4 ", "RAW", "4,", ",", "1e2", "२", [4])),
        *((4, value) for value in ("", "0", "1", "4097", "-4", "04", None, 4, "4x4", "2 ")),
        *((5, value) for value in ("0.1", [], True)),
    ],
    ids=repr,
)
def test_field_lines_that_make_no_sense_are_refused(place, value):
    line = [*FIELD[:place], value, *FIELD[place + 1 :]]
    with pytest.raises(ArtifactError, match="is damaged: its metadata cannot be used") as caught:
        decode(changed(fields=[line]))
    assert len(str(caught.value)) < 200


TIER = [4, "2x4", "4", 0.0]


@pytest.mark.parametrize(
    "tiers",
    [
        [], None, 5, "ab", {"a": 1}, [TIER], [TIER] * 5, [[9, *TIER[1:]]], [TIER, TIER], [TIER, [4, "2x4", "4"]],
        [TIER, [5, "2x4", "4", 0.0, 1]], [TIER, [5.0, *TIER[1:]]], [TIER, [True, *TIER[1:]]], [TIER, ["5", *TIER[1:]]],
        [[9, *TIER[1:]], [0, *TIER[1:]]], [[10, *TIER[1:]], [-1, *TIER[1:]]], [TIER, [5, "5x4", "4", 0.0]],
        [TIER, [5, "8", "4", 0.0]], [TIER, [5, "2x4", "0", 0.0]], [TIER, [5, "2x4", "4", "0"]], [TIER, 5],
    ],
    ids=repr,
)  # fmt: skip
def test_tiers_that_make_no_sense_are_refused(tiers):
    assert decode(changed(fields=[[*FIELD[:3], [TIER, [5, "raw:8", "raw", 1]]]]))[0].tier_sizes == ((4, 5),)
    with pytest.raises(ArtifactError, match="is damaged: its metadata cannot be used") as caught:
        decode(changed(fields=[[*FIELD[:3], tiers]]))
    assert len(str(caught.value)) < 200


def test_cardinalities_whose_sum_overflows_are_refused():
    huge = [["a", "cat", 2**62, "shared", "shared", 0], ["b", "cat", 2**62, "shared", "shared", 0]]
    with pytest.raises(ArtifactError, match="is damaged"):
        decode(changed(fields=huge))


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "1", '"a"', "null", "{}", '{"schema_version": "2"}', '{"schema_version": null}'),
        *("[" * 100_000, '{"a":' * 100_000, '{"schema_version": 1, "schema_version": 1}', '{"schema_version": NaN}'),
        *('{"schema_version": ' + "9" * 5000 + "}", '{"schema_version": true}', '{"schema_version": 1.0}'),
    ],
    ids=lambda text: text[:30],
)
def test_what_is_no_metadata_at_all_is_refused(text):
    with pytest.raises(ArtifactError, match="is no fmcompress artifact"):
        decode(text)


def test_not_a_number_and_infinity_are_no_json():
    with pytest.raises(ArtifactError):
        decode(changed(fields=[[*FIELD[:5], math.nan]]))
    with pytest.raises(ArtifactError):
        decode(changed(fields=[[*FIELD[:5], 0.5]]).replace("0.5]", "1e999]"))


def test_a_newer_version_says_so():
    with pytest.raises(ArtifactError, match=r"has schema version 3, this fmcompress reads version 2") as caught:
        decode(changed(schema_version=3, fields="whatever it may be by then"))
    assert caught.value.hint == "a newer fmcompress reads it"
