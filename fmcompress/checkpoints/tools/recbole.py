"""Checkpoints of RecBole's FM, DeepFM and NFM, ``FM-<date>.pth``: a dict that has the state_dict under ``state_dict``.

token_embedding_table.embedding.weight                       (categories, dim)
first_order_linear.token_embedding_table.embedding.weight    (categories, 1)
float_embedding_table.embedding.weight                       (2 · numbers, dim)
first_order_linear.float_embedding_table.embedding.weight    (2 · numbers, 1)
token_seq_embedding_table.I.weight                           (categories, dim), of sequence number I
first_order_linear.token_seq_embedding_table.I.weight        (categories, 1)
first_order_linear.bias                                      (1,)

Of the two rows of a numeric field the second one is multiplied by its value; the first one is never used. Category 0
of a field is ``[PAD]``, which stands for a null and is trained like any other category; of a sequence it is no value.
The embeddings of a sequence are averaged, its linear weights added.

The dense layers of a DeepFM and an NFM, N from 1 on with gaps, take sequences first, then the other categories, then
numbers. Hidden ones have ReLUs in a DeepFM, batch norms and sigmoids in an NFM, whose interactions have a batch norm
too:

mlp_layers.mlp_layers.N.…                                    Linear, BatchNorm1d
deep_predict_layer.weight, .bias                             (1, hidden) and (1,) of a DeepFM
predict_layer.weight                                         (1, hidden) of an NFM
bn.…                                                         BatchNorm1d of an NFM

The fields are told by ``<name>-Dataset.pth`` beside it, a pickle of RecBole's Dataset:

config           the configuration
field2type       name -> FeatureType("token"), FeatureType("float"), …, in the order of the model's rows
field2source     name -> FeatureSource("inter"), FeatureSource("user"), …
field2id_token   name -> array of text, the tokens by id; ``[PAD]`` has 0

The rows of data, which may be many, come after these and are not read. As in RecBole, an unknown token is an error.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fmcompress.checkpoints.checkpoint_file import CheckpointFile
from fmcompress.checkpoints.dialect import Given, agreed_fields, claim
from fmcompress.checkpoints.files.pickle_file import PickleFile
from fmcompress.checkpoints.files.tensor import FileTensor, read_number, read_shape
from fmcompress.checkpoints.pickle.arrays import NumpyArray
from fmcompress.checkpoints.pickle.stubs import Stub
from fmcompress.checkpoints.reading_errors import damaged, listed, listed_all, quoted
from fmcompress.checkpoints.tools.dense_layers import (
    Inputs,
    in_sequence,
    read_network,
    sequence_in,
)
from fmcompress.checkpoints.tools.field_tables import AnyField, pad_rows, padded, schema_of
from fmcompress.checkpoints.tools.folded_layers import RELU, BatchNorm, Linear, Step, keys_of
from fmcompress.errors import CheckpointError
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.field_vocabulary import FieldVocabulary
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.fm.pooling import Pooling
from fmcompress.fm.schema import Field, NumericField, Schema
from fmcompress.fm.vocabulary import Vocabulary
from fmcompress.types import Float32Array

_EMBEDDINGS = "token_embedding_table.embedding.weight"
_NUMERIC_EMBEDDINGS = "float_embedding_table.embedding.weight"
_LINEAR = f"first_order_linear.{_EMBEDDINGS}"
_NUMERIC_LINEAR = f"first_order_linear.{_NUMERIC_EMBEDDINGS}"
_SEQUENCES = "token_seq_embedding_table.{}.weight"
_SEQUENCES_LINEAR = f"first_order_linear.{_SEQUENCES}"
_SEQUENCE = re.compile(r"token_seq_embedding_table\.\d+\.weight")
_BIAS = "first_order_linear.bias"
_POOLING = Pooling("mean", "sum")
"""Of sequences."""

_KINDS = {"FM": None, "DeepFM": "deepfm", "NFM": "nfm"}
"""Kinds of network by name of the model."""

_LAYERS = "mlp_layers.mlp_layers."
_NORM = "bn."
_ENDS = {"deepfm": "deep_predict_layer.", "nfm": "predict_layer."}
_ACTIVATIONS = {"deepfm": (RELU,), "nfm": ("sigmoid",)}
"""Which a model's class decides."""

