"""FM, DeepFM and NFM of FuxiCTR (``fuxictr``), a bare state_dict named ``FM_….model``.

embedding_layer.embedding_layer.embedding_layers.F.weight                 (V_F, dim), numeric (dim, 1)
fm.lr_layer.embedding_layer.embedding_layer.embedding_layers.F.weight     (V_F, 1), numeric (1, 1)
fm.lr_layer.bias                                                          (1,)

An NFM has its linear part under ``lr_layer`` in place of ``fm.lr_layer``, and no bias. Dense layers, N from 0 on
with gaps:

mlp.mlp.N.… of a DeepFM, dnn.mlp.N.… of an NFM      Linear, BatchNorm1d, PReLU

What kind of feature F is, and its tokens, stand in two files of JSON beside the data that a model is trained on:

feature_map.json     {"features": [{"user": {"type": "categorical", "vocab_size": 9, "padding_idx": 0}}, …], …}
feature_vocab.json   {"user": {"__PAD__": 0, "alice": 1, …, "__OOV__": 8}, …}

A row of zeros is PAD. Features that share embeddings have linear weights of their own. A sequence has a
``feature_encoder``, which pools its embeddings; its linear weights are always added.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fmcompress.checkpoints.checkpoint_file import CheckpointFile
from fmcompress.checkpoints.dialect import Given, claim
from fmcompress.checkpoints.files.tensor import FileTensor, read_number, read_shape
from fmcompress.checkpoints.reading_errors import damaged, listed, quoted
from fmcompress.checkpoints.tools.dense_layers import (
    Inputs,
    in_sequence,
    read_network,
    sequence_in,
)
from fmcompress.checkpoints.tools.field_tables import AnyField, NamedFields, named, padded, read_tables
from fmcompress.checkpoints.tools.folded_layers import RELU, Step, keys_of
from fmcompress.errors import CheckpointError
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.field_vocabulary import FieldVocabulary
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.fm.pooling import Pooling
from fmcompress.fm.schema import MAX_CATEGORIES, Field, NumericField, SharedField
from fmcompress.fm.vocabulary import UNKNOWN, Vocabulary

_EMBEDDINGS = "embedding_layer.embedding_layer.embedding_layers.{}.weight"
_LINEAR = f"fm.lr_layer.{_EMBEDDINGS}"
_LINEAR_OF_NFM = f"lr_layer.{_EMBEDDINGS}"
_BIAS = "fm.lr_layer.bias"
_LAYERS = {"deepfm": "mlp.mlp.", "nfm": "dnn.mlp."}
_TABLE = re.compile(re.escape(_EMBEDDINGS).replace(r"\{\}", r"([^.]+)"))

_PAD = 0
"""FuxiCTR's id of PAD, wherever it has one."""

_MAP_NAME = "feature_map.json"
_VOCABULARY_NAME = "feature_vocab.json"
_EMPTY = ""
"""What FuxiCTR fills a null with, unless it is told otherwise; mostly it is no token of its own."""

_REFUSED = {"embedding": "a vector of another model"}
_SUM = "sum"
_POOLINGS = {
    "layers.MaskedAveragePooling()": Pooling("mean", "sum"),
    "layers.MaskedSumPooling()": Pooling("sum", "sum"),
}
"""What encodes the sequences of a factorization machine, as the feature map has it."""


def recognises(file: CheckpointFile) -> bool:
    """Return whether a file has tables where FuxiCTR has them."""
    tensors = file.weights.tensors
    return _BIAS in tensors or any(_TABLE.fullmatch(key) for key in tensors)


def _kind(tensors: Mapping[str, FileTensor]) -> str | None:
    """Return the kind of network of a model, by what its dense layers are called; None of a factorization machine."""
    return next((kind for kind, prefix in _LAYERS.items() if any(key.startswith(prefix) for key in tensors)), None)


def _steps(file: CheckpointFile, given: Given, prefix: str) -> list[Step]:
    module = sequence_in(file.model, prefix)
    return in_sequence(file.weights.tensors, prefix, given.activations or (RELU,), module=module)


