"""Fields: where their rows lie, and what makes no schema."""

import numpy as np
import pytest

from fmcompress.errors import UsageError
from fmcompress.fm.field_specs import parse_fields
from fmcompress.fm.schema import MAX_CATEGORIES, Schema, stacked, uses_of
from tests import kinds

SCHEMA = Schema.of([("user", 7), ("größe", 1), ("a:b", 11)])


def test_rows_of_the_fields_follow_each_other():
    assert SCHEMA.names == ("user", "größe", "a:b")
    assert SCHEMA.offsets.tolist() == [0, 7, 8]
    assert SCHEMA.cardinalities.dtype == SCHEMA.offsets.dtype == np.int64
    assert [SCHEMA.rows(field) for field in range(3)] == [slice(0, 7), slice(7, 8), slice(8, 19)]
    assert (len(SCHEMA), SCHEMA.categories) == (3, 19)


def test_a_union_is_as_large_as_the_larger_of_both():
    other = Schema.of([("user", 3), ("größe", 5), ("a:b", 11)])
    assert SCHEMA.union(other) == other.union(SCHEMA) == Schema.of([("user", 7), ("größe", 5), ("a:b", 11)])


def test_parse_fields_reads_what_describes_them():
    assert parse_fields("user:7, größe:1,a:b:11") == SCHEMA


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        ([], "at least one field"),
        ([("", 3)], "empty name"),
        ([("a", 3), ("a", 4)], "two fields are named 'a'"),
        ([("a", 0)], "has 0 categories"),
        ([("a", -3)], "has -3 categories"),
        ([("a", MAX_CATEGORIES), ("b", 1)], "2,147,483,648 categories in all fields"),
        ([("a", 2**62), ("b", 2**62)], "categories in all fields"),
        ([("a", 2**70)], "categories in all fields"),
        ([("caf\udce9", 3)], "not valid Unicode"),
    ],
)
def test_what_makes_no_schema_is_refused(sizes, says):
    with pytest.raises(UsageError, match=says):
        Schema.of(sizes)


def test_the_largest_schema_is_possible():
    assert Schema.of([("a", MAX_CATEGORIES - 1), ("b", 1)]).categories == MAX_CATEGORIES


@pytest.mark.parametrize(
    "text", ["", "user", "user:", ":5", "user:0", "user:-1", "user:1.5", "user:x", "user:²", "user:1,", "a:1,a:1",
             "user:" + "9" * 30, "user:" + "9" * 5000],
)  # fmt: skip
def test_what_describes_no_fields_is_refused(text):
    with pytest.raises(UsageError):
        parse_fields(text)


def test_without_shared_tables_rows_stay_as_they_are():
    schema, ids = Schema.of([("user", 5), ("item", 3)]), np.array([[4, -1]], np.int32)
    assert uses_of(schema) == 1
    assert stacked(ids, schema) is ids


def test_each_field_that_shares_a_table_has_a_row_of_its_own():
    # In the order of the ids: user, item, city, bought, seen; the last two look up the table of item.
    ids = np.array([[1, 2, 3, 4, 5], [10, 20, -1, -1, 50]], np.int32)
    assert uses_of(kinds.SCHEMA) == 3
    assert stacked(ids, kinds.SCHEMA).tolist() == [
        *([1, 2, 3], [10, 20, -1]),
        *([-1, 4, -1], [-1, -1, -1]),
        *([-1, 5, -1], [-1, 50, -1]),
    ]
