"""The FM of FuxiCTR (``fuxictr``), a bare state_dict named ``FM_….model``.

embedding_layer.embedding_layer.embedding_layers.F.weight                 (V_F, dim), numeric (dim, 1)
fm.lr_layer.embedding_layer.embedding_layer.embedding_layers.F.weight     (V_F, 1), numeric (1, 1)
fm.lr_layer.bias                                                          (1,)

What kind of feature F is, stands in ``feature_map.json``, its tokens in ``feature_vocab.json``: see
``fuxictr_features``. A row of zeros is PAD. Features that share embeddings have linear weights of their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fmcompress.checkpoints.checkpoint_file import CheckpointFile
from fmcompress.checkpoints.dialect import Given, claim, listed
from fmcompress.checkpoints.files.tensor import Tensor
from fmcompress.checkpoints.reading_errors import quoted
from fmcompress.checkpoints.tools.field_tables import AnyField, NamedFields, named, padded, read_shape, stacked
from fmcompress.checkpoints.tools.fuxictr.features import (
    MAP_NAME,
    VOCABULARY_NAME,
    Feature,
    read_feature_map,
    read_feature_vocabulary,
)
from fmcompress.errors import CheckpointError
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.fm.schema import Field, NumericField, SharedField
from fmcompress.fm.vocabulary import Vocabulary

_EMBEDDINGS = "embedding_layer.embedding_layer.embedding_layers.{}.weight"
_LINEAR = f"fm.lr_layer.{_EMBEDDINGS}"
_BIAS = "fm.lr_layer.bias"
_TABLE = re.compile(re.escape(_EMBEDDINGS).replace(r"\{\}", r"([^.]+)"))

_PAD = 0
"""FuxiCTR's id of PAD, wherever it has one."""


def recognises(file: CheckpointFile) -> bool:
    """Return whether a file has tables where FuxiCTR has them."""
    tensors = file.weights.tensors
    return _BIAS in tensors or any(_TABLE.fullmatch(key) for key in tensors)


def read(file: CheckpointFile, given: Given) -> FMCheckpoint:
    """Read a model of FuxiCTR, with the features that are told beside it, or the fields that are given.

    ``given.dataset`` may be the feature map, where it is in another folder. The link is sigmoid where nothing else is
    given.

    Raises:
        CheckpointError: it is another model, shapes disagree, a feature is a sequence, or nobody tells the features.
    """
    found = file.weights.tensors
    names = [match[1] for key in found if (match := _TABLE.fullmatch(key))]
    weights = claim(found, (_BIAS, *(pattern.format(name) for name in names for pattern in (_EMBEDDINGS, _LINEAR))))
    _check_tables(weights)
    path = given.dataset or file.path.parent / MAP_NAME
    if given.dataset is None and not path.is_file():
        if given.fields is None:
            raise CheckpointError(
                "it does not say which of its features are sequences or numbers",
                hint=f"put {MAP_NAME} beside it, pass --dataset …/{MAP_NAME}, or pass {_suggestion(names, weights)}",
            )
        features = {name: Feature(name, _is_numeric(name, weights), pad=_PAD) for name in names}
    else:
        features = _chosen(read_feature_map(path), names)
    fields = named(_fields(features, weights), given.fields)
    return _read(fields, weights, features, _vocabulary(path.with_name(VOCABULARY_NAME), fields))


def _read(
    fields: NamedFields, weights: Mapping[str, Tensor], features: Mapping[str, Feature], vocabulary: Vocabulary | None
) -> FMCheckpoint:
    linear, embeddings = stacked(fields, weights, _LINEAR, _EMBEDDINGS)
    pads = {name: features[own].pad for name, own in fields.own.items()}
    return FMCheckpoint(
        padded(fields.schema, linear, embeddings, pads),
        bias=float(read_shape(_BIAS, weights[_BIAS], (1,))[0]),
        linear=linear,
        embeddings=embeddings,
        numeric=_numeric(fields, weights, embeddings.shape[1]),
        vocabulary=vocabulary,
    )


def _check_tables(weights: Mapping[str, Tensor]) -> None:
    for key, tensor in weights.items():
        if len(tensor.shape) != (1 if key == _BIAS else 2):
            raise CheckpointError(
                f"{listed([key])} has shape {tensor.shape}, expected (categories, dim), and (1,) of a bias"
            )


def _is_numeric(name: str, weights: Mapping[str, Tensor]) -> bool:
    # A feature with categories has two rows at least: PAD and the unknown.
    return weights[_LINEAR.format(name)].shape == (1, 1)


def _chosen(features: Mapping[str, Feature], names: list[str]) -> dict[str, Feature]:
    """Return the features that the model has tables of; it may have been trained with some of them only."""
    for name in names:
        if name not in features:
            raise CheckpointError(
                f"its feature {listed([name])} is not in {MAP_NAME}", hint="the file is of another data set"
            )
    chosen = set(names)
    return {name: feature for name, feature in features.items() if name in chosen}


def _fields(features: Mapping[str, Feature], weights: Mapping[str, Tensor]) -> list[AnyField]:
    fields: list[AnyField] = []
    tables: dict[str, str] = {}
    for name, feature in features.items():
        rows = weights[_EMBEDDINGS.format(name)].shape[0]
        table = tables.get(feature.shares or "")
        if feature.numeric:
            fields.append(NumericField(name))
        elif table is not None and all(_same(pattern, name, table, weights) for pattern in (_LINEAR, _EMBEDDINGS)):
            fields.append(SharedField(name, table))
            tables[name] = table
        elif feature.categories not in (None, rows):
            raise CheckpointError(
                f"its feature {listed([name])} has {rows:,} categories, {MAP_NAME} says {feature.categories:,}",
                hint="the file is of another data set",
            )
        else:
            fields.append(Field(name, rows))
            tables[name] = name
    return fields


def _same(pattern: str, name: str, other: str, weights: Mapping[str, Tensor]) -> bool:
    return np.array_equal(weights[pattern.format(name)].read(), weights[pattern.format(other)].read())


def _numeric(fields: NamedFields, weights: Mapping[str, Tensor], dim: int) -> NumericWeights:
    if not fields.schema.numeric:
        return NumericWeights.none(dim)
    own = [fields.own[name] for name in fields.schema.numeric_names]
    keys = [(_LINEAR.format(name), _EMBEDDINGS.format(name)) for name in own]
    linear = [read_shape(key, weights[key], (1, 1))[0] for key, _ in keys]
    return NumericWeights(
        np.concatenate(linear), np.stack([read_shape(key, weights[key], (dim, 1))[:, 0] for _, key in keys])
    )


def _vocabulary(path: Path, fields: NamedFields) -> Vocabulary | None:
    if not path.is_file():
        return None
    names = {name: fields.own[name] for name in fields.schema.id_names if name in fields.own}
    found = read_feature_vocabulary(path, names)
    return Vocabulary(found) if found else None


def _suggestion(names: list[str], weights: Mapping[str, Tensor]) -> str:
    """Return the fields as they are to be given, if no feature is a sequence."""
    sizes = {name: weights[_LINEAR.format(name)].shape[0] for name in names}
    parts = [f"{name}:{'numeric' if _is_numeric(name, weights) else sizes[name]}" for name in names]
    return f"--fields {quoted(','.join(parts))}"
