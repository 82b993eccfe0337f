"""Fields that a file names: matched with the given ones, read from a table each, and their PADs found."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fmcompress.checkpoints.tools.field_tables import named, padded, read_tables
from fmcompress.errors import CheckpointError
from fmcompress.fm.field_specs import parse_fields
from fmcompress.fm.schema import Field, NumericField, SharedField

OWN = [Field("user", 3, pad=0), NumericField("price"), Field("item", 2)]


class Values:
    """A tensor of a file, in memory."""

    def __init__(self, values):
        self.values = np.asarray(values, np.float32)
        self.shape = self.values.shape

    def read(self):
        return self.values


def test_fields_are_the_files_where_none_are_given():
    found = named(OWN, None)
    assert found.schema.all_fields == tuple(OWN)
    assert found.keys("{}.weight") == ["user.weight", "item.weight"]


def test_given_fields_are_matched_by_name_in_any_order():
    found = named(OWN, parse_fields("item:2,price:numeric,user:3"))
    assert found.schema.order == ("item", "price", "user")
    assert found.schema.fields == (Field("item", 2), Field("user", 3, pad=0))
    assert found.own == {"item": "item", "user": "user", "price": "price"}


def test_other_names_are_matched_in_order():
    found = named(OWN, parse_fields("u:3,cost:numeric,i:2"))
    assert found.own == {"u": "user", "i": "item", "cost": "price"}
    assert found.schema.fields[0] == Field("u", 3, pad=0)


def test_shared_fields_that_the_file_does_not_know_are_added():
    found = named(OWN, parse_fields("user:3,clicked=item,price:numeric,item:2"))
    assert found.schema.shared == (SharedField("clicked", "item"),)
    assert "clicked" not in found.own


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("user:3,item:2", "1 fields that are numeric: 'price', but --fields names 0"),
        ("user:4,price:numeric,item:2", "field 'user' has 3 categories, but --fields says 4"),
        ("user:3,price:linear,item:2", "numeric field 'price' has an embedding"),
        ("item:3,price:numeric,other:2", "names 'item' where the file has 'user'"),
    ],
)
def test_fields_that_contradict_the_file_are_refused(fields, message):
    with pytest.raises(CheckpointError, match=message):
        named(OWN, parse_fields(fields))


def test_shared_tables_of_the_file_stay():
    own = [Field("a", 2), Field("b", 2), SharedField("c", "a")]
    assert named(own, parse_fields("x:2,y:2,z=x")).own == {"x": "a", "y": "b", "z": "c"}
    with pytest.raises(CheckpointError, match="field 'c' shares the table of 'a'"):
        named(own, parse_fields("x:2,y:2,z=y"))


def test_tables_are_read_in_the_order_of_the_fields():
    weights = {"w.user": Values([[1], [2], [3]]), "v.user": Values(np.ones((3, 2))), "v.item": Values([[4, 5], [6, 7]])}
    linear, embeddings = read_tables(named(OWN, parse_fields("item:2,p:numeric,user:3")), weights, "w.{}", "v.{}")
    assert_array_equal(linear, [0, 0, 1, 2, 3])
    assert_array_equal(embeddings, [[4, 5], [6, 7], [1, 1], [1, 1], [1, 1]])


def test_tables_of_different_width_are_refused():
    weights = {"v.user": Values(np.ones((3, 2))), "v.item": Values(np.ones((2, 3)))}
    with pytest.raises(CheckpointError, match=r"'v\.user' has shape \(3, 2\) and 'v\.item' \(2, 3\)"):
        read_tables(named(OWN, None), weights, "w.{}", "v.{}")


def test_fields_may_not_be_much_larger_than_the_file():
    fields = named([Field("a", 2), Field("b", 10**9)], None)
    with pytest.raises(CheckpointError, match="would have 1,000,000,002 weights, but it has 2 only"):
        read_tables(fields, {"v.a": Values(np.ones((2, 1)))}, "w.{}", "v.{}")


def test_rows_of_zeros_are_pad_and_others_are_not():
    schema = parse_fields("a:2,b:2,c:2")
    linear = np.array([0, 1, 0, 1, 1, 1], np.float32)
    embeddings = np.zeros((6, 2), np.float32)
    embeddings[2, 1] = np.nan
    found = padded(schema, linear, embeddings, {"a": 0, "b": 0, "c": 5})
    assert [field.pad for field in found.fields] == [0, None, None]
