"""Predictions of DeepFMs and NFMs, and derivatives of their logits, against the formula written out."""

from dataclasses import replace

import numpy as np
import pytest

from fmcompress.fm.activations import ACTIVATIONS
from fmcompress.fm.scorers import scorer_of
from tests import networks
from tests.models import sigmoid


@pytest.mark.parametrize("kind", networks.KINDS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_predictions_are_those_of_the_formula(kind, activation):
    ckpt = networks.checkpoint(kind, activation=activation)
    rows = networks.batch(ckpt, 40)
    found = scorer_of(ckpt).predict(rows.ids, rows.values, bags=rows.bags)
    np.testing.assert_allclose(found, sigmoid(networks.logits(ckpt, rows)), atol=1e-5)


@pytest.mark.parametrize("kind", networks.KINDS)
def test_slopes_are_what_logits_change_by(kind):
    ckpt = networks.checkpoint(kind, activation="tanh")
    rows = networks.batch(ckpt, 15)
    scored = scorer_of(ckpt).score(rows.ids, rows.values, rows.bags)
    rng, step = np.random.default_rng(3), 1e-4
    for column, table in enumerate(ckpt.schema.tables[:3]):
        if ckpt.schema.id_names[column] in rows.bags:
            continue
        slopes = scored.slopes(column)
        along = rng.normal(size=ckpt.dim)
        for row in np.flatnonzero(rows.ids[:, column] >= 0)[:5]:
            category = ckpt.schema.offsets[table] + rows.ids[row, column]
            uses = [c for c, t in enumerate(ckpt.schema.tables) if t == table and c != column]
            if any(rows.ids[row, c] == rows.ids[row, column] for c in uses):
                continue
            shift = np.zeros(ckpt.embeddings.shape)
            shift[category] = along * step
            one = replace(rows, ids=rows.ids[row : row + 1], labels=rows.labels[:1], values=rows.values[row : row + 1])
            one = replace(one, bags={name: bag.take(slice(row, row + 1)) for name, bag in rows.bags.items()})
            if any(category - ckpt.schema.offsets[table] in bag.ids for bag in one.bags.values()):
                continue
            up, down = (
                networks.logits(_moved(ckpt, ckpt.embeddings.astype(np.float64) + sign * shift), one)[0]
                for sign in (1, -1)
            )
            np.testing.assert_allclose(slopes[row] @ along, (up - down) / (2 * step), rtol=2e-3, atol=1e-3)


class _moved:
    """The same model with embeddings in float64."""

    def __init__(self, ckpt, embeddings):
        self.__dict__.update({name: getattr(ckpt, name) for name in ("schema", "bias", "linear", "numeric", "network")})
        self.embeddings, self.dim = embeddings, ckpt.dim
