"""Compact artifacts: they hold what plain ones do, in fewer bytes, all of which are known or checked."""

import dataclasses
import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmcompress import ArtifactError, load, report
from fmcompress.artifact import unpack_model, with_vocabulary
from fmcompress.artifact.byte_reader import ByteReader, text_bytes, varint
from fmcompress.artifact.header import artifact_bytes, entry_bytes, fixed_bytes, tier_bytes
from fmcompress.artifact.io import seal_of, sealed_bytes
from fmcompress.fm.field_vocabulary import FieldVocabulary
from fmcompress.fm.vocabulary import Vocabulary
from tests import compact_reader
from tests.models import EVERY_SHAPE, ODD_NAMES, origin, pack_model, packed, quantized

ORIGINS = {
    "everything": {},
    "without data": {"quality": False},
    "no provenance": {"provenance": False},
    "odd": {"seed": -3, "warnings": ("é", ""), "source": ("", "a.b", "AB" * 32), "libraries": {"x y": "1.02"}},
}


@pytest.fixture(params=EVERY_SHAPE)
def shape(request):
    """Fields of every kind."""
    return EVERY_SHAPE[request.param]


@pytest.fixture(scope="module")
def small():
    """A model of which codes and tables are entropy coded."""
    return packed(*EVERY_SHAPE["two tiers"], layout="compact")


def resealed(data):
    """Return a file with the seal that its bytes need."""
    start = 8 + int.from_bytes(data[:8], "little")
    bare = data[:start] + bytes(32) + data[start + 32 :]
    return data[:start] + hashlib.sha256(bare).digest() + data[start + 32 :]


def opened(data, folder):
    """Return what opening a file gives."""
    path = folder / "a.safetensors"
    path.write_bytes(data)
    return load(path)


def test_what_is_written_is_read(shape, tmp_path):
    model = packed(*shape, layout="compact")
    model.save(tmp_path / "a")
    found = load(tmp_path / "a")
    assert np.array_equal(found.values, model.values)
    assert np.array_equal(found.codes, model.codes)
    assert (found.bias, found.header.quantizers, found.schema) == (model.bias, model.header.quantizers, model.schema)
    assert found.header.origin == model.header.origin
    assert found.header.errors == pytest.approx(model.header.errors, rel=0.05, abs=1e-7)
    assert sealed_bytes(found) == (tmp_path / "a").read_bytes()
    assert (tmp_path / "a").stat().st_size == model.file_bytes == found.file_bytes
    again = pack_model(unpack_model(found), found.header.origin)
    assert sealed_bytes(again) == sealed_bytes(found)


def test_predictions_are_those_of_plain_files(shape):
    model, plain = packed(*shape, layout="compact"), packed(*shape)
    ids = np.random.default_rng(0).integers(0, plain.schema.cardinalities, (40, len(plain.schema)))
    assert np.array_equal(model.predict(ids), plain.predict(ids))
    assert model.file_bytes < plain.file_bytes


def test_more_frequent_codewords_come_first(small):
    for field in unpack_model(small).fields:
        for column in [*field.codes.T, field.linear_codes]:
            assert (np.diff(np.bincount(column)) <= 0).all()


@pytest.mark.parametrize("changes", ORIGINS.values(), ids=ORIGINS)
def test_provenance_is_read_back(changes, tmp_path):
    model = pack_model(quantized(*EVERY_SHAPE["mixed"]), origin(layout="compact", **changes))
    found = opened(sealed_bytes(model), tmp_path)
    if "provenance" in changes:
        assert np.isnan(found.header.errors).all()
        assert (found.header.origin.budget_bytes, found.header.origin.method) == (0, "")
        assert "not told" in report(found).to_text()
        assert '"predicted_rise": null' in report(found).to_json()
    else:
        assert found.header.origin == model.header.origin
    assert seal_of(found) == seal_of(model)


def test_bytes_are_counted_beforehand(shape):
    about = origin(layout="compact")
    model = packed(*shape, layout="compact")
    header = model.header
    counted = artifact_bytes(header.frame, about, header.quantizers, header.tier_sizes)
    sizes = model.sizes
    assert counted - sizes.uncoded_bytes + sizes.coded_bytes == pytest.approx(model.file_bytes, abs=6)  # digits of it
    assert model.file_bytes <= counted
    quantizers, total = iter(header.quantizers), fixed_bytes(header.frame, about)
    for field, own in zip(header.schema.fields, header.tier_sizes, strict=True):
        tiers = [next(quantizers) for _ in own]
        total += entry_bytes(field, tiers, own, compact=True) + tier_bytes(own)
        total += sum(quantizer.compact_bytes(size, header.dim) for quantizer, size in zip(tiers, own, strict=True))
    assert counted <= total <= counted + 2 * 8 + 2


def test_figures_that_are_known_last_do_not_change_the_size(small):
    other = origin(layout="compact", budget_bytes=1, quality={
        name: dataclasses.replace(found, auc=0.5, logloss=123.4) for name, found in small.header.origin.quality.items()
    })  # fmt: skip
    header = dataclasses.replace(small.header, origin=other, errors=(-1e-9,) * len(small.header.errors))
    assert dataclasses.replace(small, header=header).file_bytes == small.file_bytes


