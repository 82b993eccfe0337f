"""Artifacts that carry 64-bit keys: counted, reported, read where they lie, and as the format's description says."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fmcompress as fc
from fmcompress.artifact import with_vocabulary
from fmcompress.fm.field_keys import FieldKeys
from fmcompress.fm.field_vocabulary import FieldVocabulary
from fmcompress.fm.vocabulary import Vocabulary
from fmcompress.reporting import report
from fmcompress.serve.compressed_fm import load
from tests import format_reader
from tests.json_schema import problems, schema
from tests.models import packed


def some_keys(count, seed=0):
    return np.random.default_rng(seed).permutation(
        np.unique(np.random.default_rng(seed).integers(0, 2**64, count, dtype=np.uint64))
    )


def model(vocabulary):
    return with_vocabulary(packed(8, "400 2x16 16", "9 raw raw", "50 1x4 4"), Vocabulary(vocabulary))


@settings(deadline=None, max_examples=30)
@given(
    count=st.integers(0, 300), bits=st.sampled_from([1, 2, 7, 16, "exact"]), ranked=st.booleans(), tokens=st.booleans(),
    seed=st.integers(0, 9),
)  # fmt: skip
def test_a_reader_of_the_specification_finds_the_same_ids(tmp_path_factory, count, bits, ranked, tokens, seed):
    keys = some_keys(count, seed)
    ids = None if ranked else np.random.default_rng(seed).integers(0, 400, len(keys))
    own = FieldKeys.of(keys, ids, oov=3, check_bits=bits)
    made = model({"f0": own, **({"f1": FieldVocabulary.of({"x": 8})} if tokens else {})})
    path = tmp_path_factory.mktemp("keys") / "a"
    made.save(path)
    read, oov, missing = format_reader.read(path.read_bytes()).vocabulary["f0"]
    assert (oov, missing) == (3, None)
    wanted = np.concatenate([keys, some_keys(100, 77)])
    plain = [-1 if (found := read.find(key)) is None else found for key in wanted.tolist()]
    for mapped in (False, True):
        vocabulary = load(path, map=mapped).vocabulary
        assert vocabulary.of("f0", made.schema).find(wanted).tolist() == plain
        assert vocabulary.encode() == made.vocabulary.encode()
    if ids is not None:
        assert plain[: len(keys)] == ids.tolist()


def test_keys_are_a_part_of_the_file(tmp_path):
    ranked, other = FieldKeys.of(some_keys(400)), FieldKeys.of(some_keys(50), np.arange(50), check_bits=8)
    made = model({"f0": ranked, "f2": other, "f1": FieldVocabulary.of({"x": 8})})
    made.save(tmp_path / "a")
    found = report(tmp_path / "a")
    assert found == report(made)
    assert sum(found.parts.values()) == found.file_bytes == (tmp_path / "a").stat().st_size
    assert found.keys_bytes == ranked.nbytes + other.nbytes
    assert found.keys_bytes + found.vocabulary_bytes == len(made.vocabulary.encode())
    assert [(own.field, own.keys, own.bytes, own.false_hit) for own in found.keys] == [
        ("f0", 400, ranked.nbytes, 2**-16), ("f2", 50, other.nbytes, 2**-8),
    ]  # fmt: skip
    line = (
        f"450 in {found.keys_bytes:,} bytes, {8 * found.keys_bytes / 450:.1f} bits each; 1 of 256 unknown keys at most"
    )
    for text in (found.to_text(), found.to_markdown(), found.to_html(), found.to_card()):
        assert "64-bit keys" in text
        assert line in text.replace("1.1 KB (", "").replace(" bytes)", " bytes")
        assert f"{found.keys_bytes:,}" in text
    assert problems(json.loads(found.to_json()), schema("report")) == []


def test_without_keys_nothing_is_told_of_them():
    found = report(model({"f1": FieldVocabulary.of({"x": 8})}))
    assert (found.keys_bytes, found.keys) == (0, ())
    assert "64-bit keys" not in found.to_text()
    exact = report(model({"f0": FieldKeys.of(some_keys(400), check_bits="exact")}))
    assert "known exactly" in exact.to_text()


@pytest.mark.parametrize("mapped", [False, True])
def test_keys_are_not_copied(tmp_path, mapped):
    model({"f0": FieldKeys.of(some_keys(400))}).save(tmp_path / "a")
    found = load(tmp_path / "a", map=mapped)
    assert np.shares_memory(found.vocabulary.fields["f0"].keys.data, found.vocabulary_data)


def test_checkpoints_keep_keys(tmp_path):
    rng = np.random.default_rng(0)
    vocabulary = Vocabulary({"a": FieldKeys.of(some_keys(9)), "b": FieldVocabulary.of({"x": 1})})
    weights = rng.normal(size=11).astype(np.float32), rng.normal(size=(11, 2)).astype(np.float32)
    checkpoint = fc.FMCheckpoint(fc.Schema.of([("a", 9), ("b", 2)]), 0.0, *weights, vocabulary=vocabulary)
    fc.save_checkpoint(checkpoint, tmp_path / "fm.pt")
    found = fc.load_checkpoint(tmp_path / "fm.pt")
    assert found.vocabulary.encode() == vocabulary.encode()
    made = fc.quantize(found, "10KB", with_vocabulary=True)
    bare = fc.quantize(found, "10KB")
    assert made.file_bytes - bare.file_bytes >= vocabulary.nbytes
    assert made.vocabulary.fields["a"].find(some_keys(9)).tolist() == vocabulary.fields["a"].find(some_keys(9)).tolist()