def read(file: CheckpointFile, given: Given) -> FMCheckpoint:
    """Read a model of FuxiCTR, with the features that are told beside it, or the fields that are given.

    ``given.dataset`` may be the feature map, where it is in another folder. The link is sigmoid where nothing else is
    given.

    Raises:
        CheckpointError: it is another model, shapes disagree, a feature is a sequence, or nobody tells the features.
    """
    found = file.weights.tensors
    names = [match[1] for key in found if (match := _TABLE.fullmatch(key))]
    kind = _kind(found)
    linear_keys = _LINEAR_OF_NFM if kind == "nfm" else _LINEAR
    steps = _steps(file, given, _LAYERS[kind]) if kind else []
    needed, optional = keys_of(steps)
    tables = [pattern.format(name) for name in names for pattern in (_EMBEDDINGS, linear_keys)]
    bias = () if kind == "nfm" else (_BIAS,)
    weights = claim(found, (*bias, *tables, *needed), optional)
    _check_tables(weights, tables)
    path = given.dataset or file.path.parent / _MAP_NAME
    if given.dataset is None and not path.is_file():
        if given.fields is None:
            suggestion = _suggestion(names, weights, linear_keys)
            raise CheckpointError(
                "it does not say which of its features are sequences or numbers",
                hint=f"put {_MAP_NAME} beside it, pass --dataset …/{_MAP_NAME}, or pass {suggestion}",
            )
        features = {name: _Feature(name, _is_numeric(name, weights, linear_keys), pad=_PAD) for name in names}
    else:
        features = _chosen(_read_feature_map(path), names)
    fields = named(_fields(features, weights, linear_keys), given.fields)
    for name, pooling in fields.schema.poolings.items():
        if pooling.linear != _SUM:
            raise CheckpointError(
                f"its linear weights of {listed([name])} are added, whatever is done to its embeddings",
                hint=f"write name:size:{pooling.embedding}/{_SUM} in --fields",
            )
    vocabulary = _read_vocabulary(path.with_name(_VOCABULARY_NAME), fields)
    linear, embeddings = read_tables(fields, weights, linear_keys, _EMBEDDINGS)
    dim = embeddings.shape[1]
    pads = {name: features[own].pad for name, own in fields.own.items()}
    inputs = Inputs(fields.schema, dim, _in_order(fields, list(features)))
    return FMCheckpoint(
        padded(fields.schema, linear, embeddings, pads),
        bias=read_number(weights, _BIAS) if bias else 0.0,
        linear=linear,
        embeddings=embeddings,
        numeric=_numeric(fields, weights, linear_keys, dim),
        vocabulary=vocabulary,
        network=None if kind is None else read_network(kind, steps, weights, inputs),
    )


def _in_order(fields: NamedFields, names: list[str]) -> list[str]:
    """Return the fields as they are named here, in the order in which dense layers take them."""
    places = {name: place for place, name in enumerate(names)}
    return sorted(fields.own, key=lambda name: places[fields.own[name]])


def _check_tables(weights: Mapping[str, FileTensor], tables: list[str]) -> None:
    for key in (*tables, _BIAS):
        if key in weights and len(weights[key].shape) != (1 if key == _BIAS else 2):
            raise CheckpointError(
                f"{listed([key])} has shape {weights[key].shape}, expected (categories, dim), and (1,) of a bias"
            )


def _is_numeric(name: str, weights: Mapping[str, FileTensor], linear: str) -> bool:
    # A feature with categories has two rows at least: PAD and the unknown.
    return weights[linear.format(name)].shape == (1, 1)


def _suggestion(names: list[str], weights: Mapping[str, FileTensor], linear: str) -> str:
    """Return the fields as they are to be given, if no feature is a sequence."""
    sizes = {name: weights[linear.format(name)].shape[0] for name in names}
    parts = [f"{name}:{'numeric' if _is_numeric(name, weights, linear) else sizes[name]}" for name in names]
    return f"--fields {quoted(','.join(parts))}"


@dataclass(frozen=True)
class _Feature:
    """A feature of a model, with None where the file does not say; ``shares`` names one with the same embeddings."""

    name: str
    numeric: bool
    categories: int | None = None
    pad: int | None = None
    shares: str | None = None
    pooling: Pooling | None = None


def _read_feature_map(path: Path) -> dict[str, _Feature]:
    """Return the features of a model by name, in the model's order; such as only group rows are left out."""
    found = _json(path)
    with damaged(f"{path.name} cannot be read"):
        rows = found["features"]
        specs = rows if isinstance(rows, dict) else {name: spec for row in rows for name, spec in row.items()}
        features = [_feature(name, dict(spec)) for name, spec in specs.items() if spec["type"] != "meta"]
    return {feature.name: feature for feature in features}


