"""From the stages of a Spark pipeline to the fields of its model.

    StringIndexer     tokens of a column  →  numbers
    OneHotEncoder     numbers             →  a vector of zeros and a one: a field with categories
    VectorAssembler   vectors, numbers    →  features: fields side by side, numeric ones among them

Each stage names the columns that it takes and makes. A column that another kind of stage makes is refused where the
model takes it; stages that it does not depend on, such as one that indexes the labels, do not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from fmcompress.checkpoints.dialect import listed
from fmcompress.checkpoints.reading_errors import damaged
from fmcompress.checkpoints.tools.spark.files import SavedStage, read_row
from fmcompress.errors import CheckpointError
from fmcompress.fm.field_vocabulary import FieldVocabulary

_KEEP = "keep"


@dataclass(frozen=True)
class Number:
    """A column of the data that goes into the features as it is."""

    name: str

    @property
    def width(self) -> int:
        """Columns of the features that it takes."""
        return 1


@dataclass(frozen=True)
class OneHot:
    """A field with categories.

    Attributes:
        name: column of the data.
        width: columns of the features that it takes.
        categories: ids that it can have; one more than columns where the last one has none, and contributes nothing.
        vocabulary: its tokens; None where the data hold numbers.
    """

    name: str
    width: int
    categories: int
    vocabulary: FieldVocabulary | None


@dataclass(frozen=True)
class _Indexed:
    name: str
    vocabulary: FieldVocabulary
    categories: int


@dataclass(frozen=True)
class _Unknown:
    reason: str


Part = Number | OneHot
_Column = _Indexed | _Unknown | tuple[Part, ...]
_Columns = dict[str, _Column]


def parts_of_features(stages: Iterable[SavedStage], features: str) -> tuple[Part, ...] | None:
    """Return what the features of a model consist of, in order; None where no stage makes them.

    Args:
        stages: the stages before the model.
        features: column of the features.

    Raises:
        CheckpointError: a stage that they depend on is of another kind, or a stage is damaged.
    """
    columns: _Columns = {}
    for stage in stages:
        _STAGES.get(stage.class_name, _other)(stage, columns)
    found = columns.get(features)
    if isinstance(found, _Indexed):
        found = _Unknown(f"column {listed([features])} of a StringIndexer")
    if isinstance(found, _Unknown):
        raise CheckpointError(
            f"its features depend on {found.reason}, which cannot be read",
            hint="StringIndexer, OneHotEncoder and VectorAssembler can be read; or give the model alone, with --fields",
        )
    return found


def _index(stage: SavedStage, columns: _Columns) -> None:
    keeps = stage.text("handleInvalid") == _KEEP
    row = read_row(stage, {"labelsArray": "list<"})
    with damaged("the labels of a StringIndexer cannot be read"):
        labels = row["labelsArray"][0].as_py()
        for (source, target), tokens in zip(stage.columns(), labels, strict=True):
            if not all(isinstance(token, str) for token in tokens):
                raise TypeError("a label is no text")
            columns[target] = _of_another_stage(source, columns) or _indexed(source, tokens, keeps)


def _of_another_stage(source: str, columns: _Columns) -> _Unknown | None:
    column = columns.get(source)
    if column is None or isinstance(column, _Unknown):
        return column
    return _Unknown(f"a StringIndexer of column {listed([source])} of another stage")


def _indexed(name: str, tokens: list[str], keeps: bool) -> _Indexed:
    invalid = len(tokens) if keeps else None
    ids = np.arange(len(tokens), dtype=np.int32)
    return _Indexed(name, FieldVocabulary(tuple(tokens), ids, invalid, invalid), len(tokens) + keeps)


def _encode(stage: SavedStage, columns: _Columns) -> None:
    drops, keeps = stage.params.get("dropLast") is not False, stage.text("handleInvalid") == _KEEP
    row = read_row(stage, {"categorySizes": "list<"})
    with damaged("the sizes of a OneHotEncoder cannot be read"):
        sizes = row["categorySizes"][0].as_py()
        for (source, target), size in zip(stage.columns(), sizes, strict=True):
            # With both, the column that is dropped is that of invalid values.
            columns[target] = _one_hot(source, columns, size, size + keeps - drops)


def _one_hot(source: str, columns: _Columns, size: int, width: int) -> _Column:
    column = columns.get(source)
    if isinstance(column, _Unknown):
        return column
    if isinstance(column, tuple):
        return _Unknown(f"a OneHotEncoder of column {listed([source])}, which is a vector")
    if column is None:
        return (OneHot(source, width, max(size, width), None),)
    if column.categories > size:
        raise ValueError(f"it has {size} for column {listed([source])}, which has {column.categories}")
    return (OneHot(column.name, width, max(size, width), column.vocabulary),)


def _assemble(stage: SavedStage, columns: _Columns) -> None:
    parts: list[Part] = []
    unknown: _Unknown | None = None
    for name in stage.texts("inputCols"):
        column = columns.get(name, (Number(name),))
        if isinstance(column, tuple):
            parts += column
        elif isinstance(column, _Indexed):
            unknown = _Unknown(f"the number that a StringIndexer gives column {listed([column.name])}, not as one-hot")
        else:
            unknown = column
    columns[stage.text("outputCol")] = unknown or tuple(parts)


def _other(stage: SavedStage, columns: _Columns) -> None:
    made = stage.params.get("outputCols") or [stage.params.get("outputCol")]
    if not isinstance(made, list) or not all(isinstance(name, str) for name in made):
        raise CheckpointError(
            f"its stage {stage.class_name} can change any column, and cannot be read",
            hint="give the model alone, with --fields",
        )
    columns.update({name: _Unknown(f"column {listed([name])} of stage {stage.class_name}") for name in made})


_STAGES: dict[str, Callable[[SavedStage, _Columns], None]] = {
    "StringIndexerModel": _index,
    "OneHotEncoderModel": _encode,
    "VectorAssembler": _assemble,
}
