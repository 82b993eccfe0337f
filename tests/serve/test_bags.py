"""Fields with several values in a row: scorers agree with the formula, whatever the bags are given as."""

import numpy as np
import pytest

from fmcompress import Bag
from fmcompress.artifact import unpack_model
from fmcompress.checkpoints import FMCheckpoint
from fmcompress.errors import DataError
from fmcompress.serve.native_library import SWITCH
from fmcompress.serve.native_scorer import NativeScorer, NotNativeError
from fmcompress.serve.numpy_scorer import NumpyScorer
from tests.mixed import packed_mixed, plain_predictions, random_bags, random_rows, whole_bags

POOLINGS = ("sum", "mean", "sqrtn", "mean/sum", "sum/sqrtn", "sqrtn/mean", "each")
DESCRIBED = {
    "codes": (8, "90 2x16 4", "60 8x4 raw", "20 1x8 shared", "12 raw raw"),
    "int8": (16, "90 4x16:8 4", "60 2x4:8 raw", "20 raw:8 shared", "12 raw:8 raw"),
    "tiers": (6, "40 3x2 4 | 30 raw:8 raw | 20 raw 4", "60 2x16 shared | 9 shared:8 2", "7 raw raw", "12 shared raw"),
    "raw": (5, "5000 raw raw", "9 raw raw", "30 raw:8 raw", "5000 raw:8 16"),
}


def native_scorer(model):
    try:
        return NativeScorer(model)
    except NotNativeError as error:
        pytest.skip(str(error))


SCORERS = {"numpy": NumpyScorer, "native": native_scorer}


ISAS = ("portable", "avx2", "neon")


@pytest.fixture(autouse=True)
def switched_on(monkeypatch):
    monkeypatch.delenv(SWITCH, raising=False)


@pytest.fixture(params=SCORERS)
def scorer(request):
    return SCORERS[request.param]


def model_of(described="codes", pooling="mean", other="each", **changes):
    poolings = {"f0": pooling, "f3": other, "s0": "sqrtn"}
    given = {"pads": (0, None, 6, None), "shared": (0, 1), "numeric": (False, True), "poolings": poolings}
    return packed_mixed(*DESCRIBED[described], **given | changes)


def rows_of(model, count, **changes):
    ids, values = random_rows(model.schema, count)
    return ids, values, random_bags(model.schema, ids, **changes)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("described", DESCRIBED)
def test_every_pooling_is_what_the_formula_says(scorer, described, pooling):
    model = model_of(described, pooling, POOLINGS[-1 - POOLINGS.index(pooling)])
    ids, values, bags = rows_of(model, 60)
    expected = plain_predictions(model, ids, values, bags)
    found = scorer(model).predict(ids, values, bags=bags)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    unweighted = {name: Bag(bag.starts, bag.ids) for name, bag in bags.items()}
    expected = plain_predictions(model, ids, values, unweighted)
    found = scorer(model).predict(ids, values, bags=unweighted)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("described", DESCRIBED)
