"""The bytes of an artifact, known before it is made."""

import dataclasses
import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmcompress.artifact import Frame, Quality
from fmcompress.artifact.header import artifact_bytes, encode, entry_bytes, fixed_bytes, header_bytes, tier_bytes
from fmcompress.artifact.io import _header_bytes
from fmcompress.artifact.metadata import UNSEALED
from fmcompress.fm.quantizer import INT8, Quantizer
from fmcompress.fm.schema import Schema
from tests.artifact.crafted import LIBRARIES, SEAL
from tests.mixed import mixed, vocabulary_of
from tests.models import ODD_NAMES, origin, pack_model, packed, quantized
from tests.strategies import fields

field_names = st.one_of(st.sampled_from(ODD_NAMES), st.text(st.characters(codec="utf-8"), min_size=1, max_size=6))
CRITEO = [
    *(49, 101, 126, 45, 223, 118, 84, 76, 95, 9, 30, 40, 75, 1458, 555, 193949, 138801, 306, 19, 11970, 634, 4, 42646),
    *(5178, 192773, 3175, 27, 11422, 181075, 11, 4654, 2032, 5, 189657, 18, 16, 59697, 86, 45571),
]
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
    assert header.tier_sizes == ((9,), (5,))
    size = artifact_bytes(header.frame, header.origin, header.quantizers)
    assert size == artifact_bytes(header.frame, header.origin, header.quantizers, header.tier_sizes)


@pytest.mark.parametrize(
    ("sizes", "letters"), [([9], 24), ([6040, 3706], 24), (CRITEO[:20], 20), (CRITEO, 16), (CRITEO * 5, 8)]
)
def test_small_models_have_small_headers(sizes, letters):
    schema = Schema.of((f"{number:0{letters}}", size) for number, size in enumerate(sizes))
    widest = [Quantizer((1024,) * 16, 256, INT8)] * len(schema)
    assert header_bytes(Frame(schema, 32, "sigmoid"), origin(), widest) <= 768 + 64 * len(sizes)


def test_unsealed_headers_are_as_long_as_sealed_ones():
    header = packed(2, "3 raw raw").header
    assert len(encode(header, SEAL)) == len(encode(header, UNSEALED))


def test_what_belongs_to_no_table_is_fixed():
    model = mixed(4, "9 2x4 4", "5 raw raw", pads=(0,), shared=(1,), numeric=(False, True), link="clip:1:5")
    plain = mixed(4, "9 2x4 4", "5 raw raw")
    vocabulary_bytes = len(vocabulary_of(model.schema).encode())
    quantizers, sizes, about = [part.quantizer for part in model.fields], model.tiers.sizes, origin()
    frame = Frame.of(model, vocabulary_bytes=vocabulary_bytes)
    assert frame.numeric.nbytes == 4 * (1 + 4 + 1)
    tables = sum(map(entry_bytes, model.schema.fields, [quantizers[:1], quantizers[1:]], sizes))
    tables += sum(map(tier_bytes, sizes)) + sum(q.payload_bytes(n, 4) for q, n in zip(quantizers, (9, 5), strict=True))
    assert artifact_bytes(frame, about, quantizers, sizes) == fixed_bytes(frame, about) + tables
    more = fixed_bytes(frame, about) - fixed_bytes(Frame.of(plain), about)
    assert more > vocabulary_bytes + frame.numeric.nbytes
