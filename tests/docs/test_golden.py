"""The golden vectors are what this package and the plain reader make of them, and cover what the format allows."""

import json
import math
from itertools import chain

import numpy as np
import pytest

import fmcompress as fc
from docs.golden.files import FOLDER, golden_files
from docs.golden.models import GOLDEN
from fmcompress.errors import ArtifactError
from fmcompress.fm.links import LINKS
from tests import compact_reader, format_reader

REFUSED = json.loads((FOLDER / "refused" / "why.json").read_text(encoding="utf-8"))
REFUSED_COMPACT = json.loads((FOLDER / "compact" / "refused" / "why.json").read_text(encoding="utf-8"))
MOST_BYTES = 450_000

MESSAGES = {
    "empty": "cannot be read", "cut-short": "bytes, expected", "one-more": "bytes, expected", "seal": "SHA-256",
    "header-too-long": "cut short", "key-twice": "not a safetensors file", "newer-version": "schema version 3",
    "tables": "tables alone",
    "version-true": "schema version", "unknown-link": "link is", "clip-reversed": "link is", "dim-zero": "dim 0",
    "name-twice": "two fields", "pad-outside": "pad",
    "unknown-pooling": "no pooling 'max'", "misspelt-pooling": "is written 'mean'", "empty-pooling": "no pooling ''",
    "each-pooling": "linear weights are added", "numeric-pooling": "field 'n'",
    "sizes": "field 'a'", "more-subspaces-than-l": "more subspaces",
    "too-many-codewords": "codewords", "misspelt-quantizer": "spelt", "offsets": "does not lie",
    "dtype": "not a safetensors file",
    "infinite-bias": "infinite", "nan-numeric": "NaN", "nan-value": "NaN", "negative-scale": "negative scale",
    "nan-fp32": "NaN", "infinite-fp32": "infinite",
    "int8-128": "int8", "tier-counts": "tiers", "no-such-tier": "tiers", "no-such-codeword": "codeword",
    "vocabulary-claims": "larger than it can be", "vocabulary-damaged": "unpacked",
}  # fmt: skip
"""What the refusals of some say: that they are refused for what is wrong with them."""


def golden(name):
    """Return what a golden vector says: ids, values, logits, predictions and the rest."""
    found = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    found["ids"] = np.array(found["ids"], dtype=np.int64)
    values = [[math.nan if value is None else value for value in row] for row in found["values"]]
    found["values"] = np.array(values, dtype=np.float64).reshape(len(values), len(found["value_names"]))
    return found


def bags_of(expected):
    """Return the bags of a golden vector, as this package takes them."""
    found = {}
    for name, bag in expected.get("bags", {}).items():
        starts = np.cumsum([0, *map(len, bag["ids"])])
        flat = {key: None if rows is None else np.array(list(chain.from_iterable(rows))) for key, rows in bag.items()}
        weights = None if flat["weights"] is None else flat["weights"].astype(np.float32)
        found[name] = fc.Bag(starts, flat["ids"].astype(np.int64), weights)
    return found