_DATASETS = "*-Dataset.pth"
_ROWS_OF_NUMBER = 2
_PAD = 0
"""RecBole's id of ``[PAD]`` in every field."""

_UNTIL = "field2token_id"
_MAX_MEMBER = 32
_SOURCES = ("inter", "interaction", "user", "user_id", "item", "item_id")
"""What the model's fields come from, by value or by name; others are relations of a graph."""


def recognises(file: CheckpointFile) -> bool:
    """Return whether a file has tables where RecBole's models have them."""
    return bool({_EMBEDDINGS, _LINEAR, _BIAS} & file.weights.tensors.keys())


def read(file: CheckpointFile, given: Given) -> FMCheckpoint:
    """Read a model of RecBole, with the fields that its dataset tells, or those that are given.

    The dataset is ``given.dataset``, or the file beside the checkpoint if there is exactly one.

    Raises:
        CheckpointError: it is another model, shapes disagree, a numeric field is cut into buckets, or its fields are
            missing or of another dataset.
    """
    config = _config_of(file.root.get("config") if isinstance(file.root, dict) else None)
    found = file.weights.tensors
    kind = _kind(config.get("model"), found)
    steps = _steps(file, kind)
    needed, optional = keys_of(steps)
    numeric = (_NUMERIC_EMBEDDINGS, _NUMERIC_LINEAR)
    has_numbers = any(key in found for key in numeric)
    sequences = range(sum(_SEQUENCE.fullmatch(key) is not None for key in found))
    tables = [pattern.format(number) for number in sequences for pattern in (_SEQUENCES, _SEQUENCES_LINEAR)]
    weights = claim(found, (_EMBEDDINGS, _LINEAR, _BIAS, *tables, *(numeric if has_numbers else ()), *needed), optional)
    rows, dim = _matrix(_EMBEDDINGS, weights)
    sizes = [_matrix(_SEQUENCES.format(number), weights)[0] for number in sequences]
    path = given.dataset or _beside(file.path, config.get("dataset"))
    own = None if path is None else _read_dataset(path, config)
    number_rows = _matrix(_NUMERIC_EMBEDDINGS, weights)[0] if has_numbers else 0
    schema = _with_sequences(_agreed(own, given.fields, rows + sum(sizes), number_rows), own, sizes)
    linear = _stacked(schema, weights, _LINEAR, _SEQUENCES_LINEAR, rows, 1)[:, 0]
    embeddings = _stacked(schema, weights, _EMBEDDINGS, _SEQUENCES, rows, dim)
    for row in pad_rows(schema):  # of sequences: never looked at, and left as it was drawn at random
        linear[row], embeddings[row] = 0, 0
    return FMCheckpoint(
        padded(schema, linear, embeddings, dict.fromkeys(schema.names, _PAD)),
        bias=read_number(weights, _BIAS),
        linear=linear,
        embeddings=embeddings,
        numeric=_numeric(len(schema.numeric), dim, weights),
        vocabulary=None if own is None else _vocabulary(schema, own.tokens),
        network=None if kind is None else read_network(kind, steps, weights, _inputs(schema, dim)),
    )


def _kind(model: object, found: Mapping[str, FileTensor]) -> str | None:
    """Return the kind of network of a model, by its name or, where there is none, its keys; None of an FM."""
    if isinstance(model, str):
        if model not in _KINDS:
            raise CheckpointError(f"it is a model {quoted(model)} of RecBole, expected {', '.join(_KINDS)}")
        return _KINDS[model]
    if f"{_ENDS['deepfm']}weight" in found:
        return "deepfm"
    return "nfm" if any(key.startswith(_NORM) for key in found) else None


def _steps(file: CheckpointFile, kind: str | None) -> list[Step]:
    if kind is None:
        return []
    module = sequence_in(file.model, _LAYERS)
    hidden = in_sequence(file.weights.tensors, _LAYERS, _ACTIVATIONS[kind], module=module, all_hidden=True)
    return [*([BatchNorm(_NORM)] if kind == "nfm" else ()), *hidden, Linear(_ENDS[kind], biased=kind == "deepfm")]


def _inputs(schema: Schema, dim: int) -> Inputs:
    """Return what dense layers take in: sequences, the other categories, numbers."""
    fields = sorted(schema.fields, key=lambda field: field.pooling is None)
    return Inputs(schema, dim, [*(field.name for field in fields), *schema.numeric_names])


