"""Rows are stacked so that each table has one id in each, and all ids are in one of them."""

import numpy as np

from fmcompress.fm.schema import Schema
from fmcompress.fm.shared_tables import stacked, uses_of
from tests import kinds


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
