"""Quantized models with fields of every kind, rows for them, and their plain predictions."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
from hypothesis import strategies as st

from fmcompress.artifact import unpack_model, with_vocabulary
from fmcompress.fm.bags import Bag
from fmcompress.fm.field_vocabulary import FieldVocabulary
from fmcompress.fm.links import parse_link
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.fm.pooling import parse_pooling
from fmcompress.fm.quantized_fm import QuantizedFM
from fmcompress.fm.schema import Field, NumericField, Schema, SharedField
from fmcompress.fm.tiers import Tiers
from fmcompress.fm.vocabulary import Vocabulary
from tests import kinds
from tests.models import origin, pack_model, quantized
from tests.strategies import fields

LINKS = ("sigmoid", "probit", "identity", "clip:1:5", "clip:-0.1234567:1e+30")


def mixed(dim, *described, pads=(), shared=(), numeric=(), link="sigmoid", seed=0, poolings=None):
    """Return a quantized model with fields of every kind, in random order; ``described`` as in ``tests.models.SHAPES``.

    Args:
        dim: embedding size.
        described: fields with tables, f0, f1, …
        pads: PAD of each of them, None where there is none.
        shared: numbers of the tables that fields s0, s1, … share.
        numeric: of fields n0, n1, … whether they are linear only.
        link: from logit to prediction.
        seed: of all random numbers.
        poolings: of fields that may have several values in a row, by name.
    """
    pool = {name: parse_pooling(text) for name, text in (poolings or {}).items()}
    plain = quantized(dim, *described, seed=seed)
    rng = np.random.default_rng([seed, 2])
    pads = [*pads, *[None] * (len(plain.schema) - len(pads))]
    kinds_of = [
        [
            Field(field.name, field.cardinality, pad, pool.get(field.name))
            for field, pad in zip(plain.schema.fields, pads, strict=True)
        ],
        [SharedField(f"s{number}", f"f{table}", pool.get(f"s{number}")) for number, table in enumerate(shared)],
        [NumericField(f"n{number}", linear_only) for number, linear_only in enumerate(numeric)],
    ]
    turns = rng.permutation([kind for kind, own in enumerate(kinds_of) for _ in own])
    queues = [iter(own) for own in kinds_of]
    schema = Schema.in_order(next(queues[kind]) for kind in turns)
    embeddings = rng.normal(size=(len(numeric), dim)) * ~np.array(numeric, dtype=bool)[:, None] * 0.3
    weights = NumericWeights(rng.normal(size=len(numeric)).astype(np.float32), embeddings.astype(np.float32))
    tiers = Tiers(schema, plain.tiers.of)
    return QuantizedFM(schema, dim, link, plain.bias, plain.fields, tiers, weights)


def vocabulary_of(schema, *, seed=0):
    """Return a vocabulary of some fields of a schema, with tokens that are hard on it."""
    rng = np.random.default_rng([seed, 3])
    found = {}
    for name, cardinality in zip(schema.id_names, schema.id_cardinalities.tolist(), strict=True):
        if rng.random() < 0.7:
            tokens = {f"{rng.choice(['u', 'größe ', '', '🛒', chr(0xD800)])}{t}": t for t in range(cardinality)}
            ids = {token: int(rng.integers(cardinality)) for token in tokens}
            oov, missing = (int(rng.integers(cardinality)) if rng.random() < 0.5 else None for _ in range(2))
            found[name] = FieldVocabulary.of(ids, oov=oov, missing=missing)
    return Vocabulary(found)


@st.composite
def mixed_models(draw, most_categories=40):
    """Return any quantized model, with fields of all kinds or only some, and any link."""
    dim = draw(st.integers(1, 6))
    described = draw(st.lists(fields(dim, most_tiers=3, most_categories=most_categories), min_size=1, max_size=3))
    sizes = [sum(int(tier.split()[0]) for tier in field.split("|")) for field in described]
    return mixed(
        dim,
        *described,
        pads=[draw(st.none() | st.integers(0, size - 1)) for size in sizes],
        shared=draw(st.lists(st.integers(0, len(sizes) - 1), max_size=3)),
        numeric=draw(st.lists(st.booleans(), max_size=3)),
        link=draw(st.sampled_from(LINKS)),
        seed=draw(st.integers(0, 99)),
    )


def packed_mixed(*args, vocabulary=False, **changes):
    """Return the packed form of a model of ``mixed``."""
    model = mixed(*args, **changes)
    return with_vocabulary(pack_model(model, origin()), vocabulary_of(model.schema) if vocabulary else None)


def with_poolings(model, poolings):
    """Return a packed model of which some fields may have several values in a row, by their names."""
    schema = model.schema
    pool = {name: parse_pooling(text) for name, text in poolings.items()}
    fields = tuple(replace(field, pooling=pool.get(field.name)) for field in schema.fields)
    frame = replace(model.header.frame, schema=replace(schema, fields=fields))
    return replace(model, header=replace(model.header, frame=frame))


def random_rows(schema, rows, *, seed=0, missing=0.2):
    """Return random ids, int32 (rows, ids), and values, float32 (rows, numeric fields), some of them missing."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, schema.id_cardinalities, (rows, len(schema.tables))).astype(np.int32)
    ids[rng.random(ids.shape) < missing] = -1
    ids = np.where(rng.random(ids.shape) < 0.1, schema.pads, ids).astype(np.int32)
    values = rng.normal(size=(rows, len(schema.numeric))).astype(np.float32)
    values[rng.random(values.shape) < missing] = np.nan
    return ids, values


