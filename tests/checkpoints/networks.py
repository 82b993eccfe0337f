"""Predictions of models with dense layers, by the textbook formulas, in fp64."""

import numpy as np

from fmcompress.fm.activations import ACTIVATIONS


def predict(ckpt, ids, values=None, lists=None):
    """Return the predictions of rows.

    Args:
        ckpt: the checkpoint.
        ids: (rows, fields of ids), -1 of none.
        values: (rows, numeric fields).
        lists: lists of ids of each row, by name of a pooled field.
    """
    linear, vectors = [], []
    for number, name in enumerate(ckpt.schema.id_names):
        first = ckpt.schema.id_offsets[number]
        own = (lists or {}).get(name, [[each] if each >= 0 else [] for each in ids[:, number]])
        pooling = ckpt.schema.poolings.get(name)
        w, v = ckpt.linear.astype(np.float64), ckpt.embeddings.astype(np.float64)
        pooled = [pooling.linear, pooling.embedding] if pooling else ["sum", "sum"]
        linear.append([_pooled(w[[first + each for each in row]], pooled[0], ()) for row in own])
        vectors.append([_pooled(v[[first + each for each in row]], pooled[1], (ckpt.dim,)) for row in own])
    raw = []
    for number, field in enumerate(ckpt.schema.numeric):
        value = np.asarray(values, np.float64)[:, number]
        linear.append(value * ckpt.numeric.linear[number])
        if field.linear_only:
            raw.append(value)
        else:
            vectors.append(value[:, None] * ckpt.numeric.embeddings[number].astype(np.float64))
    q = np.stack([np.asarray(each) for each in vectors], axis=1)
    crossed = 0.5 * (q.sum(axis=1) ** 2 - (q**2).sum(axis=1))
    logit = ckpt.bias + np.sum(linear, axis=0)
    network = ckpt.network
    if network is None or network.of_kind.pairwise:
        logit = logit + crossed.sum(axis=1)
    if network is not None:
        x = q.reshape(len(q), -1) if network.of_kind.concatenated else crossed
        x = np.concatenate([x, *[each[:, None] for each in raw]], axis=1)
        for layer in network.layers:
            x = ACTIVATIONS[layer.activation].apply(x @ layer.weight.T.astype(np.float64) + layer.bias)
        logit = logit + x[:, 0]
    return ckpt.link_function.predict(logit)


def _pooled(rows, pooling, shape):
    if not len(rows):
        return np.zeros(shape)
    return rows.mean(axis=0) if pooling == "mean" else rows.sum(axis=0)
