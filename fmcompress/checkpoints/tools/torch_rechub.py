"""DeepFM of torch-rechub: a state_dict, or a whole model.

embedding.embed_dict.F.weight     (V_F, dim)
linear.fc.weight                  (1, features · dim), of the embeddings of all features, one behind the other
linear.fc.bias                    (1,)
mlp.mlp.N.…                       Linear, BatchNorm1d, PReLU, …, Linear to one number; N from 0 on with gaps

The linear part is a linear layer over embeddings, so that category i of feature f has the linear weight W_f · v_i.
Only a whole model tells its features, which are objects:

SparseFeature      name, vocab_size, shared_with
SequenceFeature    name, vocab_size, shared_with, pooling, padding_idx
DenseFeature       name, embed_dim; its values enter the dense layers alone, behind the embeddings

Features that share embeddings have parts W_f of their own, so they become fields of their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from fmcompress.checkpoints.checkpoint_file import CheckpointFile
from fmcompress.checkpoints.dialect import Given, claim
from fmcompress.checkpoints.files.tensor import FileTensor, as_float32, read_number, read_shape
from fmcompress.checkpoints.pickle.stubs import Stub
from fmcompress.checkpoints.reading_errors import damaged, listed, quoted
from fmcompress.checkpoints.tools.dense_layers import (
    Inputs,
    first_width,
    in_sequence,
    read_network,
    sequence_in,
)
from fmcompress.checkpoints.tools.field_tables import AnyField, NamedFields, named, pad_rows, read_tables
from fmcompress.checkpoints.tools.folded_layers import RELU, keys_of
from fmcompress.errors import CheckpointError
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.disk_table import Table, blocks, part_of, zeroed
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.fm.pooling import Pooling
from fmcompress.fm.schema import Field, NumericField, Schema
from fmcompress.types import Float32Array

_EMBEDDINGS = "embedding.embed_dict.{}.weight"
_TABLE = re.compile(r"embedding\.embed_dict\.([^.]+)\.weight")
_LINEAR = "linear.fc.weight"
_BIAS = "linear.fc.bias"
_LAYERS = "mlp.mlp."
_NO_TABLE = "no linear table of {}"

_CLASS = "torch_rechub.models.ranking.deepfm.DeepFM"
_FEATURES = "torch_rechub.basic.features."
_POOLINGS = ("mean", "sum")
_MAX_NUMBERS = 2**16


def recognises(file: CheckpointFile) -> bool:
    """Return whether a file has tables where torch-rechub has them."""
    return any(_TABLE.fullmatch(key) for key in file.weights.tensors)


def read(file: CheckpointFile, given: Given) -> FMCheckpoint:
    """Read a DeepFM of torch-rechub.

    A state_dict does not tell dense features: where there are some, the fields have to be given.

    Raises:
        CheckpointError: it is another model, shapes disagree, its two parts do not take the same features.
    """
    found, model = file.weights, file.model
    if model is not None and found.class_name != _CLASS:
        raise CheckpointError(f"it is a {quoted(found.class_name or '')}, expected a {_CLASS}")
    tables = {match[1]: key for key in found.tensors if (match := _TABLE.fullmatch(key))}
    layers = sequence_in(model, _LAYERS)
    steps = in_sequence(found.tensors, _LAYERS, given.activations or (RELU,), module=layers)
    needed, optional = keys_of(steps)
    weights = claim(found.tensors, (_LINEAR, _BIAS, *tables.values(), *needed), optional)
    rows = {name: (weights[key].shape or (0,))[0] for name, key in tables.items()}
    dim = (weights[next(iter(tables.values()))].shape or (0,))[-1]
    if model is None:
        features = _features_of_tables(rows, dim, first_width(steps, weights), given.fields)
    else:
        features = _features_of_model(model, rows)
    fields = named(features.fields, given.fields)
    looked_up = NamedFields(fields.schema, {name: features.tables.get(own, own) for name, own in fields.own.items()})
    _, embeddings = read_tables(looked_up, weights, _NO_TABLE, _EMBEDDINGS)
    linear = _linear(fields.schema, fields.named(features.linear), embeddings, weights)
    pads = pad_rows(fields.schema)  # never looked at
    linear[pads], embeddings = 0, zeroed(embeddings, pads)
    inputs = Inputs(fields.schema, dim, fields.named(features.vectors), fields.named(features.values))
    numbers = len(fields.schema.numeric)
    return FMCheckpoint(
        fields.schema,
        bias=read_number(weights, _BIAS),
        linear=linear,
        embeddings=embeddings,
        numeric=NumericWeights(np.zeros(numbers, np.float32), np.zeros((numbers, dim), np.float32)),
        network=read_network("deepfm", steps, weights, inputs),
    )


@dataclass(frozen=True)
class _Features:
    """The features of a model, by their names in the file.

    Attributes:
        fields: all of them.
        linear: those with embeddings, in the order in which the linear layer takes them.
        vectors: those whose embeddings dense layers take, in their order.
        values: those whose numbers these take, in their order.
        tables: name of its table by the name of each feature that shares one.
    """

    fields: list[AnyField]
    linear: list[str]
    vectors: list[str]
    values: list[str]
    tables: dict[str, str] = field(default_factory=dict)


def _features_of_tables(rows: Mapping[str, int], dim: int, width: int, given: Schema | None) -> _Features:
    """Return what a state_dict and the caller tell: a feature of each table, and numbers.

    Args:
        rows: categories of each table.
        dim: embedding size.
        width: how many numbers the dense layers take in.
        given: the fields that the caller names, or None.
    """
    if given is not None and given.shared:
        names = [each.name for each in given.shared]
        raise CheckpointError(
            f"its features have linear weights of their own: {listed(names)} cannot share a table",
            hint="save the whole model with torch.save(model, …)",
        )
    names = list(rows)
    numbers = 0 if given is None else len(given.numeric)
    values = [f"dense_{number}" for number in range(numbers)]
    fields: list[AnyField] = [Field(name, size) for name, size in rows.items()]
    fields += [NumericField(name, linear_only=True) for name in values]
    both = len(names) * dim + numbers
    if width not in (both, numbers):
        raise CheckpointError(
            f"its dense layers take {width:,} numbers, but its {len(names)} tables and {numbers} numbers give {both:,}",
            hint="name all fields with --fields, numbers as name:linear, or save the whole model: torch.save(model, …)",
        )
    return _Features(fields, names, names if width == both else [], values)


def _features_of_model(model: Stub, rows: Mapping[str, int]) -> _Features:
    """Return the features of a whole model."""
    with damaged("its features cannot be read"):
        deep, crossed = (_list(model, f"{part}_features") for part in ("deep", "fm"))
        features = {_text(each, "name"): each for each in (*crossed, *deep)}
        fields: list[AnyField] = []
        tables: dict[str, str] = {}
        for name, feature in features.items():
            fields += _fields(name, feature)
            if _kind(feature) != "DenseFeature":
                tables[name] = _text(feature, "shared_with") or name
        linear = [_text(each, "name") for each in crossed]
        vectors = [_text(each, "name") for each in deep if _kind(each) != "DenseFeature"]
        values = [each.name for feature in deep if _kind(feature) == "DenseFeature" for each in _fields("", feature)]
    if set(linear) != set(tables):
        raise CheckpointError(
            f"its features {listed(sorted(set(linear) ^ set(tables)))} are not as they should be: expected all "
            "categories in fm_features, and no numbers"
        )
    if set(tables.values()) != set(rows):
        raise CheckpointError(
            f"it has tables {listed(sorted(rows))}, but its features {listed(sorted(tables.values()))}"
        )
    sized = [_with_rows(each, rows, tables) for each in fields]
    return _Features(sized, linear, vectors, values, tables)


def _with_rows(own: AnyField, rows: Mapping[str, int], tables: Mapping[str, str]) -> AnyField:
    """Return a field with the categories of its table, which are what the file has."""
    if not isinstance(own, Field):
        return own
    return Field(own.name, rows[tables[own.name]], own.pad, own.pooling)


def _fields(name: str, feature: Stub) -> list[AnyField]:
    """Return the fields of a feature; the sizes of its tables are set later."""
    kind = _kind(feature)
    if kind == "DenseFeature":
        own, numbers = _text(feature, "name"), feature.attributes.get("embed_dim")
        if type(numbers) is not int or not 1 <= numbers <= _MAX_NUMBERS:
            raise ValueError("a dense feature has no size")
        names = [own] if numbers == 1 else [f"{own}_{number}" for number in range(numbers)]
        return [NumericField(each, linear_only=True) for each in names]
    if kind == "SparseFeature":
        return [Field(name, 1)]
    if kind != "SequenceFeature":
        raise TypeError("a feature is of an unknown kind")
    pooling, pad = feature.attributes.get("pooling"), feature.attributes.get("padding_idx")
    if pooling not in _POOLINGS:
        shown = quoted(pooling) if isinstance(pooling, str) else type(pooling).__name__
        raise CheckpointError(f"its sequence {listed([name])} is pooled by {shown}, expected {' or '.join(_POOLINGS)}")
    if pad is not None and (type(pad) is not int or pad < 0):
        raise ValueError("a padding is no id")
    return [Field(name, 1 + (pad or 0), pad, Pooling(str(pooling), str(pooling)))]


def _kind(feature: Stub) -> str:
    return feature.class_name.removeprefix(_FEATURES)


def _list(model: Stub, attribute: str) -> list[Stub]:
    features = model.attributes.get(attribute)
    if not isinstance(features, list) or not all(isinstance(feature, Stub) for feature in features):
        raise TypeError(f"{attribute} is no list of features")
    return features


def _text(feature: Stub, attribute: str) -> str:
    """Return a text of a feature; empty where it is None."""
    value = feature.attributes.get(attribute)
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{attribute} of a feature is no text")
    return value or ""


def _linear(schema: Schema, names: Sequence[str], embeddings: Table, weights: Mapping[str, FileTensor]) -> Float32Array:
    """Return the linear weights of all categories, float32 (categories,).

    Args:
        schema: the fields.
        names: those that the linear layer takes, in its order.
        embeddings: V, float32 (categories, dim).
        weights: the file's tensors.
    """
    dim = embeddings.shape[1]
    parts = read_shape(weights, _LINEAR, (1, len(names) * dim)).reshape(len(names), dim)
    numbers = {name: number for number, name in enumerate(schema.names)}
    found = np.zeros(schema.categories)
    with np.errstate(over="ignore", invalid="ignore"):  # what is NaN or infinite is refused as such later
        for name, part in zip(names, parts.astype(np.float64), strict=True):
            rows = schema.rows(numbers[name])
            for start, block in blocks(part_of(embeddings, rows)):
                found[rows.start + start : rows.start + start + len(block)] = block @ part
    return as_float32(found)
