"""What is fixed of an artifact, and the text of its metadata."""

import dataclasses
import json
import math

import pytest

from fmcompress.artifact import Frame, Header
from fmcompress.artifact.entries import Tier, encode_entry
from fmcompress.artifact.header import decode, encode
from fmcompress.errors import UsageError
from fmcompress.fm.quantizer import Quantizer
from fmcompress.fm.schema import Field, NumericField, Schema, SharedField
from tests.artifact.crafted import SEAL
from tests.models import ODD_NAMES, TIERED_SHAPES, origin, packed


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


def test_fields_stand_in_the_order_of_the_tool():
    schema = Schema.in_order(
        [
            NumericField("price"), Field("user", 3, pad=2), SharedField("fan", "item"), Field("item", 4),
            SharedField("x", "user"),
        ]
    )  # fmt: skip
    header = Header(Frame(schema, 2, "probit"), (Quantizer(), Quantizer((1,), 1)), (0.0, 0.0), origin(), ((3,), (4,)))
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


def test_the_text_is_canonical():
    """Errors apart, which have a form of their own."""
    header = packed(*TIERED_SHAPES["two tiers"], names=ODD_NAMES[:4]).header
    text = encode(dataclasses.replace(header, errors=(0,) * len(header.errors)), SEAL)
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def test_a_link_has_one_name():
    frame = Frame(Schema.of([("a", 3)]), 2, "clip:1.0:5.50")
    assert (frame.link, frame.link_function.high) == ("clip:1:5.5", 5.5)


def test_numeric_fields_that_would_take_all_memory_are_refused():
    schema = dataclasses.replace(
        Schema.of([("a", 3)]), numeric=tuple(NumericField(str(n), linear_only=True) for n in range(1025)), order=()
    )
    with pytest.raises(UsageError, match="1,025 numeric fields are too many"):
        Frame(schema, 65_536, "sigmoid")
