"""The metadata: there and back, and a size that is known beforehand."""

import dataclasses
import itertools
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmcompress.artifact import Frame, Header, Quality
from fmcompress.artifact.counting import artifact_bytes, entry_bytes, fixed_bytes, header_bytes, tier_bytes
from fmcompress.artifact.header import decode, encode
from fmcompress.artifact.io import _header_bytes
from fmcompress.artifact.metadata import UNSEALED, Tier, encode_entry
from fmcompress.errors import ArtifactError
from fmcompress.fm.quantizer import INT8, Quantizer
from fmcompress.fm.schema import Field, NumericField, Schema, SharedField
from tests.mixed import packed_mixed
from tests.models import EVERY_SHAPE, ODD_NAMES, TIERED_SHAPES, origin, pack_model, packed, quantized
from tests.strategies import fields

LIBRARIES = [
    {}, {"faiss": "1.15.1", "numpy": "2.4.6"}, {"torch": "2.13.0+cpu"}, {"a b": "1"}, {"a": "1, b 2"}, {"a": ""},
    {"größe": "\n"},
]  # fmt: skip
field_names = st.one_of(st.sampled_from(ODD_NAMES), st.text(st.characters(codec="utf-8"), min_size=1, max_size=6))
CRITEO = [
    *(49, 101, 126, 45, 223, 118, 84, 76, 95, 9, 30, 40, 75, 1458, 555, 193949, 138801, 306, 19, 11970, 634, 4, 42646),
    *(5178, 192773, 3175, 27, 11422, 181075, 11, 4654, 2032, 5, 189657, 18, 16, 59697, 86, 45571),
]
SEAL = "5" * 64


@pytest.mark.parametrize("shape", EVERY_SHAPE)
def test_decode_is_the_inverse_of_encode(shape):
    header = packed(*EVERY_SHAPE[shape]).header
    assert decode(encode(header, SEAL)) == (header, SEAL)


def test_any_unicode_goes_there_and_back():
    header = packed(2, *["3 raw raw"] * len(ODD_NAMES), names=ODD_NAMES).header
    assert decode(encode(header, SEAL))[0].schema.names == ODD_NAMES


def test_the_text_is_canonical():
    """Errors apart, which have a form of their own."""
    header = packed(*TIERED_SHAPES["two tiers"], names=ODD_NAMES[:4]).header
    text = encode(dataclasses.replace(header, errors=(0,) * len(header.errors)), SEAL)
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def test_a_score_that_does_not_exist_is_null():
    header = packed(2, "3 raw raw").header
    nothing = Quality(10, math.nan, 0.25)
    header = dataclasses.replace(header, errors=(math.nan,), origin=origin(quality=False, libraries={}))
    header = dataclasses.replace(header, origin=dataclasses.replace(header.origin, quality={"source": nothing}))
    found, _ = decode(encode(header, SEAL))
    assert json.loads(encode(header, SEAL))["quality"] == [10, [None, 0.25], None, None]
    assert math.isnan(found.origin.quality["source"].auc)
    assert math.isnan(found.errors[0])


def test_a_file_name_that_is_no_unicode_does_not_stand_in_the_way():
    header = packed(2, "3 raw raw", source=("tool", "caf\udce9.pt", "0" * 64)).header
    assert decode(encode(header, SEAL))[0].origin.source[1] == "caf?.pt"
    assert header.header_bytes == len(_header_bytes(header, SEAL))


ERRORS = [0.0, 1.234567e-5, 0.000123456, 9.96e-6, 4e-10, 1.2e-8, -1.2345e-7, 3.21e-200, 1.2345e15, math.inf, math.nan]


@pytest.mark.parametrize("error", ERRORS)
def test_the_size_does_not_depend_on_the_figures(error):
    first = packed(4, "30 1x16 4 | 20 raw:8 raw", "7 raw raw").header
    for budget in (1, 10**12 - 1):
        for score in (0.0, -0.0, 1.0, 0.123456, 1e-5, 9.999999, 12.345678, 1e9, math.inf, math.nan):
            quality = dict.fromkeys(first.origin.quality, Quality(12345, score, score))
            header = dataclasses.replace(
                first, errors=(error,) * 3, origin=origin(budget_bytes=budget, quality=quality)
            )
            assert len(_header_bytes(header, SEAL)) == header.header_bytes == first.header_bytes


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (0, "0"), (1.2e-5, "12e-6"), (1.24e-5, "12e-6"), (1e-5, "1e-5"), (0.5, "5e-1"), (1.0, "1e0"), (123.0, "12e1"),
        (9.96e-6, "1e-5"), (9.94e-6, "99e-7"), (1.14e-8, "11e-9"), (9.4e-9, "9e-9"), (9.9e-9, "1e-8"), (4e-10, "0"),
        (6e-10, "1e-9"), (-0.5, "-5e-1"), (-4e-10, "0"), (math.inf, "1e5"), (-math.inf, "-1e5"), (math.nan, "null"),
    ],
)  # fmt: skip
def test_errors_have_two_digits_and_a_power_of_ten(error, text):
    entry = encode_entry(Field("a", 3), [Tier(3, Quantizer(), error)])
    assert entry == f'["a","cat",3,"raw","raw",{text}]'
    json.loads(entry)