def _with_sequences(schema: Schema, own: _Dataset | None, sizes: list[int]) -> Schema:
    """Return the fields of a model with PAD and pooling of its sequences.

    Args:
        schema: the agreed fields.
        own: what the dataset tells, which knows the sequences; without it they are the fields that are pooled.
        sizes: categories of each sequence.
    """
    named = schema if own is None else own.schema
    pooled = [number for number, field in enumerate(named.fields) if field.pooling is not None]
    given = [field.pooling for field in schema.fields if field.pooling is not None]
    if [schema.fields[number].cardinality for number in pooled] != sizes or set(given) - {_POOLING}:
        raise CheckpointError(
            f"it has {len(sizes)} sequences, of {listed_all([f'{size}' for size in sizes]) or 'no'} categories, "
            f"pooled by {_POOLING}, but its fields say otherwise",
            hint=f"write name:size:{_POOLING} for each sequence in --fields, and for nothing else",
        )
    changed = {
        schema.fields[number].name: replace(schema.fields[number], pad=_PAD, pooling=_POOLING) for number in pooled
    }
    return Schema.in_order(changed.get(field.name, field) for field in schema.all_fields)


def _stacked(
    schema: Schema, weights: Mapping[str, FileTensor], table: str, sequences: str, rows: int, width: int
) -> Float32Array:
    """Return the rows of all fields in their order, float32 (categories, width): sequences have tables of their own."""
    single = read_shape(weights, table, (rows, width))
    if all(field.pooling is None for field in schema.fields):
        return single
    parts: list[Float32Array] = []
    first = number = 0
    for field in schema.fields:
        if field.pooling is None:
            parts.append(single[first : first + field.cardinality])
            first += field.cardinality
        else:
            parts.append(read_shape(weights, sequences.format(number), (field.cardinality, width)))
            number += 1
    return np.concatenate(parts)


def _matrix(key: str, weights: Mapping[str, FileTensor]) -> tuple[int, int]:
    shape = weights[key].shape
    if len(shape) != 2:
        raise CheckpointError(f"{key!r} has shape {shape}, expected (rows, dim)")
    return shape[0], shape[1]


def _numeric(numbers: int, dim: int, weights: Mapping[str, FileTensor]) -> NumericWeights:
    if not numbers:
        return NumericWeights.none(dim)
    rows = _ROWS_OF_NUMBER * numbers
    linear = read_shape(weights, _NUMERIC_LINEAR, (rows, 1))[1::_ROWS_OF_NUMBER, 0]
    return NumericWeights(linear, read_shape(weights, _NUMERIC_EMBEDDINGS, (rows, dim))[1::_ROWS_OF_NUMBER])


def _beside(path: Path, dataset: object) -> Path | None:
    """Return the dataset that lies beside a checkpoint; of several, the one of the name that the checkpoint says."""
    found = sorted(each for each in path.parent.glob(_DATASETS) if each.is_file())
    if len(found) > 1 and isinstance(dataset, str):
        found = [each for each in found if each.name == f"{dataset}-Dataset.pth"] or found
    if len(found) > 1:
        raise CheckpointError(
            f"there are {len(found)} datasets beside it, {listed([each.name for each in found])}",
            hint="pass --dataset FILE",
        )
    return found[0] if found else None


@dataclass(frozen=True)
class _Dataset:
    """The fields of a model, and the tokens of each categorical one by id, text (cardinality,)."""

    schema: Schema
    tokens: tuple[NumpyArray, ...]


