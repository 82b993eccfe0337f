"""Files of vocabularies: tokens as JSON, keys as Parquet."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fmcompress.data.vocabulary_file import read_vocabulary
from fmcompress.errors import DataError


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


USERS = np.array([2**64 - 1, 7, 0], np.uint64)


def written(path, **columns):
    pq.write_table(pa.table(columns), path)
    return path


def test_keys_count_up_where_no_ids_are_given(tmp_path):
    path = written(
        tmp_path / "keys.parquet",
        field=pa.array(["user", "item", "user", "item", "user"]).dictionary_encode(),
        key=pa.array([2**64 - 1, 5, 7, 6, 0], pa.uint64()),
    )
    found = read_vocabulary(path)
    assert found.fields["user"].find(USERS).tolist() == [0, 1, 2]
    assert found.fields["item"].find(np.array([6, 5, 7])).tolist() == [1, 0, -1]


@pytest.mark.parametrize("kind", [pa.int64(), pa.string()])
def test_keys_with_ids(tmp_path, kind):
    keys = pa.array([-1, 7, 0, None], pa.int64()).cast(kind)
    path = written(tmp_path / "keys", field=["user"] * 4, key=keys, id=[4, 4, 2, 1], more=[0.5] * 4)
    own = read_vocabulary(path).fields["user"]
    assert own.find(USERS).tolist() == [4, 4, 2]
    assert (own.oov, own.missing, own.extreme_ids) == (None, 1, [2, 4, 1])


def test_text_may_name_the_id_of_unknown_keys(tmp_path):
    path = written(tmp_path / "keys", field=["a"] * 3, key=["0x10", "__OOV__", "18446744073709551615"], id=[0, 1, 2])
    own = read_vocabulary(path).fields["a"]
    assert own.find(np.array([16, -1, 3])).tolist() == [0, 2, -1]
    assert own.oov == 1


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"field": ["a"], "id": [1]}, "is no vocabulary: it has the columns field, id"),
        ({"field": [1], "key": [1]}, "is no vocabulary"),
        ({"field": ["a"], "key": [b"x"]}, "is no vocabulary"),
        ({"field": ["a", None], "key": [1, 2]}, "row 1 names no field"),
        ({"field": ["a", "a"], "key": [1, 1]}, "key 1 is there twice"),
        (
            {"field": ["a", "b", "b"], "key": ["1", "1", "x"]},
            "row 2, field 'key': key is 'x', expected a whole",
        ),
        ({"field": ["a"], "key": ["18446744073709551616"]}, "key is '18446744073709551616'"),
        ({"field": ["a", "a"], "key": [1, 2], "id": [0, -1]}, "row 1 has id -1, expected 0 to"),
        ({"field": ["a"], "key": [1], "id": [2**31]}, "row 0 has id 2147483648"),
        ({"field": ["a"], "key": [0.5]}, "key is 0.5"),
        ({"field": ["a", "a"], "key": pa.array([None, None], pa.int64())}, "a field has the key null twice"),
        ({"field": ["a", "a"], "key": ["__OOV__", "__OOV__"]}, "has the key __OOV__ twice"),
    ],
)
def test_keys_that_cannot_be(tmp_path, columns, says):
    with pytest.raises(DataError, match=says):
        read_vocabulary(written(tmp_path / "keys", **columns))


def test_a_parquet_file_that_is_cut_short(tmp_path):
    path = tmp_path / "keys"
    path.write_bytes(b"PAR1 and nothing")
    with pytest.raises(DataError, match="keys: cannot be read"):
        read_vocabulary(path)
