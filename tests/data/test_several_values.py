"""Rows with several values in a field: lists in Parquet, a field's indices twice in text."""

import numpy as np
import pyarrow as pa
import pytest

from fmcompress.data.batch import Batch
from fmcompress.data.options import DataOptions
from fmcompress.data.rows import count_categories, open_rows, open_training_rows
from fmcompress.data.shuffle import shuffled
from fmcompress.errors import DataError
from fmcompress.fm.field_specs import format_fields, parse_fields
from fmcompress.fm.field_vocabulary import FieldVocabulary
from fmcompress.fm.schema import Field, Schema
from fmcompress.fm.vocabulary import Vocabulary
from tests.data.rows import write

USERS = [1, 2, 0, None]
LABELS = [0, 1, 0, 1]
LISTS = [[3, 1], [], None, [2, 2, -1, None]]
KEPT = [[3, 1], [], [], [2, 2]]
SCHEMA = parse_fields("user:3,genres:5:mean")


def as_lists(bag):
    return [bag.ids[bag.starts[row] : bag.starts[row + 1]].tolist() for row in range(len(bag))]


def read(path, schema=SCHEMA, **others):
    (batch,) = open_rows(path, schema, **others).batches()
    return batch


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.int64()),
        pa.large_list(pa.int8()),
        pa.list_(pa.float64()),
        pa.list_(pa.decimal128(9, 0)),
        pa.large_list(pa.int32()),
    ],
    ids=str,
)
def test_lists_of_any_kind_are_read(tmp_path, kind):
    file = write(tmp_path / "a.parquet", label=LABELS, user=USERS, genres=pa.array(LISTS, kind))
    batch = read(file)
    assert as_lists(batch.bags["genres"]) == KEPT
    assert batch.bags["genres"].weights is None
    assert batch.ids.tolist() == [[1, -1], [2, -1], [0, -1], [-1, -1]]


def test_lists_of_one_length_and_single_values_are_read(tmp_path):
    fixed = pa.array([[1, 2], None, [3, -1], [4, 4]], pa.list_(pa.int64(), 2))
    file = write(tmp_path / "a.parquet", label=LABELS, user=USERS, genres=fixed)
    assert as_lists(read(file).bags["genres"]) == [[1, 2], [], [3], [4, 4]]
    file = write(tmp_path / "b.parquet", label=LABELS, user=USERS, genres=[4, None, 0, -1])
    assert as_lists(read(file).bags["genres"]) == [[4], [], [0], []]


def test_values_have_weights_in_maps_and_in_lists_of_pairs(tmp_path):
    pairs = [[(3, 0.5), (1, 2.0)], [], None, [(2, -1.0)]]
    maps = pa.array(pairs, pa.map_(pa.int32(), pa.float32()))
    structs = pa.array(
        [None if row is None else [{"id": a, "weight": b} for a, b in row] for row in pairs],
        pa.list_(pa.struct([("id", pa.int64()), ("weight", pa.float64())])),
    )
    for column in (maps, structs):
        bag = read(write(tmp_path / "a.parquet", label=LABELS, user=USERS, genres=column)).bags["genres"]
        assert as_lists(bag) == [[3, 1], [], [], [2]]
        assert bag.weights.tolist() == [0.5, 2.0, -1.0]
    wrong = pa.array([[(3, 1.0)], [], [(1, float("inf"))], []], pa.map_(pa.int32(), pa.float32()))
    with pytest.raises(DataError, match="row 2, field 'genres': weight is inf"):
        read(write(tmp_path / "b.parquet", label=LABELS, user=USERS, genres=wrong))


def test_lists_of_tokens_are_looked_up_and_pads_left_out(tmp_path):
    schema = Schema((Field("user", 3), Field("genres", 5, pad=0, pooling=SCHEMA.poolings["genres"])))
    vocabulary = Vocabulary({"genres": FieldVocabulary.of({"drama": 1, "war": 2, "": 0}, oov=4)})
    tokens = pa.array([["war", "drama"], ["opera"], None, ["", "war"]])
    file = write(tmp_path / "a.parquet", label=LABELS, user=USERS, genres=tokens)
    batch = read(file, schema, vocabulary=vocabulary)
    assert as_lists(batch.bags["genres"]) == [[2, 1], [4], [], [2]]