def _agreed(own: _Dataset | None, given: Schema | None, rows: int, numeric_rows: int) -> Schema:
    """Return the fields of a model: the given ones where there are some."""
    if own is None and given is None:
        raise CheckpointError(
            f"it does not say which fields its {rows:,} categories belong to",
            hint=f"put its {_DATASETS} beside it, pass --dataset FILE, or --fields name:size,name:size,…",
        )
    schema = agreed_fields(None if own is None else own.schema, given, rows + numeric_rows // _ROWS_OF_NUMBER)
    if len(schema.numeric) * _ROWS_OF_NUMBER != numeric_rows:
        raise CheckpointError(
            f"it has {numeric_rows} rows for numbers, but its fields have {len(schema.numeric)} numbers, "
            f"expected {_ROWS_OF_NUMBER} rows for each"
        )
    return schema


def _config_of(stub: object) -> Mapping[object, object]:
    """Return the settings that a ``Config`` of RecBole holds; none where it is no such object."""
    settings = stub.attributes.get("final_config_dict") if isinstance(stub, Stub) else None
    return settings if isinstance(settings, dict) else {}


def _read_dataset(path: Path, config: Mapping[object, object]) -> _Dataset:
    """Return the fields of a model; its settings are ``config``, or the dataset's where there are none."""
    name = quoted(path.name)
    if not path.is_file():
        raise CheckpointError(f"{name}: there is no such file", hint=f"looked for {path.absolute()}")
    try:
        found = PickleFile(path).read_object(until=_UNTIL).attributes
        with damaged("it is no dataset of RecBole"):
            return _dataset(found, config or _config_of(found.get("config")))
    except CheckpointError as error:
        raise CheckpointError(f"{name}: {error}", hint=error.hint) from error
    except OSError as error:
        raise CheckpointError(f"{name}: it cannot be read: {error.strerror or error}") from error


def _dataset(found: Mapping[object, object], config: Mapping[object, object]) -> _Dataset:
    kinds, sources, tokens = (_part(found, f"field2{part}") for part in ("type", "source", "id_token"))
    numeric = _strings(config.get("numerical_features"))
    if config.get("discretization"):
        raise CheckpointError("it cuts numeric fields into buckets, whose limits it does not say")
    fields: list[AnyField] = []
    arrays = []
    for name, kind in kinds.items():
        if name == config.get("LABEL_FIELD") or _member(sources.get(name)) not in _SOURCES:
            continue
        if _member(kind) == "token":
            arrays.append(_tokens(name, tokens.get(name)))
            fields.append(Field(name, len(arrays[-1].values)))
        elif _member(kind) == "token_seq":
            arrays.append(_tokens(name, tokens.get(name)))
            fields.append(Field(name, len(arrays[-1].values), pooling=_POOLING))
        elif _member(kind) == "float_seq" and name in numeric:
            raise CheckpointError(
                f"its field {listed([name])} is a sequence of numbers, expected categories or numbers"
            )
        elif _member(kind) == "float" and name in numeric:
            fields.append(NumericField(name))
    return _Dataset(schema_of(fields), tuple(arrays))


def _part(found: Mapping[object, object], name: str) -> dict[str, object]:
    part = found.get(name)
    if not isinstance(part, dict):
        raise TypeError(f"it has no {name}")
    return {key: value for key, value in part.items() if isinstance(key, str)}


def _strings(value: object) -> Collection[str]:
    return {each for each in value if isinstance(each, str)} if isinstance(value, list | tuple) else ()


def _member(stub: object) -> str:
    """Return the value, or the name in small letters, of a member of an Enum."""
    value = stub.args[0] if isinstance(stub, Stub) and isinstance(stub.args, tuple) and stub.args else ""
    return value.lower() if isinstance(value, str) and len(value) <= _MAX_MEMBER else ""


def _tokens(name: str, array: object) -> NumpyArray:
    if not isinstance(array, NumpyArray) or array.values.dtype.kind != "U" or array.values.ndim != 1:
        raise TypeError(f"its field {quoted(name)} has no tokens")
    return array


def _vocabulary(schema: Schema, arrays: tuple[NumpyArray, ...]) -> Vocabulary:
    made: dict[int, FieldVocabulary] = {}
    fields = {}
    for name, array in zip(schema.names, arrays, strict=True):
        if id(array) not in made:  # fields of one kind have one array
            made[id(array)] = _field_vocabulary(name, array)
        fields[name] = made[id(array)]
    return Vocabulary(fields)


def _field_vocabulary(name: str, array: NumpyArray) -> FieldVocabulary:
    with damaged(f"the tokens of field {quoted(name)} cannot be read"):
        tokens = array.values.tolist()
    if len(set(tokens)) != len(tokens):
        raise CheckpointError(f"the tokens of field {listed([name])} are not all different: the dataset is damaged")
    return FieldVocabulary(tuple(tokens), np.arange(len(tokens), dtype=np.int32), missing=_PAD)
