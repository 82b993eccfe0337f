"""Vocabularies: which field has which, and files of them."""

import json

import pytest

from fmcompress.errors import DataError, UsageError
from fmcompress.fm.field_specs import parse_fields
from fmcompress.fm.field_vocabulary import FieldVocabulary
from fmcompress.fm.vocabulary import Vocabulary, read_vocabulary

SCHEMA = parse_fields("item:5,clicked=item,user:3,price:numeric")
ITEMS, USERS = FieldVocabulary.of({"shoe": 4, "hat": 0}), FieldVocabulary.of({"bob": 1}, oov=2, missing=0)


def test_a_field_that_shares_a_table_has_its_vocabulary_unless_it_has_its_own():
    assert Vocabulary({"item": ITEMS}).of("clicked", SCHEMA) is ITEMS
    assert Vocabulary({"item": ITEMS, "clicked": USERS}).of("clicked", SCHEMA) is USERS
    assert Vocabulary({"clicked": USERS}).of("item", SCHEMA) is None


def test_ids_must_be_those_of_the_field():
    Vocabulary({"clicked": ITEMS, "user": USERS}).check(SCHEMA)
    for fields, says in (
        ({"price": USERS}, "has a field 'price', the model has 'item', 'user', 'clicked'"),
        ({"user": ITEMS}, "field 'user' has id 4, expected 0 to 2"),
        ({"item": FieldVocabulary.of({"x": 0}, oov=5)}, "field 'item' has id 5"),
    ):
        with pytest.raises(UsageError, match=says):
            Vocabulary(fields).check(SCHEMA)


def test_a_file_names_fields_tokens_and_the_id_of_unknown_ones(tmp_path):
    path = tmp_path / "vocab.json"
    path.write_text(json.dumps({"user": {"alice": 0, "bob": 2, "__OOV__": 1}, "item": {}}))
    found = read_vocabulary(path)
    assert dict(found.fields["user"].known) == {"alice": 0, "bob": 2, "__OOV__": 1}
    assert (found.fields["user"].oov, found.fields["item"].oov) == (1, None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot be read: No such file"),
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "is no vocabulary"),
        ('{"a": 1}', "is no vocabulary"),
        ('{"a": {"x": "1"}}', "field 'a': token 'x' has id '1', expected a number"),
        ('{"a": {"x": -1}}', "token 'x' has id -1"),
        ('{"a": {"x": true}}', "token 'x' has id True"),
        ('{"a": {"x": 2147483647}}', "token 'x' has id 2147483647"),
    ],
)
def test_files_that_are_none(tmp_path, text, says):
    path = tmp_path / "vocab.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=says) as error:
        read_vocabulary(path)
    assert str(error.value).startswith(str(path))
