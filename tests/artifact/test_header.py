"""The metadata: there and back, and a size that is known beforehand."""

import dataclasses
import json
import math

import pytest

from fmcompress.artifact import Quality
from fmcompress.artifact.header import UNSEALED, decode, encode, header_bytes
from fmcompress.artifact.io import _header_bytes
from fmcompress.errors import ArtifactError
from fmcompress.quantization.menu import LARGEST_CODEBOOKS, LARGEST_LINEAR_CODEBOOK
from fmcompress.quantizer import Quantizer
from fmcompress.schema import Schema
from tests.models import ODD_NAMES, SHAPES, origin, packed

CRITEO = [
    *(49, 101, 126, 45, 223, 118, 84, 76, 95, 9, 30, 40, 75, 1458, 555, 193949, 138801, 306, 19, 11970, 634, 4, 42646),
    *(5178, 192773, 3175, 27, 11422, 181075, 11, 4654, 2032, 5, 189657, 18, 16, 59697, 86, 45571),
]
SEAL = "5" * 64


@pytest.mark.parametrize("shape", SHAPES)
def test_decode_is_the_inverse_of_encode(shape):
    header = packed(*SHAPES[shape]).header
    assert decode(encode(header, SEAL)) == (header, SEAL)


def test_any_unicode_goes_there_and_back():
    header = packed(2, *["3 raw raw"] * len(ODD_NAMES), names=ODD_NAMES).header
    assert decode(encode(header, SEAL))[0].schema.names == ODD_NAMES


def test_the_text_is_canonical():
    text = encode(packed(*SHAPES["mixed"]).header, SEAL)
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def test_a_score_that_does_not_exist_is_null():
    header = packed(2, "3 raw raw").header
    nothing = Quality(10, math.nan, 0.25)
    header = dataclasses.replace(header, errors=(math.nan,), origin=origin(quality=False, libraries={}))
    header = dataclasses.replace(header, origin=dataclasses.replace(header.origin, quality={"source": nothing}))
    found, _ = decode(encode(header, SEAL))
    assert json.loads(encode(header, SEAL))["quality"] == {"source": [10, None, 0.25]}
    assert math.isnan(found.origin.quality["source"].auc)
    assert math.isnan(found.errors[0])


def test_a_file_name_that_is_no_unicode_does_not_stand_in_the_way():
    header = packed(2, "3 raw raw", source=("tool", "caf\udce9.pt", "0" * 64)).header
    assert decode(encode(header, SEAL))[0].origin.source[1] == "caf?.pt"
    assert header.header_bytes == len(_header_bytes(header, SEAL))


MENU = [Quantizer(), Quantizer((1,)), *(Quantizer((k,) * d) for d, k in LARGEST_CODEBOOKS.items())]
LINEAR = [0, 1, 2, LARGEST_LINEAR_CODEBOOK]
ERRORS = [0.0, 1.234567e-5, 0.000123456, -1.2345e-7, 3.21e-200, -3.21e-200, 1.2345e15, -1e300, math.inf, math.nan]


@pytest.mark.parametrize("quantizer", MENU, ids=str)
def test_the_size_does_not_depend_on_quantizers_and_figures(quantizer):
    schema = Schema.of([("a", 5000), ("b", 7000)])
    first = packed(32, "5000 raw raw", "7000 raw raw", names=schema.names).header
    expected = header_bytes(schema, 32, "sigmoid", first.origin)
    for error in ERRORS:
        for linear in LINEAR:
            for budget in (1, 10**15):
                score = Quality(12345, min(max(error, -1e9), 1e9), -0.0)
                header = dataclasses.replace(
                    first,
                    quantizers=(dataclasses.replace(quantizer, linear_codewords=linear),) * 2,
                    errors=(error,) * 2,
                    origin=origin(budget_bytes=budget, quality=dict.fromkeys(first.origin.quality, score)),
                )
                assert len(_header_bytes(header, SEAL)) == header.header_bytes == expected


def test_a_quantizer_with_a_long_name_gets_the_room_it_needs():
    header = packed(8, "20 17,16,15,14,13,12,11,10 16", "20 17,16,15,14,13,12,11,10 16").header
    assert len(_header_bytes(header, SEAL)) == header.header_bytes


@pytest.mark.parametrize(
    ("sizes", "letters"), [([9], 24), ([6040, 3706], 24), (CRITEO[:20], 20), (CRITEO, 16), (CRITEO * 5, 8)]
)
def test_small_models_have_small_headers(sizes, letters):
    schema = Schema.of((f"{number:0{letters}}", size) for number, size in enumerate(sizes))
    assert header_bytes(schema, 32, "sigmoid", origin()) <= 1024 + 64 * len(sizes)


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
        {"link": "probit"},
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
    with pytest.raises(ArtifactError, match=r"has schema version 2, this fmcompress reads version 1") as caught:
        decode(changed(schema_version=2, fields="whatever it may be by then"))
    assert caught.value.hint == "a newer fmcompress reads it"


def test_unsealed_headers_are_as_long_as_sealed_ones():
    header = packed(2, "3 raw raw").header
    assert len(encode(header, SEAL)) == len(encode(header, UNSEALED))