def test_parts_add_up(shape):
    for layout in ("compact", "plain"):
        found = report(packed(*shape, layout=layout))
        assert sum(found.parts.values()) == found.file_bytes
        assert sum(field.bytes for field in found.fields) == found.file_bytes - sum(
            found.parts[part] for part in ("header_bytes", "provenance_bytes")
        ) - 4  # fmt: skip
        assert found.layout == layout


def test_few_bits(tmp_path):
    shape = (6, "50 raw:4 raw", "40 2x8:3 4 | 9 raw:2 raw", "30 1x5:6 shared", "9 raw:5 2")
    model = packed(*shape, layout="compact")
    found = opened(sealed_bytes(model), tmp_path)
    assert sealed_bytes(found) == sealed_bytes(model)
    assert np.array_equal(found.codes, model.codes)
    assert np.array_equal(found.values, model.values)
    assert model.file_bytes <= artifact_bytes(
        model.header.frame, model.header.origin, model.header.quantizers, model.header.tier_sizes
    )


def test_names_and_vocabularies(tmp_path):
    model = packed(3, *(["5 raw raw"] * len(ODD_NAMES)), names=ODD_NAMES, layout="compact")
    words = Vocabulary({ODD_NAMES[1]: FieldVocabulary.of({"x": 1, "ü": 3})})
    carrying = with_vocabulary(model, words)
    found = opened(sealed_bytes(carrying), tmp_path)
    assert found.schema.names == ODD_NAMES
    assert found.vocabulary.encode() == words.encode()
    assert carrying.file_bytes - model.file_bytes <= len(words.encode()) + 3


@given(st.integers(0, 2**63 - 1))
def test_varints(number):
    assert ByteReader(memoryview(varint(number))).varint() == number


@given(
    st.text(max_size=20)
    | st.sampled_from(["auto", "1.2.3", "0.10", "1.02", "1." * 3, "ab" * 6, "AB" * 6, "2.13.0+cpu"])
)
def test_texts(text):
    text = text.encode(errors="replace").decode()
    assert ByteReader(memoryview(text_bytes(text))).text() == text


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damage_is_refused(data, small, tmp_path_factory):
    """A byte changed, with the seal as it was or made anew: refused in one line, or a model that predicts."""
    sound = sealed_bytes(small)
    place = data.draw(st.integers(0, len(sound) - 1))
    changed = bytearray(sound)
    changed[place] ^= data.draw(st.integers(1, 255))
    folder = tmp_path_factory.mktemp("damaged")
    with pytest.raises(ArtifactError) as refused:
        opened(bytes(changed), folder)
    assert "\n" not in str(refused.value)
    with pytest.raises(ArtifactError):
        opened(sound[:place], folder)
    told, predictions = "", np.zeros(1)
    try:
        found = opened(resealed(bytes(changed)), folder)
        predictions = found.predict(np.zeros((1, len(found.schema.id_names)), dtype=np.int64))
    except ArtifactError as error:
        told = str(error)
    assert "\n" not in told
    assert not np.isnan(predictions).any()


def test_sizes_are_checked_before_they_are_used(small, tmp_path):
    sound = sealed_bytes(small)
    start = 8 + int.from_bytes(sound[:8], "little") + 32
    assert sound[start] == 3
    newer = bytearray(sound)
    newer[start] = 4
    with pytest.raises(ArtifactError, match="schema version 4, this fmcompress reads version 3"):
        opened(resealed(bytes(newer)), tmp_path)
    with pytest.raises(ArtifactError, match="size"):
        opened(sound + b"\0", tmp_path)
    huge = quantized(4, "9 2x4 4")
    tiny = sealed_bytes(pack_model(huge, origin(layout="compact", provenance=False)))
    entry = b"\x02f0\x00\x09"
    assert entry in tiny
    grown = tiny.replace(entry, b"\x02f0\x00" + varint(2**31 - 1))
    body = grown[8 + int.from_bytes(grown[:8], "little") :]
    text = f'{{"fmc":{{"dtype":"U8","shape":[{len(body)}],"data_offsets":[0,{len(body)}]}}}}'.encode()
    with pytest.raises(ArtifactError, match="its size is not the one that its fields need"):
        opened(resealed(len(text).to_bytes(8, "little") + text + body), tmp_path)


def test_a_reader_of_the_specification_reads_them(shape):
    for name in ("everything", "no provenance"):
        model = pack_model(quantized(*shape), origin(layout="compact", **ORIGINS[name]))
        read = compact_reader.read(sealed_bytes(model))
        ids = np.random.default_rng(1).integers(-1, model.schema.cardinalities, (20, len(model.schema)))
        np.testing.assert_allclose(read.predict(ids.tolist()), model.predict(ids), rtol=2e-6, atol=2e-6)
        if name == "everything":
            assert read.metadata["errors"] == pytest.approx(model.header.errors, rel=0.05, abs=1e-7)
            assert read.metadata["libraries"] == model.header.origin.libraries
            assert read.metadata["quality"]["artifact"] == [12345, 0.80023, 0.45779]
            assert read.metadata["source"] == list(model.header.origin.source)