def test_all_instructions_agree(monkeypatch, described, isa):
    model = model_of(described, "mean/sum", "each")
    ids, values, bags = rows_of(model, 300)
    found = native_scorer(model).predict(ids, values, bags=bags)
    monkeypatch.setenv("FMCOMPRESS_ISA", isa)
    other = native_scorer(model).predict(ids.astype(np.int64), values, bags=bags)
    np.testing.assert_allclose(other, found, rtol=0, atol=1e-6)
    np.testing.assert_allclose(NumpyScorer(model).predict(ids, values, bags=bags), found, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dim", [1, 3, 8, 9, 32, 64, 72, 512, 600])
def test_embeddings_of_any_size(scorer, dim):
    model = packed_mixed(
        dim, "30 1x4 4", "20 raw:8 raw | 9 1x8 2", shared=(0,), numeric=(False,),
        poolings={"f0": "sqrtn", "f1": "mean", "s0": "each"},
    )  # fmt: skip
    ids, values, bags = rows_of(model, 20)
    found = scorer(model).predict(ids, values, bags=bags)
    np.testing.assert_allclose(found, plain_predictions(model, ids, values, bags), rtol=0, atol=1e-5)


def test_a_checkpoint_of_the_same_weights_predicts_the_same(scorer):
    """Where quantizing loses nothing, an artifact and the checkpoint that it was made of agree."""
    fmscorer = pytest.importorskip("fmcompress.fm.scorer")
    model = model_of("raw", "mean", "each", numeric=(False,))
    ids, values, bags = rows_of(model, 200)
    whole = whole_bags(model.schema, bags)
    ids = np.where(ids == model.schema.pads, -1, ids)
    working = unpack_model(model)
    parts = list(zip(working.fields, model.schema.fields, strict=True))
    checkpoint = FMCheckpoint(
        model.schema.without_pads(),
        working.bias,
        np.concatenate([part.linear() for part, _ in parts]),
        np.concatenate([part.embeddings() for part, _ in parts]),
        numeric=working.numeric,
    )
    found = scorer(model).predict(ids, values, bags=bags)
    expected = fmscorer.FMScorer(checkpoint).predict(ids, np.nan_to_num(values), bags=whole)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_a_column_with_one_value_is_a_bag_of_one(scorer):
    model = model_of()
    ids, values = random_rows(model.schema, 200)
    names = model.schema.id_names
    bags, emptied = {}, ids.copy()
    for name in model.schema.poolings:
        emptied[:, names.index(name)] = -1
        bags[name] = Bag(np.arange(len(ids) + 1), ids[:, names.index(name)])
    found = scorer(model).predict(ids, values)
    np.testing.assert_allclose(found, plain_predictions(model, emptied, values, bags), rtol=0, atol=1e-5)
    np.testing.assert_allclose(scorer(model).predict(emptied, values, bags=bags), found, rtol=0, atol=2e-6)
    some = dict(list(bags.items())[:1])
    first = names.index(next(iter(some)))
    half = ids.copy()
    half[:, first] = -1
    np.testing.assert_allclose(scorer(model).predict(half, values, bags=some), found, rtol=0, atol=2e-6)


def test_bags_may_be_given_in_many_forms(scorer):
    model = packed_mixed(4, "9 2x4 4", "60 raw raw", pads=(None, 5), poolings={"f1": "mean"})
    rows = [[1, 2], [], [5, 7], [59, 58, 57]]
    ids = np.array([[0, -1], [3, -1], [8, 5], [-1, -1]])
    expected = plain_predictions(model, ids, np.empty((4, 0)), {"f1": Bag(np.array([0, 2, 2, 4, 7]), flat(rows))})
    padded = np.array([[1, 2, -1], [-1, -1, -1], [5, 7, -1], [59, 58, 57]])
    starts = [0, 2, 2, 4, 7]
    forms = [
        rows, tuple(map(tuple, rows)), [np.array(row, np.uint8) for row in rows], [[1, 2], None, [7], [59, 58, 57]],
        padded, padded.astype(np.int8), padded.tolist(), np.asfortranarray(padded), Bag(np.array(starts), flat(rows)),
        (starts, flat(rows)), (np.array(starts, np.int32), flat(rows).astype(np.uint64), np.ones(7)),
        (starts, flat(rows).tolist(), [1] * 7), (np.array(starts, np.uint8), flat(rows).astype(">i2"), None),
    ]  # fmt: skip
    for form in forms:
        for dtype in (np.int32, np.int64, np.uint8 if (ids >= 0).all() else np.int16):
            found = scorer(model).predict(ids.astype(dtype), bags={"f1": form})
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def flat(rows):
    return np.array([value for row in rows for value in row], np.int64)


def test_arrow_lists_are_taken_as_they_are(scorer):
    pa = pytest.importorskip("pyarrow")
    model = packed_mixed(4, "9 2x4 4", "60 raw raw", poolings={"f1": "sum"})
    ids = np.full((3, 2), -1)
    lists = pa.array([[9], [1, 2], None, [4, None, 6]], pa.list_(pa.int16()))
    expected = scorer(model).predict(ids, bags={"f1": [[1, 2], [], [4, 6]]})
    for form in (lists[1:], lists[1:].cast(pa.large_list(pa.int64())), pa.chunked_array([lists[1:2], lists[2:]])):
        np.testing.assert_array_equal(scorer(model).predict(ids, bags={"f1": form}), expected)


def test_no_rows_and_no_values(scorer):
    model = model_of(numeric=())
    ids = np.full((3, 6), -1)
    names = list(model.schema.poolings)
    bare = scorer(model).predict(ids)
    for empty in ([[], [], []], ([0, 0, 0, 0], []), np.empty((3, 0), np.int32)):
        np.testing.assert_array_equal(scorer(model).predict(ids, bags=dict.fromkeys(names, empty)), bare)
    assert scorer(model).predict(ids[:0], bags={name: [] for name in names}).shape == (0,)


def test_one_row_with_very_many_values(scorer):
    model = packed_mixed(4, "9 2x4 4", "60 raw raw", poolings={"f1": "mean", "f0": "each"})
    rng = np.random.default_rng(5)
    many = rng.integers(0, 60, 40_000)
    ids = np.full((2, 2), -1)
    weights = rng.normal(size=70).astype(np.float32)
    bags = {"f1": Bag(np.array([0, 40_000, 40_000]), many), "f0": Bag(np.array([0, 0, 70]), many[:70] % 9, weights)}
    expected = plain_predictions(model, ids, np.empty((2, 0)), bags)
    np.testing.assert_allclose(scorer(model).predict(ids, bags=bags), expected, rtol=0, atol=1e-5)


def test_large_weights_do_not_cancel_each_other(scorer):
    model = packed_mixed(8, "9 2x4 4", "60 raw raw", link="identity", poolings={"f1": "each", "f0": "sum"})
    ids = np.full((3, 2), -1)
    bags = {
        "f1": Bag(np.array([0, 1, 2, 4]), np.array([3, 4, 5, 6]), np.array([1e6, 0.5, 1e5, 1], np.float32)),
        "f0": Bag(np.array([0, 0, 2, 3]), np.array([1, 2, 3]), np.array([1e6, 1e5, 0.25], np.float32)),
    }
    expected = plain_predictions(model, ids, np.empty((3, 0)), bags)
    np.testing.assert_allclose(scorer(model).predict(ids, bags=bags), expected, rtol=2e-6)


@pytest.mark.parametrize("threads", [1, 3])
def test_many_rows_are_those_of_few(scorer, threads):
    model = model_of("tiers")
    ids, values, bags = rows_of(model, 5000)
    whole = scorer(model).predict(ids, values, bags=bags, threads=threads)
    for rows in (slice(0, 7), slice(2040, 2060), slice(4999, 5000)):
        own = {name: bag.take(rows) for name, bag in bags.items()}
        found = scorer(model).predict(ids[rows], values[rows], bags=own)
        np.testing.assert_allclose(found, whole[rows], rtol=0, atol=1e-6)


WRONG = {
    "no such field": ({"f9": [[1], [2]]}, "field 'f9' has bags, but several values in a row have only 'f1', 's0'"),
    "one value": ({"f0": [[1], [2]]}, "field 'f0' has bags, but several values in a row have only 'f1', 's0'"),
    "rows": ({"f1": [[1]]}, "field 'f1': there are bags of 1 rows, expected 2"),
    "too large": ({"f1": [[1], [2, 60]]}, "row 1, field 'f1': id 60 is out of range, expected 0 to 59"),
    "negative": ({"s0": [[-2], []]}, "row 0, field 's0': id -2 is out of range, expected 0 to 59"),
    "uint64": (
        {"s0": ([0, 0, 1], np.array([2**64 - 1], np.uint64))},
        f"row 1, field 's0': id {2**63 - 1} is out of range, expected 0 to 59",
    ),
    "int32 and more": ({"f1": [[2**32], []]}, f"row 0, field 'f1': id {2**32} is out of range, expected 0 to 59"),
    "text": ({"f1": [["a"], []]}, "field 'f1': ids of bags are <U1 of shape (1,), expected a row of integers"),
    "numbers": ({"f1": [[1.0], []]}, "field 'f1': ids of bags are float64 of shape (1,), expected a row of integers"),
    "no lists": ({"f1": [1, 2]}, "field 'f1': its bags are no list of ids for each row"),
    "no sequence": ({"f1": 7}, "field 'f1': its bags are no list of ids for each row"),
    "falling": ({"f1": ([0, 2, 1], [1, 2])}, "row 1, field 'f1': its bag starts at 2 and ends at 1"),
    "late": ({"f1": ([1, 1, 2], [1, 2])}, "row 0, field 'f1': its bag starts at 1, expected 0"),
    "short": ({"f1": ([0, 1, 1], [1, 2])}, "row 1, field 'f1': its bag ends at 1, expected 2"),
    "beyond": ({"f1": ([0, 1, 3], [1, 2])}, "row 1, field 'f1': its bag ends at 3, expected 2"),
    "starts": ({"f1": ([0.0, 1.0, 2.0], [1, 2])}, "field 'f1': starts of bags are float64 of shape (3,)"),
    "nan": (
        {"f1": ([0, 1, 2], [1, 2], [1, np.nan])},
        "row 1, field 'f1': weight is nan, expected a finite number in fp32",
    ),
    "infinite": (
        {"f1": ([0, 1, 2], [-1, 2], [1e39, 1])},
        "row 0, field 'f1': weight is inf, expected a finite number in fp32",
    ),
    "weights": (
        {"f1": ([0, 1, 2], [1, 2], [1])},
        "field 'f1': weights of bags are int64 of shape (1,), expected a number for each of 2 ids",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(scorer, name):
    model = packed_mixed(4, "9 2x4 4", "60 raw raw", shared=(1,), poolings={"f1": "mean", "s0": "each"})
    bags, message = WRONG[name]
    with pytest.raises(DataError) as caught:
        scorer(model).predict(np.full((2, 3), -1), bags=bags)
    assert str(caught.value).startswith(message)


def test_a_row_has_an_id_or_a_bag(scorer):
    model = packed_mixed(4, "9 2x4 4", "60 raw raw", pads=(None, 5), poolings={"f1": "mean"})
    with pytest.raises(DataError, match="row 1, field 'f1': id 3 is given beside a bag, expected -1"):
        scorer(model).predict([[1, 5], [1, 3]], bags={"f1": [[1], []]})
    with pytest.raises(DataError, match="row 1, field 'f1': id 60 is"):
        scorer(model).predict([[1, 5], [1, 60]], bags={"f1": [[1], []]})


def test_a_model_without_such_fields_says_so(scorer):
    model = packed_mixed(4, "9 2x4 4")
    assert scorer(model).predict([[1]], bags={}).shape == (1,)
    with pytest.raises(DataError, match="field 'f0' has bags, but no field of the model has several values in a row"):
        scorer(model).predict([[-1]], bags={"f0": [[1]]})
