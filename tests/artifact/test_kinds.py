"""Artifacts with fields of every kind, any link and a vocabulary: there and back, to the byte, and as specified."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmcompress.artifact import Frame, unpack_model, with_vocabulary
from fmcompress.artifact.header import artifact_bytes
from fmcompress.errors import UsageError
from fmcompress.fm.field_vocabulary import FieldVocabulary
from fmcompress.fm.vocabulary import Vocabulary
from fmcompress.serve.compressed_fm import load
from tests import format_reader
from tests.mixed import LINKS, mixed_models, packed_mixed, plain_predictions, random_rows, vocabulary_of
from tests.models import origin, pack_model


def tokens_of(vocabulary):
    """Return what a vocabulary says, in an order of its own."""
    return {
        name: (dict(zip(own.tokens, own.ids.tolist(), strict=True)), own.oov, own.missing)
        for name, own in vocabulary.fields.items()
    }


@settings(deadline=None, max_examples=60)
@given(model=mixed_models(), carried=st.booleans(), scored=st.booleans(), seed=st.integers(0, 99))
def test_any_model_goes_there_and_back(tmp_path_factory, model, carried, scored, seed):
    about = origin(quality=scored)
    vocabulary = vocabulary_of(model.schema, seed=seed) if carried else None
    packed = with_vocabulary(pack_model(model, about), vocabulary)
    path = tmp_path_factory.mktemp("kinds") / "a"
    packed.save(path)
    found = load(path)
    assert found.header == packed.header or scored  # figures of quality are rounded
    assert (found.schema, found.header.link) == (model.schema, model.link)
    for name in ("linear", "embeddings"):
        np.testing.assert_array_equal(getattr(found.numeric, name), getattr(model.numeric, name))
        np.testing.assert_array_equal(getattr(unpack_model(found).numeric, name), getattr(model.numeric, name))
    assert (found.vocabulary is None) == (vocabulary is None)
    if vocabulary is not None:
        assert tokens_of(found.vocabulary) == tokens_of(vocabulary)
    found.save(path, force=True)
    packed.save(path.with_name("b"))
    assert path.read_bytes() == path.with_name("b").read_bytes()

    quantizers, sizes = [part.quantizer for part in model.fields], model.tiers.sizes
    frame = Frame.of(model, vocabulary_bytes=0 if vocabulary is None else len(vocabulary.encode()))
    counted = artifact_bytes(frame, about, quantizers, sizes)
    assert path.stat().st_size == packed.file_bytes == found.file_bytes == counted


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(model=mixed_models(), carried=st.booleans(), seed=st.integers(0, 99))
def test_a_reader_of_the_specification_predicts_alike(tmp_path_factory, model, carried, seed):
    vocabulary = vocabulary_of(model.schema, seed=seed) if carried else Vocabulary()
    packed = with_vocabulary(pack_model(model, origin()), vocabulary if carried else None)
    path = tmp_path_factory.mktemp("kinds") / "a"
    packed.save(path)
    read = format_reader.read(path.read_bytes())
    assert [name for name, *_ in read.ids] == list(model.schema.id_names)
    assert [field.name for field in read.numeric] == list(model.schema.numeric_names)
    assert read.vocabulary == tokens_of(vocabulary)
    ids, values = random_rows(model.schema, 30, seed=seed)
    mine = load(path).predict(ids, values)
    np.testing.assert_allclose(mine, read.predict(ids, np.nan_to_num(values)), rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(mine, plain_predictions(packed, ids, values), rtol=1e-5, atol=2e-6)


def test_a_vocabulary_is_put_in_and_taken_out(tmp_path):
    bare = packed_mixed(4, "9 2x4 4", "5 raw raw")
    carried = with_vocabulary(bare, vocabulary_of(bare.schema))
    assert carried.file_bytes > bare.file_bytes + carried.header.frame.vocabulary_bytes > bare.file_bytes
    for name, model in (("bare", bare), ("back", with_vocabulary(carried, None))):
        model.save(tmp_path / name)
        assert load(tmp_path / name).vocabulary is None
    assert (tmp_path / "bare").read_bytes() == (tmp_path / "back").read_bytes()


@pytest.mark.parametrize(("name", "number"), [("f0", 9), ("f0", -1), ("n0", 0), ("item", 0), ("s0", 5)], ids=str)
def test_a_vocabulary_of_other_fields_is_refused(name, number):
    model = packed_mixed(4, "9 2x4 4", "5 raw raw", shared=(1,), numeric=(False,))
    with pytest.raises(UsageError, match="the vocabulary"):
        with_vocabulary(model, Vocabulary({name: FieldVocabulary.of({"a": number})}))


@pytest.mark.parametrize("link", LINKS)
def test_links_are_kept_to_the_last_digit(tmp_path, link):
    packed_mixed(2, "3 raw raw", link=link).save(tmp_path / "a")
    found = load(tmp_path / "a").header
    assert found.link == link
    assert (b"link" in (tmp_path / "a").read_bytes()) == (link != "sigmoid")
