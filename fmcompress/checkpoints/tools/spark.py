"""Factorization machines of Spark MLlib, 3.5 and 4: the model alone, or the whole pipeline with its vocabulary.

A pipeline is a directory of its own with ``stages/0_UID``, ``stages/1_UID``, …, each of which is one too. Weights are
stored as Spark's vectors and matrices:

intercept    double
linear       (type, size, indices, values)
factors      (type, numRows, numCols, colPtrs, rowIndices, values, isTransposed)

A type of 1 is dense, a type of 0 sparse. A dense matrix is stored by columns, a sparse one as compressed columns; one
that is transposed by rows.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from fmcompress.checkpoints.checkpoint_file import CheckpointFile
from fmcompress.checkpoints.dialect import Given, agreed_fields, from_flat
from fmcompress.checkpoints.files.tensor import as_float32
from fmcompress.checkpoints.reading_errors import damaged, listed, quoted
from fmcompress.checkpoints.tools.field_tables import AnyField, NamedFields, named
from fmcompress.checkpoints.tools.spark_stages import (
    FeatureColumn,
    SavedStage,
    feature_columns,
    is_saved_by_spark,
    read_row,
    read_stage,
)
from fmcompress.errors import CheckpointError
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.fm.schema import Field, NumericField
from fmcompress.fm.vocabulary import Vocabulary
from fmcompress.types import AnyArray, Float32Array, Float64Array, Int64Array

_LINKS = {"FMClassificationModel": "sigmoid", "FMRegressionModel": "identity"}
_PIPELINE = "PipelineModel"

_SPARSE, _DENSE = 0, 1
_SPARSEST = 8
"""Places for each value that a sparse matrix may have; trained factors have none that is zero."""
_COLUMNS = {"intercept": "double", "linear": "struct", "factors": "struct"}


def recognises(file: CheckpointFile) -> bool:
    """Return whether it is a directory with metadata of Spark MLlib."""
    return is_saved_by_spark(file.path)


def read(file: CheckpointFile, given: Given) -> FMCheckpoint:
    """Read a model, which needs fields, or a pipeline, which brings its own.

    Raises:
        CheckpointError: it is another model, has stages that change its input in ways unknown, or is damaged.
    """
    saved = read_stage(file.path)
    stages = list(_stages(saved)) if saved.class_name == _PIPELINE else [saved]
    model = stages[-1] if stages else saved
    if model.class_name not in _LINKS:
        classes = listed([stage.class_name for stage in stages or [saved]])
        raise CheckpointError(
            f"it is no factorization machine of Spark: it holds {classes}, expected one of {', '.join(_LINKS)}",
            hint="give its folder bestModel" if (file.path / "bestModel").is_dir() else None,
        )
    parts = feature_columns(stages[:-1], model.text("featuresCol"))
    weights = _read_weights(model)
    if parts is not None:
        return _from_parts(parts, weights, given, _LINKS[model.class_name])
    return from_flat(agreed_fields(None, given.fields, len(weights.linear)), *weights, _LINKS[model.class_name])


def _stages(pipeline: SavedStage) -> Iterator[SavedStage]:
    """Yield the stages up to the model; what comes after it does not change its predictions."""
    uids = pipeline.texts("stageUids")
    for number, uid in enumerate(uids):
        if PurePosixPath(uid).parts != (uid,) or uid == "..":
            raise CheckpointError(f"its stage {quoted(uid)} has a name that it cannot have")
        stage = read_stage(pipeline.path / "stages" / f"{number:0{len(str(len(uids)))}d}_{uid}")
        yield stage
        if stage.class_name in _LINKS:
            return


class _Weights(NamedTuple):
    """w_0, w and V, float32 (features,) and (features, dim)."""

    bias: float
    linear: Float32Array
    embeddings: Float32Array


def _from_parts(parts: tuple[FeatureColumn, ...], weights: _Weights, given: Given, link: str) -> FMCheckpoint:
    columns = sum(part.width for part in parts)
    if columns != len(weights.linear):
        raise CheckpointError(
            f"its features have {columns:,} columns by its stages, but its model has {len(weights.linear):,}",
            hint="is one of its columns of numbers a vector? give the model alone, with --fields",
        )
    fields = named([_field(part) for part in parts], given.fields)
    rows = _rows(parts)
    own = np.concatenate([rows[fields.own[name]] for name in fields.schema.names])
    numbers = np.concatenate([np.empty(0, int), *(rows[fields.own[name]] for name in fields.schema.numeric_names)])
    return FMCheckpoint(
        fields.schema,
        weights.bias,
        linear=_taken(weights.linear, own),
        embeddings=_taken(weights.embeddings, own),
        numeric=NumericWeights(weights.linear[numbers], weights.embeddings[numbers]),
        link=link,
        vocabulary=_vocabulary(parts, fields),
    )


def _field(part: FeatureColumn) -> AnyField:
    if part.categories is None:
        return NumericField(part.name)
    return Field(part.name, part.categories, pad=part.width if part.width < part.categories else None)


def _rows(parts: tuple[FeatureColumn, ...]) -> dict[str, Int64Array]:
    """Return the columns of the features that each field has, -1 for a category without one."""
    rows = {}
    start = 0
    for part in parts:
        without = (part.categories or part.width) - part.width
        rows[part.name] = np.append(np.arange(start, start + part.width), np.full(without, -1))
        start += part.width
    return rows


def _taken(weights: Float32Array, rows: Int64Array) -> Float32Array:
    """Return the given rows, zeros for -1; without a copy where these are all, in order."""
    if np.array_equal(rows, np.arange(len(weights))):
        return weights
    taken = weights[rows]
    taken[rows < 0] = 0
    return taken


def _vocabulary(parts: tuple[FeatureColumn, ...], fields: NamedFields) -> Vocabulary | None:
    tokens = {part.name: part.vocabulary for part in parts}
    found = {name: known for name in fields.schema.names if (known := tokens[fields.own[name]]) is not None}
    return Vocabulary(found) if found else None


def _read_weights(stage: SavedStage) -> _Weights:
    row = read_row(stage, _COLUMNS)
    with damaged("its weights cannot be read"):
        embeddings = _matrix(row["factors"])
        linear = _vector(row["linear"], len(embeddings))
        return _Weights(float(row["intercept"][0].as_py()), linear, embeddings)


def _vector(vector: Any, size: int) -> Float32Array:
    values = _list(vector, "values", "double")
    if _whole(vector, "type") == _DENSE:
        found = values
        length = len(values)
    else:
        length = _whole(vector, "size")
        indices = _list(vector, "indices", "int32")
        if len(indices) != len(values) or (len(indices) and not 0 <= indices.min() <= indices.max() < size):
            raise ValueError("a sparse vector has indices that it cannot have")
        found = np.zeros(size)
        found[indices] = values
    if length != size:
        raise CheckpointError(f"it has {length:,} linear weights and {size:,} factors")
    return as_float32(found)


def _matrix(matrix: Any) -> Float32Array:
    values = _list(matrix, "values", "double")
    rows, columns = _whole(matrix, "numRows"), _whole(matrix, "numCols")
    transposed = _scalar(matrix, "isTransposed") is True
    if _whole(matrix, "type") == _SPARSE:
        return as_float32(_from_sparse(matrix, values, (rows, columns), transposed))
    if len(values) != rows * columns:
        raise ValueError(f"a matrix of {rows} × {columns} has {len(values)} values")
    return as_float32(values.reshape(rows, columns) if transposed else values.reshape(columns, rows).T)


def _from_sparse(matrix: Any, values: Float64Array, shape: tuple[int, int], transposed: bool) -> Float64Array:
    from scipy.sparse import csc_array, csr_array

    indices, starts = _list(matrix, "rowIndices", "int32"), _list(matrix, "colPtrs", "int32")
    if shape[0] * shape[1] > _SPARSEST * len(values):  # it only claims its size, lest it take too much memory
        raise ValueError(f"a sparse matrix of {shape[0]} × {shape[1]} has {len(values)} values")
    sparse = (csr_array if transposed else csc_array)((values, indices, starts), shape=shape)
    sparse.check_format(full_check=True)
    return np.asarray(sparse.toarray())


def _list(struct: Any, name: str, kind: str) -> AnyArray:
    found = struct.field(name)
    if not str(found.type).startswith("list<") or found.type.value_type != kind:
        raise TypeError(f"{name!r} are of type {found.type}, expected a list of {kind}")
    values = found.flatten()
    if values.null_count:
        raise TypeError(f"one of {name!r} is null")
    return np.asarray(values.to_numpy())


def _whole(struct: Any, name: str) -> int:
    value = _scalar(struct, name)
    if type(value) is not int or value < 0:
        raise TypeError(f"{name!r} is no number")
    return value


def _scalar(struct: Any, name: str) -> object:
    value: object = struct.field(name)[0].as_py()
    return value
