"""What all dialects share: claiming weights, agreeing on fields, splitting one table into fields."""

import numpy as np
import pytest

from fmcompress.checkpoints.dialect import Given, agreed_fields, claim, from_flat, given_link
from fmcompress.errors import CheckpointError
from fmcompress.fm.field_specs import parse_fields


def test_every_weight_must_be_claimed():
    weights = dict.fromkeys(["v.weight", "w.weight", "b"])
    assert claim(weights, ("v.weight", "w.weight"), ("b", "counts")) is weights
    with pytest.raises(CheckpointError, match=r"it also holds 'b'$"):
        claim(weights, ("v.weight", "w.weight"))
    with pytest.raises(CheckpointError, match=r"^'bias' is missing, found only 'v\.weight', 'w\.weight', 'b'$"):
        claim(weights, ("v.weight", "w.weight", "b", "bias"))


def test_a_key_of_another_part_tells_more_than_one_beside_a_known_one():
    weights = dict.fromkeys(["v.weight", "v.scale", "mlp.0.weight"])
    with pytest.raises(CheckpointError, match=r"it also holds 'mlp\.0\.weight' and 'v\.scale'$"):
        claim(weights, ("v.weight",))


def test_given_names_win_and_sizes_must_be_the_files():
    own, given = parse_fields("a:3,n:numeric,b:2"), parse_fields("user:3,price:numeric,item:2")
    assert agreed_fields(own, None, 6) == own
    assert agreed_fields(own, given, 6) == given
    assert agreed_fields(None, given, 6) == given
    with pytest.raises(CheckpointError, match="its fields have 3, 2 categories, but --fields says 2, 3"):
        agreed_fields(own, parse_fields("user:2,price:numeric,item:3"), 6)
    with pytest.raises(CheckpointError, match="have 7 rows, but its fields have 5 categories and 1 numbers"):
        agreed_fields(None, given, 7)
    with pytest.raises(CheckpointError, match="which fields its 6 categories belong to") as caught:
        agreed_fields(None, None, 6)
    assert "--fields" in caught.value.hint


def test_a_shared_field_has_no_rows_of_its_own():
    own, given = parse_fields("a:3,b:2"), parse_fields("a:3,clicked=b,b:2")
    assert agreed_fields(own, given, 5) == given


def test_link_must_be_given_where_a_file_does_not_tell_it():
    assert given_link(Given(link="probit")) == "probit"
    with pytest.raises(CheckpointError, match="how a logit becomes a prediction"):
        given_link(Given())


def test_rows_of_numbers_are_taken_out_of_one_table():
    schema = parse_fields("n:numeric,a:2,clicked=a,m:linear,b:1")
    linear = np.arange(5, dtype=np.float32)
    embeddings = np.repeat(linear[:, None], 3, axis=1)
    ckpt = from_flat(schema, 0.5, linear, embeddings, "probit")
    assert (ckpt.bias, ckpt.link) == (0.5, "probit")
    np.testing.assert_array_equal(ckpt.linear, [1, 2, 4])
    np.testing.assert_array_equal(ckpt.embeddings[:, 0], [1, 2, 4])
    np.testing.assert_array_equal(ckpt.numeric.linear, [0, 3])
    np.testing.assert_array_equal(ckpt.numeric.embeddings, np.zeros((2, 3)))


def test_one_table_of_categories_is_not_copied():
    linear, embeddings = np.ones(3, np.float32), np.ones((3, 2), np.float32)
    ckpt = from_flat(parse_fields("a:3"), 0.0, linear, embeddings)
    assert ckpt.linear is linear
    assert ckpt.embeddings is embeddings
