"""Categories in rows, and what candidates do to the logits of these, against plain loops."""

import numpy as np

from fmcompress.methods.auto.candidates import WeightsCandidate
from fmcompress.methods.auto.held_out_shifts import LogitShifts, by_category, row_uses
from fmcompress.methods.auto.held_out_tiers import TierCodebooks, seen_categories
from tests.field_weights import random_field

FIELD = random_field(80, 4)
IDS = np.array([5, -1, 9, 5, 70, 9, -1, -1, 70, 3], dtype=np.int32)  # two uses of five rows


def tiers_of(ids=IDS, of=None):
    seen = seen_categories(FIELD, ids, 5, np.arange(len(ids) // 5))
    of = np.zeros(80, np.uint8) if of is None else of
    return seen, [TierCodebooks.of(tier, [work() for work in tier.works(0)], compact=False) for tier in seen.tiers(of)]


def test_the_categories_of_rows_and_the_uses_of_their_table():
    seen, _ = tiers_of()
    assert seen.categories.tolist() == [3, 5, 9, 70]
    assert seen.rows.tolist() == [0, 2, 3, 4, 0, 3, 4]
    assert seen.categories[seen.place].tolist() == [5, 9, 5, 70, 9, 70, 3]
    assert [seen.rows[use].tolist() for use in seen.by_use()] == [[0, 2, 3, 4], [0, 3, 4]]
    np.testing.assert_array_equal(seen.embeddings, FIELD.embeddings[[3, 5, 9, 70]])


def test_tiers_know_which_of_their_categories_are_seen():
    of = (np.arange(80) > 8).astype(np.uint8)
    _, (frequent, rare) = tiers_of(of=of)
    assert frequent.tier.members.tolist() == [3, 5]
    assert frequent.tier.places.tolist() == [0, 1]
    assert rare.tier.members.tolist() == [0, 61]
    assert rare.tier.places.tolist() == [2, 3]
    np.testing.assert_array_equal(rare.tier.weights.embeddings, FIELD.embeddings[9:])


def test_candidates_are_raw_or_of_the_codebooks_that_were_made():
    _, (tier,) = tiers_of()
    raw = tier.candidates[0]
    np.testing.assert_array_equal(tier.decoded(raw), FIELD.embeddings[[3, 5, 9, 70]])
    np.testing.assert_array_equal(tier.decoded_linear(()), FIELD.linear[[3, 5, 9, 70]])
    expected = tier.expected()
    assert expected.embeddings[0].error == 0
    for candidate, priced in zip(tier.candidates[1:], expected.embeddings[1:], strict=True):
        made = tier.codebooks_of(candidate)
        assert (made.metric, len(made.by_size)) == (candidate.metric, len(candidate.codewords))
        assert priced.error == made.expected(candidate.codewords)
        assert tier.decoded(candidate).shape == (4, 4)


def test_shifts_of_logits_are_those_of_all_pairs_in_a_row():
    """Fields that share a table may have it twice in a row: their own product changes too."""
    seen, (tier,) = tiers_of()
    uses, others = (
        row_uses(seen, np.arange(len(seen.rows))),
        np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32),
    )
    sums = others.copy()
    np.add.at(sums, seen.rows, seen.embeddings[seen.place])
    current = seen.embeddings[seen.place]
    shifts = LogitShifts(tier, seen.place, current, sums[seen.rows] - current)
    for candidate in tier.candidates:
        found = uses.summed(shifts.of([candidate]))[:, 0] + uses.products(lambda one=candidate: shifts.vectors(one))
        decoded = tier.decoded(candidate)
        for place, row in enumerate(uses.rows):
            own = seen.place[seen.rows == row]
            before, after = (
                [others[row].astype(np.float64), *table[own].astype(np.float64)] for table in (seen.embeddings, decoded)
            )
            pairs = [sum(a @ b for n, a in enumerate(vectors) for b in vectors[:n]) for vectors in (before, after)]
            assert abs(found[place] - (pairs[1] - pairs[0])) < 1e-4


def test_a_shared_vector_is_the_weighted_mean():
    _, (tier,) = tiers_of()
    decoded = tier.decoded(WeightsCandidate((1,), 0.0))
    mean = np.average(FIELD.embeddings, axis=0, weights=FIELD.frequencies)
    np.testing.assert_allclose(decoded, np.tile(mean, (4, 1)), rtol=1e-3, atol=1e-5)


def test_shifts_of_many_candidates_are_those_of_each_whatever_the_order_of_uses():
    seen, (tier,) = tiers_of()
    others = np.random.default_rng(0).normal(size=(len(seen.rows), 4)).astype(np.float32)
    current = seen.embeddings[seen.place]
    order = by_category(seen.place)
    shifts = LogitShifts(tier, seen.place, current, others)
    sorted_shifts = LogitShifts(tier, seen.place[order], current[order], others[order])
    found = shifts.of(tier.candidates)
    assert np.allclose(sorted_shifts.of(tier.candidates), found[order], atol=1e-6)
    for column, candidate in enumerate(tier.candidates):
        expected = np.einsum("rl,rl->r", shifts.vectors(candidate), others)
        assert np.allclose(found[:, column], expected, atol=1e-5)
    assert [one for some in shifts.chunks(tier.candidates) for one in some] == list(tier.candidates)