def random_bags(schema, ids, *, seed=0, most=7, weighted=True, missing=0.1):
    """Return bags of the fields that may have several values in a row, some empty, with ids that are missing.

    Args:
        schema: the fields.
        ids: of the same rows, int32 (rows, ids): those of the fields in question become -1, or PAD.
        seed: of all random numbers.
        most: values in a row.
        weighted: whether every second field has weights.
        missing: how many values are, or are PAD.
    """
    rng = np.random.default_rng([seed, 7])
    bags = {}
    for number, name in enumerate(schema.poolings):
        column = schema.id_names.index(name)
        ids[:, column] = np.where(rng.random(len(ids)) < 0.5, -1, schema.pads[column])
        starts = np.concatenate(([0], np.cumsum(rng.integers(0, most + 1, len(ids)) * (rng.random(len(ids)) < 0.8))))
        values = rng.integers(0, schema.id_cardinalities[column], starts[-1]).astype(np.int32)
        values[rng.random(len(values)) < missing] = -1
        values[rng.random(len(values)) < missing] = schema.pads[column]
        weights = rng.normal(size=len(values)).astype(np.float32) if weighted and number % 2 == 0 else None
        bags[name] = Bag(starts, values, weights)
    return bags


def whole_bags(schema, bags):
    """Return bags without the values that are missing."""
    pads = dict(zip(schema.id_names, schema.pads, strict=True))
    return {name: bag.without((bag.ids == -1) | (bag.ids == pads[name])) for name, bag in bags.items()}


def plain_predictions(model, ids, values, bags=None):
    """Return the predictions of a packed model by the textbook formula, in float64, from all pairs of a row."""
    working = unpack_model(model)
    schema, parts = working.schema, iter(working.fields)
    embeddings = np.empty((schema.categories, working.dim))
    linear = np.empty(schema.categories)
    for number, of in enumerate(schema.split(working.tiers.of)):
        for tier in range(of.max() + 1):
            part, rows = next(parts), schema.rows(number).start + np.flatnonzero(of == tier)
            embeddings[rows], linear[rows] = part.embeddings(), part.linear()
    decoded = SimpleNamespace(
        schema=schema, bias=working.bias, linear=linear, embeddings=embeddings, numeric=working.numeric
    )
    present = np.where(ids == schema.pads, -1, ids)
    whole = whole_bags(schema, bags or {})
    return parse_link(working.link).predict(kinds.logits(decoded, present, np.nan_to_num(values), whole))