def _feature(name: str, spec: Mapping[str, Any]) -> _Feature:
    kind = spec["type"]
    pooling = _pooling(name, spec.get("feature_encoder")) if kind == "sequence" else None
    if pooling or (kind in ("numeric", "categorical") and not spec.get("feature_encoder")):
        return _Feature(
            name,
            kind == "numeric",
            None if spec.get("vocab_size") is None else _whole(spec["vocab_size"]),
            None if spec.get("padding_idx") is None else _whole(spec["padding_idx"]),
            None if spec.get("share_embedding") is None else str(spec["share_embedding"]),
            pooling,
        )
    what = _REFUSED.get(kind, f"of type {quoted(str(kind))}") if kind != "categorical" else "encoded by a layer"
    raise CheckpointError(
        f"it is no plain factorization machine: its feature {listed([name])} is {what}, by {_MAP_NAME}"
    )


def _pooling(name: str, encoder: object) -> Pooling:
    """Return what an encoder does to the values of a sequence."""
    if isinstance(encoder, list) and len(encoder) == 1:
        (encoder,) = encoder
    found = _POOLINGS.get(encoder.replace(" ", "")) if isinstance(encoder, str) else None
    if found is None:
        shown = quoted(encoder) if isinstance(encoder, str) else "no layer of its own"
        raise CheckpointError(
            f"it is no plain factorization machine: {_MAP_NAME} encodes its sequence {listed([name])} by {shown}",
            hint=f"expected {' or '.join(_POOLINGS)}",
        )
    return found


def _whole(value: object) -> int:
    if type(value) is not int or not 0 <= value <= MAX_CATEGORIES:
        raise ValueError("a size or an id is none")
    return value


def _json(path: Path) -> dict[str, Any]:
    with damaged(f"{path.name} cannot be read"):
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise TypeError("it is no JSON object")
    return found


def _chosen(features: Mapping[str, _Feature], names: list[str]) -> dict[str, _Feature]:
    """Return the features that the model has tables of; it may have been trained with some of them only."""
    for name in names:
        if name not in features:
            raise CheckpointError(
                f"its feature {listed([name])} is not in {_MAP_NAME}", hint="the file is of another data set"
            )
    chosen = set(names)
    return {name: feature for name, feature in features.items() if name in chosen}


def _fields(features: Mapping[str, _Feature], weights: Mapping[str, FileTensor], linear: str) -> list[AnyField]:
    fields: list[AnyField] = []
    tables: dict[str, str] = {}
    for name, feature in features.items():
        rows = weights[_EMBEDDINGS.format(name)].shape[0]
        table = tables.get(feature.shares or "")
        if feature.numeric:
            fields.append(NumericField(name))
        elif table is not None and all(_same(pattern, name, table, weights) for pattern in (linear, _EMBEDDINGS)):
            fields.append(SharedField(name, table, feature.pooling))
            tables[name] = table
        elif feature.categories not in (None, rows):
            raise CheckpointError(
                f"its feature {listed([name])} has {rows:,} categories, {_MAP_NAME} says {feature.categories:,}",
                hint="the file is of another data set",
            )
        else:
            fields.append(Field(name, rows, pooling=feature.pooling))
            tables[name] = name
    return fields


def _same(pattern: str, name: str, other: str, weights: Mapping[str, FileTensor]) -> bool:
    return np.array_equal(weights[pattern.format(name)].read(), weights[pattern.format(other)].read())


def _numeric(fields: NamedFields, weights: Mapping[str, FileTensor], linear: str, dim: int) -> NumericWeights:
    own = [fields.own[name] for name in fields.schema.numeric_names]
    if not own:
        return NumericWeights.none(dim)
    values = [read_shape(weights, linear.format(name), (1, 1))[0] for name in own]
    embeddings = [read_shape(weights, _EMBEDDINGS.format(name), (dim, 1))[:, 0] for name in own]
    return NumericWeights(np.concatenate(values), np.stack(embeddings))


def _read_vocabulary(path: Path, fields: NamedFields) -> Vocabulary | None:
    """Return the tokens of fields: an unknown one gets the id of ``__OOV__``, a null that of the empty text.

    A sequence that is null or empty has no values.
    """
    if not path.is_file():
        return None
    found = _json(path)
    names = {name: fields.own[name] for name in fields.schema.id_names if name in fields.own}
    with damaged(f"{path.name} cannot be read"):
        own = {
            name: _field_vocabulary(dict(found[feature]), single=name not in fields.schema.poolings)
            for name, feature in names.items()
            if feature in found
        }
    return Vocabulary(own) if own else None


def _field_vocabulary(ids: Mapping[str, object], *, single: bool) -> FieldVocabulary:
    numbers = {token: _whole(number) for token, number in ids.items()}
    oov = numbers.pop(UNKNOWN, None)
    return FieldVocabulary.of(numbers, oov=oov, missing=numbers.get(_EMPTY, oov) if single else None)