@pytest.mark.parametrize(
    ("score", "text"),
    [(0.8012345, "0.80123"), (1.0, "1.0"), (0.999996, "1.0"), (12.345678, "12.3457"), (1e7, "99999.0"), (-1.0, "0.0")],
)
def test_scores_have_five_decimals_or_fewer(score, text):
    header = packed(2, "3 raw raw", quality={"artifact": Quality(10, score, math.nan)}).header
    assert f'"quality":[10,null,null,[{text},null]]' in encode(header, SEAL)


@pytest.mark.parametrize(
    ("rmse", "text"),
    [
        (0.8012345, "0.801234"), (0.0, "0.0"), (1e-12, "0.0"), (1.234567e-8, "1.2e-08"), (1.2345678e-4, "0.000123457"),
        (12.3456789, "12.3457"), (1e6, "1000000.0"), (1e12, "999999000.0"), (math.inf, "null"), (math.nan, "null"),
    ],
)  # fmt: skip
def test_a_regression_has_an_rmse_of_six_digits(rmse, text):
    quality = dict.fromkeys(("source", "untuned", "artifact"), Quality(10, math.nan, math.nan, rmse))
    header = packed_mixed(2, "3 raw raw", link="identity").header
    header = dataclasses.replace(header, origin=origin(quality=quality))
    assert f'"quality":[10,[{text}],[{text}],[{text}]]' in encode(header, SEAL)
    (found,) = {quality.rmse for quality in decode(encode(header, SEAL))[0].origin.quality.values()}
    assert found == pytest.approx(rmse, rel=1e-5, abs=1e-9) or text in ("null", "999999000.0", "1.2e-08")
    assert len(_header_bytes(header, SEAL)) == header.header_bytes
    unknown = dict.fromkeys(quality, Quality(10, 0.0, 0.0))
    assert header.header_bytes == dataclasses.replace(header, origin=origin(quality=unknown)).header_bytes


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


def test_fields_stand_in_the_order_of_the_tool():
    schema = Schema.in_order(
        [
            NumericField("price"), Field("user", 3, pad=2), SharedField("fan", "item"), Field("item", 4),
            SharedField("x", "user"),
        ]
    )  # fmt: skip
    header = Header(Frame(schema, 2, "probit"), (Quantizer(), Quantizer((1,), 1)), (0.0, 0.0), origin())
    assert json.loads(encode(header, SEAL))["fields"] == [
        ["price", "num"], ["user", "cat", [3, 2], "raw", "raw", 0], ["fan", "as", "item"],
        ["item", "cat", 4, "shared", "shared", 0], ["x", "as", "user"],
    ]  # fmt: skip
    assert decode(encode(header, SEAL))[0].schema == schema


def test_what_goes_without_saying_is_left_out():
    header = packed(2, "3 raw raw", quality=False, source=(), libraries={}).header
    assert json.loads(encode(header, SEAL)).keys() == {
        "budget", "dim", "fields", "method", "schema_version", "seed", "sha256",
    }  # fmt: skip
    assert decode(encode(header, SEAL))[0] == header