def test_a_wrong_value_is_named_by_its_row(tmp_path):
    file = write(tmp_path / "a.parquet", label=LABELS, user=USERS, genres=pa.array([[1, 2], [], [3, 9], [1]]))
    with pytest.raises(DataError, match="row 2, field 'genres': id 9 is out of range, expected 0 to 4"):
        read(file)
    rows = open_rows(file, SCHEMA, DataOptions(oov="zero"))
    (batch,) = rows.batches()
    assert as_lists(batch.bags["genres"]) == [[1, 2], [], [3], [1]]
    assert rows.out_of_range == 1
    file = write(tmp_path / "b.parquet", label=LABELS, user=USERS, genres=pa.array([[1.0, 2.0], [], [3.5], [1.0]]))
    with pytest.raises(DataError, match=r"row 2, field 'genres': id is 3\.5"):
        read(file)


def test_lists_where_one_value_is_expected_are_refused_with_the_remedy(tmp_path):
    file = write(tmp_path / "a.parquet", label=LABELS, user=USERS, genres=pa.array(LISTS, pa.list_(pa.int64())))
    with pytest.raises(DataError, match="'genres' is of type list") as caught:
        read(file, parse_fields("user:3,genres:5"))
    assert "one value per field" in caught.value.hint
    assert "genres:18:mean" in caught.value.hint


def test_fields_of_lists_are_found_in_data_without_a_model(tmp_path):
    file = write(tmp_path / "a.parquet", label=LABELS * 10, user=USERS * 10, genres=pa.array(LISTS * 10))
    rows, _ = open_training_rows(file, None)
    assert format_fields(rows.schema) == "user:3,genres:4:mean"
    assert count_categories(rows).tolist()[3:] == [0, 10, 16, 10]  # every 20th row is held out


TEXT = "1 0:1 3:1 4:0.5\n0 1:1 7:1\n-1 2:1\n1 3:2 5:0 6:1\n"


def test_indices_of_one_field_are_its_values_and_their_numbers_weights(tmp_path):
    file = tmp_path / "a.libsvm"
    file.write_text(TEXT)
    batch = read(file)
    bag = batch.bags["genres"]
    assert as_lists(bag) == [[0, 1], [4], [], [0, 3]]
    assert bag.weights.tolist() == [1, 0.5, 1, 2, 1]
    assert batch.ids.tolist() == [[0, -1], [1, -1], [2, -1], [-1, -1]]
    with pytest.raises(DataError, match="field 'genres'") as caught:
        read(file, parse_fields("user:3,genres:5"))
    assert "genres:SIZE:each" in caught.value.hint
    file.write_text("1 0:1 3:1 4:1\n")
    with pytest.raises(DataError, match="one value per field"):
        read(file, parse_fields("user:3,genres:5"))
    assert read(file).bags["genres"].weights is None
    file.write_text("1 0:1 3:1e39\n")
    with pytest.raises(DataError, match=r"field 'genres': weight is 1e\+39"):
        read(file)


def test_shuffling_keeps_bags_with_their_rows(tmp_path):
    rng = np.random.default_rng(0)
    users = rng.integers(0, 500, 4000)
    lists = pa.array([[int(user) % 7] * (int(user) % 4) for user in users])
    file = write(tmp_path / "a.parquet", row_group_size=300, label=users % 2, user=users, genres=lists)
    rows = open_rows(file, parse_fields("user:500,genres:7:sum"))
    found = list(shuffled(rows, 64, seed=1, buffer_bytes=20_000))
    assert sum(map(len, found)) == 4000
    seen = []
    for batch in found:
        assert isinstance(batch, Batch)
        for user, values in zip(batch.ids[:, 0].tolist(), as_lists(batch.bags["genres"]), strict=True):
            assert values == [user % 7] * (user % 4)
            seen.append(user)
    assert sorted(seen) == sorted(users.tolist())
    assert seen != users.tolist()