@pytest.mark.parametrize("name", GOLDEN)
def test_the_package_predicts_them(name):
    model, expected = fc.load(FOLDER / f"{name}.safetensors"), golden(name)
    assert list(model.schema.id_names) == expected["id_names"]
    assert list(model.schema.numeric_names) == expected["value_names"]
    assert model.link == expected["link"]
    found = model.predict(expected["ids"], expected["values"], bags=bags_of(expected))
    np.testing.assert_allclose(found, expected["predictions"], rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("name", GOLDEN)
def test_a_reader_of_the_specification_predicts_them(name):
    expected = golden(name)
    reader = format_reader.read((FOLDER / f"{name}.safetensors").read_bytes())
    found = reader.predict(expected["ids"].tolist(), np.nan_to_num(expected["values"]), expected.get("bags"))
    np.testing.assert_allclose(found, expected["predictions"], rtol=1e-7, atol=1e-12)
    for field, own in expected.get("vocabulary", {}).items():
        known, *rest = reader.vocabulary[field]
        assert rest == [own["oov"], own["missing"]]
        if "tokens" in own:
            assert known == own["tokens"]
        assert all(known.find(int(key)) == number for key, number in own.get("keys", {}).items())


def test_the_package_finds_their_keys():
    model, expected = fc.load(FOLDER / "keys.safetensors"), golden("keys")["vocabulary"]
    assert list(expected) == ["day", "item", "user"]
    for field in ("item", "user"):
        keys = expected[field]["keys"]
        found = model.vocabulary.of(field, model.schema).find(np.array(list(map(int, keys)), np.uint64))
        assert found.tolist() == [-1 if number is None else number for number in keys.values()]


@pytest.mark.parametrize("name", GOLDEN)
def test_compact_files_predict_the_same(name):
    path, expected = FOLDER / "compact" / f"{name}.safetensors", golden(name)
    assert path.stat().st_size < (FOLDER / f"{name}.safetensors").stat().st_size
    model, bags = fc.load(path), bags_of(expected)
    found = model.predict(expected["ids"], expected["values"], bags=bags)
    np.testing.assert_allclose(found, expected["predictions"], rtol=2e-6, atol=2e-6)
    reader = compact_reader.read(path.read_bytes())
    found = reader.predict(expected["ids"].tolist(), np.nan_to_num(expected["values"]), expected.get("bags"))
    np.testing.assert_allclose(found, expected["predictions"], rtol=1e-7, atol=1e-12)
    assert reader.vocabulary.keys() == expected.get("vocabulary", {}).keys()


@pytest.mark.parametrize("name", REFUSED_COMPACT)
def test_compact_files_that_must_be_refused_are(name):
    path = FOLDER / "compact" / "refused" / f"{name}.safetensors"
    if name == "sound":
        fc.load(path)
        return
    with pytest.raises(ArtifactError, match="schema version 4" if name == "newer-version" else "is damaged"):
        fc.load(path)


@pytest.mark.parametrize("name", REFUSED)
def test_what_must_be_refused_is(name):
    path = FOLDER / "refused" / f"{name}.safetensors"
    if name == "sound":
        fc.load(path)
        return
    with pytest.raises(ArtifactError, match=MESSAGES.get(name, "is damaged")):
        fc.load(path)


def test_the_files_are_those_that_are_made():
    """A vocabulary may be packed to other bytes by another liblzma."""
    made = golden_files()
    there = {path for path in FOLDER.rglob("*") if path.suffix in (".safetensors", ".json")}
    assert there == set(made)
    packed = {path for path in made if path.parent == FOLDER / "refused" or path.name == "vocabulary.safetensors"}
    for path in there - packed | {FOLDER / "refused" / "why.json"}:
        assert path.read_bytes() == made[path], f"{path.name}: python -m docs.golden writes it anew"
    assert sum(path.stat().st_size for path in there) < MOST_BYTES


def test_they_hold_what_the_format_allows():
    models = {name: fc.load(FOLDER / f"{name}.safetensors") for name in GOLDEN}
    quantizers = [quantizer for model in models.values() for quantizer in model.header.quantizers]
    assert {model.link.split(":")[0] for model in models.values()} == set(LINKS)
    for in_bytes in (1, 2, 4):
        own = [quantizer for quantizer in quantizers if quantizer.value_bytes == in_bytes]
        assert {len(quantizer.codewords) for quantizer in own} >= {0, 1, 2, 4}
        assert {quantizer.linear_codewords for quantizer in own} >= {0, 1, 2, 4}
    sizes = {size for quantizer in quantizers for size in quantizer.codewords}
    assert sizes >= {1, 2, 3, 4, 7, 16, 100, 4096}
    assert max(quantizer.row_bits for quantizer in quantizers) > 128
    tiers = {len(own) for model in models.values() for own in model.header.tier_sizes}
    assert tiers == {1, 2, 3, 4}
    poolings = {str(pooling) for model in models.values() for pooling in model.schema.poolings.values()}
    assert poolings >= {"sum", "mean", "sqrtn", "each", "sqrtn/sum"}
    starts = {int.from_bytes((FOLDER / f"{name}.safetensors").read_bytes()[:8], "little") % 8 for name in GOLDEN}
    assert len(starts) >= 6


def test_each_has_missing_ids_and_those_that_can_have_pad_and_no_values():
    for name in GOLDEN:
        expected = golden(name)
        assert (expected["ids"] == -1).any()
        if expected["value_names"]:
            assert np.isnan(expected["values"]).any()
        pads = fc.load(FOLDER / f"{name}.safetensors").schema.pads
        assert ((expected["ids"][-1] == -1) | (expected["ids"][-1] == pads)).all()
        assert all((expected["ids"][:, column] == pad).any() for column, pad in enumerate(pads) if pad >= 0)