@settings(deadline=None)
@given(dim=st.integers(1, 8), seed=st.integers(0, 99), data=st.data())
def test_the_size_of_the_file_is_known_beforehand(tmp_path_factory, dim, seed, data):
    described = data.draw(st.lists(fields(dim), min_size=1, max_size=4))
    names = data.draw(st.lists(field_names, min_size=len(described), max_size=len(described), unique=True))
    model = quantized(dim, *described, names=names, seed=seed)
    about = origin(quality=data.draw(st.booleans()), libraries=data.draw(st.sampled_from(LIBRARIES)))
    quantizers, sizes = [part.quantizer for part in model.fields], model.tiers.sizes
    path = tmp_path_factory.mktemp("sizes") / "a"
    packed_model = pack_model(model, about)
    packed_model.save(path)
    counted = artifact_bytes(Frame.of(model), about, quantizers, sizes)
    assert path.stat().st_size == packed_model.file_bytes == counted
    header = header_bytes(Frame.of(model), about, quantizers, sizes)
    assert packed_model.header.header_bytes == header
    parts = iter(quantizers)
    total = fixed_bytes(Frame.of(model), about)
    for field, own in zip(model.schema.fields, sizes, strict=True):
        tiers = list(itertools.islice(parts, len(own)))
        payloads = [quantizer.payload_bytes(size, dim) for quantizer, size in zip(tiers, own, strict=True)]
        total += entry_bytes(field, tiers, own) + tier_bytes(own) + sum(payloads)
    raw = 2 * model.schema.categories * (dim + 1)
    # Codebooks larger than what they stand for may need longer numbers for the places of the tensors.
    assert total == counted if counted - header <= raw else total <= counted <= total + 10


def test_a_field_costs_its_entry_its_tiers_and_its_payload():
    quantizers = [Quantizer((16, 4), 4), Quantizer((), 2, INT8), Quantizer((1,), 1)]
    schema, about = Schema.of([("größe", 500), ("b", 40)]), origin()
    one = artifact_bytes(Frame(schema, 4, "sigmoid"), about, quantizers[1:])
    two = artifact_bytes(Frame(schema, 4, "sigmoid"), about, quantizers, [(200, 300), (40,)])
    entries = [
        entry_bytes(schema.fields[0], quantizers[1:2], [500]),
        entry_bytes(schema.fields[0], quantizers[:2], [200, 300]),
    ]
    payloads = [quantizers[1].payload_bytes(500, 4), sum(map(Quantizer.payload_bytes, quantizers, (200, 300), (4, 4)))]
    assert tier_bytes([200, 300]) == 63
    assert tier_bytes([500]) == 0
    assert two - one == entries[1] + payloads[1] + 63 - entries[0] - payloads[0]


def test_one_tier_each_goes_without_saying():
    header = packed(4, "9 2x4 4", "5 raw raw").header
    plain = Header(header.frame, header.quantizers, header.errors, header.origin)
    assert plain == header
    assert plain.tier_sizes == ((9,), (5,))
    assert plain.parts.cardinalities.tolist() == [9, 5]
    size = artifact_bytes(header.frame, header.origin, header.quantizers)
    assert size == artifact_bytes(header.frame, header.origin, header.quantizers, header.tier_sizes)


@pytest.mark.parametrize("libraries", LIBRARIES, ids=str)
def test_libraries_go_there_and_back(libraries):
    header = packed(2, "3 raw raw", libraries=libraries).header
    assert decode(encode(header, SEAL))[0].origin.libraries == libraries


@pytest.mark.parametrize(
    "quality",
    [
        {}, {"artifact": Quality(5, 0.5, 0.25)}, {"untuned": Quality(5, 0.5, 0.25), "source": Quality(5, 0.75, 0.125)},
        {"artifact": Quality(5, 0.5, 0.25), "source": Quality(6, 0.5, 0.25)}, {"test": Quality(5, 0.5, 0.25)},
    ],
    ids=str,
)  # fmt: skip
def test_quality_goes_there_and_back(quality):
    header = packed(2, "3 raw raw", quality=quality).header
    assert decode(encode(header, SEAL))[0] == header
    assert len(_header_bytes(header, SEAL)) == header.header_bytes


@pytest.mark.parametrize(
    ("sizes", "letters"), [([9], 24), ([6040, 3706], 24), (CRITEO[:20], 20), (CRITEO, 16), (CRITEO * 5, 8)]
)
def test_small_models_have_small_headers(sizes, letters):
    schema = Schema.of((f"{number:0{letters}}", size) for number, size in enumerate(sizes))
    widest = [Quantizer((1024,) * 16, 256, INT8)] * len(schema)
    assert header_bytes(Frame(schema, 32, "sigmoid"), origin(), widest) <= 768 + 64 * len(sizes)


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
    with pytest.raises(ArtifactError, match=r"has schema version 2, this fmcompress reads version 1") as caught:
        decode(changed(schema_version=2, fields="whatever it may be by then"))
    assert caught.value.hint == "a newer fmcompress reads it"


def test_unsealed_headers_are_as_long_as_sealed_ones():
    header = packed(2, "3 raw raw").header
    assert len(encode(header, SEAL)) == len(encode(header, UNSEALED))
