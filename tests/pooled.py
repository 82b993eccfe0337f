"""A factorization machine with fields of several values in a row, rows for it, and its formula written out."""

import numpy as np

from fmcompress.checkpoints import FMCheckpoint
from fmcompress.data.batch import Batch
from fmcompress.fm.bags import Bag
from fmcompress.fm.links import parse_link
from fmcompress.fm.pooling import parse_pooling
from fmcompress.fm.schema import Field, Schema, SharedField

_SCALES = {"sum": lambda m: 1.0, "mean": lambda m: 1 / m, "sqrtn": lambda m: m**-0.5}
WEIGHTED = ("tags", "words")


def schema(*poolings):
    """Return fields with one value and with several, in tables of their own and in shared ones, with a PAD and without.

    Args:
        poolings: of the fields ``genres``, ``tags``, ``words`` and ``history``; mean, mean/sum, each and sqrtn.
    """
    genres, tags, words, history = map(parse_pooling, poolings or ("mean", "mean/sum", "each", "sqrtn"))
    return Schema.in_order(
        [
            Field("user", 30),
            Field("genres", 9, pad=0, pooling=genres),
            Field("item", 40),
            Field("tags", 25, pooling=tags),
            SharedField("history", "item", history),
            Field("words", 20, pooling=words),
        ]
    )


def checkpoint(own=None, *, dim=5, link="sigmoid", seed=0):
    """Return a random factorization machine; its logits spread over some units."""
    own = own or schema()
    rng = np.random.default_rng(seed)
    linear = rng.normal(size=own.categories).astype(np.float32) * np.float32(0.5)
    embeddings = rng.normal(size=(own.categories, dim)).astype(np.float32) * np.float32(0.4)
    for offset, field in zip(own.offsets, own.fields, strict=True):
        if field.pad is not None:
            linear[offset + field.pad], embeddings[offset + field.pad] = 0, 0
    return FMCheckpoint(own, -0.3, linear, embeddings, link=link)


def batch(ckpt, rows, *, values=4, seed=1):
    """Return rows as readers give them, with labels that the model draws; some bags are empty, one is long."""
    rng = np.random.default_rng(seed)
    own = ckpt.schema
    ids = rng.integers(0, own.id_cardinalities, (rows, len(own.tables))).astype(np.int32)
    ids[rng.random(ids.shape) < 0.1] = -1
    bags = {}
    for column, name in enumerate(own.id_names):
        if name not in own.poolings:
            continue
        ids[:, column] = -1
        counts = rng.integers(0, values, rows)
        counts[rows // 2] = 17
        starts = np.concatenate(([0], np.cumsum(counts)))
        first = 1 if own.pads[column] == 0 else 0
        drawn = rng.integers(first, own.id_cardinalities[column], starts[-1]).astype(np.int32)
        weights = rng.normal(1, 0.5, starts[-1]).astype(np.float32) if name in WEIGHTED else None
        bags[name] = Bag(starts, drawn, weights)
    unlabelled = Batch(ids, np.zeros(rows, np.float32), bags=bags)
    predictions = formula(ckpt, unlabelled)
    if parse_link(ckpt.link).regression:
        labels = predictions + 0.3 * rng.normal(size=rows)
    else:
        labels = rng.random(rows) < predictions
    return Batch(ids, labels.astype(np.float32), bags=bags)


def logits(ckpt, rows):
    """Return logits, float64 (rows,), by the sum over all pairs of terms of a row."""
    own, found = ckpt.schema, np.empty(len(rows))
    for row in range(len(rows)):
        linear, vectors = [ckpt.bias], []
        for column, (name, table) in enumerate(zip(own.id_names, own.tables, strict=True)):
            if name not in rows.bags:
                category = rows.ids[row, column]
                if category >= 0:
                    linear.append(ckpt.linear[own.offsets[table] + category])
                    vectors.append(ckpt.embeddings[own.offsets[table] + category].astype(np.float64))
                continue
            bag, pooling = rows.bags[name], own.poolings[name]
            values = slice(bag.starts[row], bag.starts[row + 1])
            places = own.offsets[table] + bag.ids[values]
            weights = np.ones(len(places)) if bag.weights is None else bag.weights[values].astype(np.float64)
            if not len(places):
                continue
            linear.append(_SCALES[pooling.linear](len(places)) * (weights @ ckpt.linear[places].astype(np.float64)))
            terms = weights[:, None] * ckpt.embeddings[places].astype(np.float64)
            if pooling.each:
                vectors.extend(terms)
            else:
                vectors.append(_SCALES[pooling.embedding](len(places)) * terms.sum(axis=0))
        pairs = sum(a @ b for number, a in enumerate(vectors) for b in vectors[:number])
        found[row] = sum(linear) + pairs
    return found


def formula(ckpt, rows):
    """Return predictions, float64 (rows,)."""
    return parse_link(ckpt.link).predict(logits(ckpt, rows)).astype(np.float64)
