"""Tiers: the split of fields, and ids in them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmcompress.fm.schema import Schema
from fmcompress.fm.tiers import MAX_TIERS, Tiers


@st.composite
def tiers(draw):
    """Draw tiers of a few fields, each of which uses the numbers from 0 on, without gaps."""
    of = []
    for _ in range(draw(st.integers(1, 4))):
        count = draw(st.integers(1, MAX_TIERS))
        more = draw(st.lists(st.integers(0, count - 1), max_size=20))
        of.append(draw(st.permutations([*range(count), *more])))
    schema = Schema.of((f"f{number}", len(own)) for number, own in enumerate(of))
    return Tiers(schema, np.concatenate(of).astype(np.uint8))


@settings(deadline=None)
@given(tiers())
def test_as_fields_they_stand_in_order(found):
    of = found.schema.split(found.of)
    expected = [np.flatnonzero(own == tier) for own in of for tier in range(own.max() + 1)]
    assert found.as_fields.cardinalities.tolist() == [len(tier) for tier in expected]
    assert [sum(sizes) for sizes in found.sizes] == found.schema.cardinalities.tolist()
    for tier, column, rows in zip(expected, found.field_of, found.as_fields.split(found.order), strict=True):
        np.testing.assert_array_equal(rows, tier + found.schema.offsets[column])


@settings(deadline=None)
@given(tiers(), st.integers(0, 99))
def test_an_id_is_in_one_tier_of_its_field_and_missing_in_the_others(found, seed):
    rng = np.random.default_rng(seed)
    ids = rng.integers(-1, found.schema.cardinalities, (20, len(found.schema))).astype(np.int32)
    split = found.ids(ids)
    assert (split.shape, split.dtype) == ((20, len(found.as_fields)), np.int32)
    for column in range(len(found.schema)):
        own = split[:, found.field_of == column]
        assert ((own >= 0).sum(axis=1) == (ids[:, column] >= 0)).all()
    row, tier = np.nonzero(split >= 0)
    categories = found.order[found.as_fields.offsets[tier] + split[row, tier]]
    column = found.field_of[tier]
    np.testing.assert_array_equal(categories - found.schema.offsets[column], ids[row, column])


def test_no_tiers_are_one_for_each_field():
    schema = Schema.of([("a", 3), ("b", 1)])
    none = Tiers.none(schema)
    assert none.sizes == ((3,), (1,))
    assert none.order.tolist() == [0, 1, 2, 3]
    assert none.field_of.tolist() == [0, 1]
    ids = np.array([[2, -1], [0, 0]], dtype=np.int32)
    np.testing.assert_array_equal(none.ids(ids), ids)


def test_tiers_are_named_by_numbers():
    tiers = Tiers(Schema.of([("a", 3), ("b", 7)]), np.array([0, 0, 0, 1, 1, 0, 1, 1, 1, 0], np.uint8))
    assert tiers.as_fields == Schema.of([("0.0", 3), ("1.0", 2), ("1.1", 5)])


@pytest.mark.parametrize("name", ["0.0", "a.1", "1.0"])
def test_names_of_fields_do_not_meet_those_of_tiers(name):
    assert Tiers.none(Schema.of([("x", 1), (name, 2)])).as_fields.names == ("0.0", "1.0")
