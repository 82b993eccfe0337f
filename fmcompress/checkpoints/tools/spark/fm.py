"""Factorization machines of Spark MLlib, 3.5 and 4: the model alone, or the whole pipeline with its vocabulary.

A pipeline is a directory of its own with ``stages/0_UID``, ``stages/1_UID``, …, each of which is one too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt

from fmcompress.checkpoints.checkpoint_file import CheckpointFile
from fmcompress.checkpoints.dialect import Given, agreed_fields, from_flat, listed
from fmcompress.checkpoints.reading_errors import quoted
from fmcompress.checkpoints.tools.field_tables import NamedFields, named
from fmcompress.checkpoints.tools.spark.files import SavedStage, is_saved_by_spark, read_stage
from fmcompress.checkpoints.tools.spark.pipeline import Number, Part, parts_of_features
from fmcompress.checkpoints.tools.spark.weights import SparkWeights, read_weights
from fmcompress.errors import CheckpointError
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.fm.schema import Field, NumericField
from fmcompress.fm.vocabulary import Vocabulary

_LINKS = {"FMClassificationModel": "sigmoid", "FMRegressionModel": "identity"}
_PIPELINE = "PipelineModel"

_Array = npt.NDArray[np.float32]


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
    parts = parts_of_features(stages[:-1], model.text("featuresCol"))
    weights = read_weights(model)
    if parts is not None:
        return _from_parts(parts, weights, given, _LINKS[model.class_name])
    schema = agreed_fields(None, given.fields, len(weights.linear))
    return from_flat(schema, weights.bias, weights.linear, weights.embeddings, link=_LINKS[model.class_name])


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


def _from_parts(parts: tuple[Part, ...], weights: SparkWeights, given: Given, link: str) -> FMCheckpoint:
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


def _field(part: Part) -> Field | NumericField:
    if isinstance(part, Number):
        return NumericField(part.name)
    return Field(part.name, part.categories, pad=part.width if part.width < part.categories else None)


def _rows(parts: tuple[Part, ...]) -> dict[str, npt.NDArray[np.int64]]:
    """Return the columns of the features that each field has, -1 for a category without one."""
    starts = np.cumsum([0, *(part.width for part in parts)])
    rows = {}
    for part, start in zip(parts, starts.tolist(), strict=False):
        without = 0 if isinstance(part, Number) else part.categories - part.width
        rows[part.name] = np.append(np.arange(start, start + part.width), np.full(without, -1))
    return rows


def _taken(weights: _Array, rows: npt.NDArray[np.int64]) -> _Array:
    """Return the given rows, zeros for -1; without a copy where these are all, in order."""
    if np.array_equal(rows, np.arange(len(weights))):
        return weights
    taken = weights[rows]
    taken[rows < 0] = 0
    return taken


def _vocabulary(parts: tuple[Part, ...], fields: NamedFields) -> Vocabulary | None:
    tokens = {part.name: part.vocabulary for part in parts if not isinstance(part, Number)}
    found = {name: known for name in fields.schema.names if (known := tokens[fields.own[name]]) is not None}
    return Vocabulary(found) if found else None
