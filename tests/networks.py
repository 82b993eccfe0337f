"""DeepFMs and NFMs with fields of all kinds, rows for them, and their formula written out."""

from dataclasses import replace
from itertools import pairwise

import numpy as np

from fmcompress.checkpoints import FMCheckpoint
from fmcompress.data.batch import Batch
from fmcompress.fm.bags import Bag
from fmcompress.fm.network import DenseLayer, Network, input_size
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.fm.pooling import parse_pooling
from fmcompress.fm.schema import Field, NumericField, Schema, SharedField

KINDS = ("deepfm", "nfm")
PLAIN = Schema.of([("user", 30), ("item", 40), ("day", 7)])
_FUNCTIONS = {
    "identity": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.maximum(x, 0.01 * x),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "elu": lambda x: np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1),
}


def every_kind():
    """Return fields of every kind: with PAD, shared, several values in a row, numeric, linear only."""
    return Schema.in_order(
        [
            Field("user", 30, pad=0),
            NumericField("age"),
            Field("genres", 9, pad=0, pooling=parse_pooling("mean")),
            Field("item", 40),
            NumericField("price", linear_only=True),
            SharedField("last", "item"),
            SharedField("history", "item", parse_pooling("sqrtn/sum")),
        ]
    )


def network(kind, schema, dim, hidden=(6, 4), activation="relu", seed=0):
    """Return random dense layers that fit the fields."""
    rng = np.random.default_rng([seed, 5])
    layers = []
    for inputs, outputs in pairwise((input_size(kind, schema, dim), *hidden, 1)):
        weight = (rng.normal(size=(outputs, inputs)) * (2 / inputs) ** 0.5).astype(np.float32)
        layers.append(DenseLayer(weight, rng.normal(size=outputs).astype(np.float32) * np.float32(0.3), activation))
    layers[-1] = DenseLayer(layers[-1].weight, layers[-1].bias)
    return Network(kind, tuple(layers))


def checkpoint(kind, schema=None, *, dim=5, seed=0, link="sigmoid", counts=False, **changes):
    """Return a random model with a network; its logits spread over some units."""
    own = schema or every_kind()
    rng = np.random.default_rng(seed)
    linear = rng.normal(size=own.categories).astype(np.float32) * np.float32(0.5)
    embeddings = rng.normal(size=(own.categories, dim)).astype(np.float32) * np.float32(0.5)
    for offset, field in zip(own.offsets, own.fields, strict=True):
        if field.pad is not None:
            linear[offset + field.pad], embeddings[offset + field.pad] = 0, 0
    embedded = np.array([[not field.linear_only] for field in own.numeric], dtype=bool).reshape(-1, 1)
    of_numeric = rng.normal(size=(len(own.numeric), dim)) * 0.4 * embedded
    numeric = NumericWeights(rng.normal(size=len(own.numeric)).astype(np.float32), of_numeric.astype(np.float32))
    seen = rng.integers(0, 50, own.categories) if counts else None
    dense = network(kind, own, dim, seed=seed, **changes)
    return FMCheckpoint(own, -0.3, linear, embeddings, link=link, numeric=numeric, counts=seen, network=dense)


def quantized_with(model, kind, value_bytes=None, **changes):
    """Return a quantized model with random dense layers on top, with weights of so many bytes."""
    dense = network(kind, model.schema, model.dim, **changes)
    return replace(model, network=dense, network_bytes=value_bytes)


def batch(ckpt, rows, *, seed=1):
    """Return rows as readers give them, with labels that the model draws."""
    own, rng = ckpt.schema, np.random.default_rng(seed)
    ids = rng.integers(0, own.id_cardinalities, (rows, len(own.tables))).astype(np.int32)
    ids[rng.random(ids.shape) < 0.1] = -1
    ids[ids == own.pads] = -1
    bags = {}
    for name, pooling in own.poolings.items():
        column = own.id_names.index(name)
        ids[:, column] = -1
        starts = np.concatenate(([0], np.cumsum(rng.integers(0, 4, rows))))
        drawn = rng.integers(1, own.id_cardinalities[column], starts[-1]).astype(np.int32)
        weights = rng.normal(1, 0.5, starts[-1]).astype(np.float32) if str(pooling) != "mean" else None
        bags[name] = Bag(starts, drawn, weights)
    values = rng.normal(size=(rows, len(own.numeric))).astype(np.float32)
    found = Batch(ids, np.zeros(rows, np.float32), values, bags=bags)
    labels = rng.random(rows) < 1 / (1 + np.exp(-logits(ckpt, found)))
    return replace(found, labels=labels.astype(np.float32))


def logits(ckpt, rows):
    """Return logits, float64 (rows,), row by row: pairs of fields, and dense layers."""
    return np.array([_logit(ckpt, rows, row) for row in range(len(rows.ids))])


def _logit(ckpt, rows, row):
    own, vectors, total = ckpt.schema, [], ckpt.bias
    for column, (name, table) in enumerate(zip(own.id_names, own.tables, strict=True)):
        ids, embedding, linear = [rows.ids[row, column]], [1.0], [1.0]
        if name in rows.bags:
            bag = rows.bags[name]
            values = slice(bag.starts[row], bag.starts[row + 1])
            ids, weights = bag.ids[values], np.ones(len(bag.ids)) if bag.weights is None else bag.weights
            scales = {"sum": 1.0, "mean": 1 / max(len(ids), 1), "sqrtn": max(len(ids), 1) ** -0.5}
            of_embedding, _, of_linear = str(own.poolings[name]).partition("/")
            embedding = weights[values] * scales[of_embedding]
            linear = weights[values] * scales[of_linear or of_embedding]
        vector = np.zeros(ckpt.dim)
        for i, c, d in zip(ids, embedding, linear, strict=True):
            if i >= 0:
                vector += c * ckpt.embeddings[own.offsets[table] + i].astype(np.float64)
                total += d * float(ckpt.linear[own.offsets[table] + i])
        vectors.append(vector)
    raw = []
    for x, field, w, v in zip(rows.values[row], own.numeric, ckpt.numeric.linear, ckpt.numeric.embeddings, strict=True):
        total += float(x) * float(w)
        if field.linear_only:
            raw.append(float(x))
        else:
            vectors.append(float(x) * v.astype(np.float64))
    pairs = [a * b for number, a in enumerate(vectors) for b in vectors[:number]]
    interactions = sum(pairs, np.zeros(ckpt.dim))
    if ckpt.network.kind == "deepfm":
        total += interactions.sum()
    x = np.concatenate([*(vectors if ckpt.network.kind == "deepfm" else [interactions]), raw])
    for layer in ckpt.network.layers:
        x = _FUNCTIONS[layer.activation](layer.weight.astype(np.float64) @ x + layer.bias)
    return total + x[0]
