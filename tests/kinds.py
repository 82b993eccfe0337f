"""A factorization machine with fields of every kind, rows for it, and its formula written out."""

import numpy as np

from fmcompress.checkpoints import FMCheckpoint
from fmcompress.data.batch import Batch
from fmcompress.fm.field_vocabulary import FieldVocabulary
from fmcompress.fm.links import parse_link
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.fm.schema import Field, NumericField, Schema, SharedField
from fmcompress.fm.vocabulary import Vocabulary

SCHEMA = Schema.in_order(
    [
        NumericField("price"),
        Field("user", 40, pad=0),
        SharedField("bought", "item"),
        Field("item", 60),
        NumericField("age", linear_only=True),
        SharedField("seen", "item"),
        Field("city", 7, pad=6),
    ]
)
LINKS = ("sigmoid", "probit", "identity", "clip:-1:1")
VOCABULARY = Vocabulary(
    {
        "user": FieldVocabulary.of({f"u{number}": number for number in range(1, 40)}, oov=39, missing=0),
        "item": FieldVocabulary.of({f"größe {number}": number for number in range(60)}),
    }
)


def checkpoint(link="sigmoid", *, dim=6, seed=0, counts=True, vocabulary=True):
    """Return a random factorization machine; its logits spread over some units."""
    rng = np.random.default_rng(seed)
    linear = rng.normal(size=SCHEMA.categories).astype(np.float32) * np.float32(0.7)
    embeddings = rng.normal(size=(SCHEMA.categories, dim)).astype(np.float32) * np.float32(0.4)
    for offset, field in zip(SCHEMA.offsets, SCHEMA.fields, strict=True):
        if field.pad is not None:
            linear[offset + field.pad], embeddings[offset + field.pad] = 0, 0
    numeric = rng.normal(size=(len(SCHEMA.numeric), dim)).astype(np.float32) * np.float32(0.4)
    numeric[[field.linear_only for field in SCHEMA.numeric]] = 0
    return FMCheckpoint(
        SCHEMA,
        float(np.float32(-0.4)),
        linear,
        embeddings,
        link=link,
        counts=rng.integers(1, 500, SCHEMA.categories) if counts else None,
        numeric=NumericWeights(np.array([0.3, -0.2], np.float32), numeric),
        vocabulary=VOCABULARY if vocabulary else None,
    )


def batch(ckpt, rows, *, missing=0.1, seed=1):
    """Return rows with ids as readers give them, PAD as missing, and labels that the model draws."""
    rng = np.random.default_rng(seed)
    schema = ckpt.schema
    ids = rng.integers(0, schema.id_cardinalities, (rows, len(schema.tables))).astype(np.int32)
    ids[(rng.random(ids.shape) < missing) | (ids == schema.pads)] = -1
    values = rng.normal(size=(rows, len(schema.numeric))).astype(np.float32)
    values[rng.random(values.shape) < missing] = 0
    predictions = formula(ckpt, ids, values)
    if parse_link(ckpt.link).regression:
        labels = predictions + 0.3 * rng.normal(size=rows)
    else:
        labels = rng.random(rows) < predictions
    return Batch(ids, labels.astype(np.float32), values)


def logits(ckpt, ids, values, bags=None):
    """Return logits, float64 (rows,), by the sum over all pairs of what is active in a row; bags are whole."""
    found = np.empty(len(ids))
    for row, (own_ids, own_values) in enumerate(zip(ids, values, strict=True)):
        linear, vectors = [ckpt.bias], []
        for category, table in zip(own_ids, ckpt.schema.tables, strict=True):
            if category >= 0:
                place = ckpt.schema.offsets[table] + category
                linear.append(ckpt.linear[place])
                vectors.append(ckpt.embeddings[place].astype(np.float64))
        for name, bag in (bags or {}).items():
            for weight, vector in pooled(ckpt, name, bag, row):
                linear.append(weight)
                vectors.append(vector)
        for value, weight, vector in zip(own_values, ckpt.numeric.linear, ckpt.numeric.embeddings, strict=True):
            linear.append(value * np.float64(weight))
            vectors.append(value * vector.astype(np.float64))
        pairs = sum(a @ b for number, a in enumerate(vectors) for b in vectors[:number])
        found[row] = sum(linear) + pairs
    return found


def pooled(ckpt, name, bag, row):
    """Return linear weights and embeddings, in double, of the terms that the values of a field are in a row."""
    own = slice(bag.starts[row], bag.starts[row + 1])
    places = ckpt.schema.id_offsets[ckpt.schema.id_names.index(name)] + bag.ids[own]
    weights = np.ones(len(places)) if bag.weights is None else bag.weights[own].astype(np.float64)
    linear = weights * ckpt.linear[places].astype(np.float64)
    vectors = weights[:, None] * ckpt.embeddings[places].astype(np.float64)
    pooling = ckpt.schema.poolings[name]
    if pooling.embedding == "each":
        return list(zip(linear, vectors, strict=True))
    scale = {"sum": 1, "mean": 1 / max(len(places), 1), "sqrtn": 1 / max(len(places), 1) ** 0.5}
    pair = scale[pooling.linear] * linear.sum(), scale[pooling.embedding] * vectors.sum(axis=0)
    return [pair] if len(places) else []


def formula(ckpt, ids, values):
    """Return predictions, float64 (rows,)."""
    return parse_link(ckpt.link).predict(logits(ckpt, ids, values)).astype(np.float64)
