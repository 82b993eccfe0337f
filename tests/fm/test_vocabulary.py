"""Vocabularies: which field has which."""

import pytest

from fmcompress.errors import UsageError
from fmcompress.fm.field_specs import parse_fields
from fmcompress.fm.field_vocabulary import FieldVocabulary
from fmcompress.fm.vocabulary import Vocabulary

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
