"""Fields with several values in a row: what they mean, and the checkpoints, rows and specs that have them."""

import numpy as np
import pytest

import fmcompress as fc
from fmcompress.data.batch import Batch, concatenate
from fmcompress.errors import UsageError
from fmcompress.fm.bags import Bag, concatenate_bags
from fmcompress.fm.field_specs import format_fields, parse_fields
from fmcompress.fm.pooling import Pooling, parse_pooling
from fmcompress.fm.schema import Field, SharedField
from fmcompress.fm.scorer import FMScorer
from tests import pooled

POOLINGS = ["sum", "mean", "sqrtn", "each", "mean/sum", "sum/mean", "sqrtn/sum"]


@pytest.mark.parametrize("text", POOLINGS)
def test_a_pooling_is_written_in_one_way(text):
    assert str(parse_pooling(text)) == text


@pytest.mark.parametrize("text", ["", "max", "mean/mean", "each/sum", "each/mean", "mean/", "/sum", "mean/max", "Mean"])
def test_another_pooling_is_refused(text):
    with pytest.raises(UsageError, match="pooling"):
        parse_pooling(text)


def test_fields_with_a_pooling_are_written_as_they_are_read():
    text = "user:30,genres:9:mean/sum,item:40,history=item:sqrtn,words:20:each,price:numeric"
    schema = parse_fields(text)
    assert format_fields(schema) == text
    assert schema.fields[1] == Field("genres", 9, pooling=Pooling("mean", "sum"))
    assert schema.shared == (SharedField("history", "item", Pooling("sqrtn", "sqrtn")),)
    assert list(schema.poolings) == ["genres", "words", "history"]
    with pytest.raises(UsageError, match="'genres:9:max' is not name:size"):
        parse_fields("genres:9:max")


def test_rows_of_bags_are_taken_joined_and_thinned_out():
    bag = Bag(np.array([0, 2, 2, 5]), np.array([3, 1, 4, 1, 5], np.int32), np.arange(5, dtype=np.float32))
    lists = [[3, 1], [], [4, 1, 5]]

    def as_lists(found):
        return [found.ids[found.starts[r] : found.starts[r + 1]].tolist() for r in range(len(found))]

    for rows in (slice(1, 3), slice(2), slice(None), slice(3, 9), np.array([2, 0, 2]), np.array([True, False, True])):
        taken = bag.take(rows)
        expected = [lists[row] for row in np.arange(3)[rows]]
        assert as_lists(taken) == expected
        assert len(taken.weights) == len(taken.ids)
    assert as_lists(concatenate_bags([bag, bag.take(slice(0, 0)), bag])) == lists + lists
    mixed = concatenate_bags([Bag(bag.starts, bag.ids), bag])
    assert mixed.weights.tolist() == [1] * 5 + [0, 1, 2, 3, 4]
    assert as_lists(bag.without(bag.ids == 1)) == [[3], [], [4, 5]]
    assert as_lists(Bag.of_single(np.array([4, -1, 2], np.int32))) == [[4], [], [2]]


@pytest.mark.parametrize("link", ["sigmoid", "identity"])
@pytest.mark.parametrize("poolings", [(), ("sum", "each", "sqrtn/sum", "mean"), ("each",) * 4])
def test_the_scorer_pools_as_the_formula_does(poolings, link):
    ckpt = pooled.checkpoint(pooled.schema(*poolings), link=link)
    rows = pooled.batch(ckpt, 60)
    found, sums = FMScorer(ckpt).logits_and_sums(rows.ids, rows.values, rows.bags)
    np.testing.assert_allclose(found, pooled.logits(ckpt, rows), atol=1e-4)
    np.testing.assert_allclose(
        FMScorer(ckpt).predict(rows.ids, rows.values, bags=rows.bags), pooled.formula(ckpt, rows), atol=1e-4
    )
    # A row is what it is, whatever rows stand beside it.
    again = concatenate([rows.take(slice(7)), rows.take(np.arange(7, 60))])
    np.testing.assert_allclose(
        FMScorer(ckpt).predict(again.ids, again.values, bags=again.bags),
        FMScorer(ckpt).predict(rows.ids, rows.values, bags=rows.bags),
        atol=1e-6,
    )
    assert sums.shape == (60, ckpt.dim)


def test_the_derivative_by_each_value_is_what_the_scorer_says():
    ckpt = pooled.checkpoint()
    rows = pooled.batch(ckpt, 12)
    scorer = FMScorer(ckpt)
    scored = scorer.score(rows.ids, rows.values, rows.bags)
    rng = np.random.default_rng(3)
    for name, bag in rows.bags.items():
        column = ckpt.schema.id_names.index(name)
        others = scored.value_slopes(column, bag, ckpt.schema.poolings[name])
        table = ckpt.schema.tables[column]
        for place in rng.permutation(len(bag.ids))[:5]:
            row = int(bag.rows[place])
            alone = np.flatnonzero(bag.ids[bag.starts[row] : bag.starts[row + 1]] == bag.ids[place])
            if len(alone) > 1 or name == "history":  # its category is in the row in another place too
                continue
            step = np.zeros_like(ckpt.embeddings)
            step[ckpt.schema.offsets[table] + bag.ids[place]] = rng.normal(size=ckpt.dim) * 1e-2
            moved = [
                pooled.logits(fc.FMCheckpoint(ckpt.schema, ckpt.bias, ckpt.linear, ckpt.embeddings + sign * step), rows)
                for sign in (1, -1)
            ]
            slope = (moved[0] - moved[1])[row] / 2
            assert others[place] @ step[ckpt.schema.offsets[table] + bag.ids[place]] == np.float32(slope) or np.isclose(
                others[place] @ step[ckpt.schema.offsets[table] + bag.ids[place]], slope, rtol=1e-3, atol=1e-5
            )


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_checkpoint_keeps_its_poolings(tmp_path, suffix):
    ckpt = pooled.checkpoint()
    fc.save_checkpoint(ckpt, tmp_path / f"fm{suffix}")
    found = fc.load_checkpoint(tmp_path / f"fm{suffix}")
    assert found.schema == ckpt.schema
    assert isinstance(pooled.batch(found, 3), Batch)
