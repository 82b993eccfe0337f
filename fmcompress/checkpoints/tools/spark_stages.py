"""What Spark MLlib saves, read without Spark or Java: directories of stages, and the fields that a pipeline makes.

metadata/part-*         JSON: class, parameters
data/part-*.parquet     one row, where a stage has learned something

    StringIndexer     tokens of a column  →  numbers
    OneHotEncoder     numbers             →  a vector of zeros and a one: a field with categories
    VectorAssembler   vectors, numbers    →  features: fields side by side, numeric ones among them

Each stage names the columns that it takes and makes. A column that another kind of stage makes is refused where the
model takes it; stages that it does not depend on, such as one that indexes the labels, do not matter.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fmcompress.checkpoints.files.parquet_pages import check_expansion
from fmcompress.checkpoints.reading_errors import damaged, listed, quoted
from fmcompress.errors import CheckpointError
from fmcompress.fm.field_vocabulary import FieldVocabulary

_CLASS = re.compile(rb'"class"\s*:\s*"(?:org\.apache\.spark|pyspark)\.ml\.')
_HEAD_BYTES = 2**12
_LARGEST_METADATA_BYTES = 2**24
_KEEP = "keep"


@dataclass(frozen=True)
class SavedStage:
    """A saved model or stage.

    Attributes:
        path: its directory.
        class_name: its class, without packages, such as ``FMClassificationModel``.
        params: its parameters, the defaults among them.
    """

    path: Path
    class_name: str
    params: Mapping[str, Any]

    def text(self, name: str) -> str:
        """Return a parameter that is a text."""
        return self._checked(name, self.params.get(name))

    def texts(self, name: str) -> list[str]:
        """Return a parameter that is a list of texts."""
        found = self.params.get(name)
        return [self._checked(name, text) for text in (found if isinstance(found, list) else [None])]

    def columns(self) -> list[tuple[str, str]]:
        """Return its columns, each from which to which."""
        if "inputCols" in self.params:
            sources, targets = self.texts("inputCols"), self.texts("outputCols")
            if len(sources) == len(targets):
                return list(zip(sources, targets, strict=True))
            raise CheckpointError(f"its stage {self.class_name} has other numbers of columns before and after")
        return [(self.text("inputCol"), self.text("outputCol"))]

    def _checked(self, name: str, value: object) -> str:
        if not isinstance(value, str):
            raise CheckpointError(f"its stage {self.class_name} has no parameter {name!r}, or none that is a text")
        return value


def is_saved_by_spark(path: Path) -> bool:
    """Return whether a directory has metadata of Spark MLlib."""
    for part in _parts(path, "metadata", "") if path.is_dir() else []:
        with part.open("rb") as file:
            if _CLASS.search(file.read(_HEAD_BYTES)):
                return True
    return False


def read_stage(path: Path) -> SavedStage:
    """Read what a directory says of its model or stage.

    Raises:
        CheckpointError: there is no metadata, or it is damaged.
    """
    with damaged(f"the metadata of {listed([path.name])} cannot be read"):
        parts = [part for part in _parts(path, "metadata", "") if part.stat().st_size]
        if len(parts) != 1:
            raise ValueError(f"found {len(parts)} files metadata/part-* that are not empty, expected one")
        with parts[0].open("rb") as file:
            text = file.read(_LARGEST_METADATA_BYTES + 1)
        if len(text) > _LARGEST_METADATA_BYTES:
            raise ValueError("it is too large")
        found = json.loads(text)
        params = {**found.get("defaultParamMap", {}), **found["paramMap"]}
        return SavedStage(path, quoted(found["class"].rpartition(".")[2]), params)


def read_row(stage: SavedStage, kinds: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the values that a stage has learned: Arrow arrays of length 1 by name.

    Args:
        stage: the stage.
        kinds: how Arrow's name of the type of each column starts.

    Raises:
        CheckpointError: its Parquet files are missing or damaged, have other columns, or more than one row.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    what = f"the data of its stage {stage.class_name} cannot be read"
    try:
        with damaged(what):
            rows: list[Any] = []
            for part in _parts(stage.path, "data", ".parquet"):
                check_expansion(part)
                with pq.ParquetFile(part, page_checksum_verification=True) as file:
                    if file.metadata.num_rows:
                        rows.append(file.read(columns=list(kinds)))
            if [len(table) for table in rows] != [1]:
                raise ValueError(f"found {sum(len(table) for table in rows)} rows, expected one")
            row = {name: rows[0].column(name).combine_chunks() for name in kinds}
            for name, kind in kinds.items():
                if not str(row[name].type).startswith(kind) or row[name].null_count:
                    raise TypeError(f"{name!r} is null or of another type than {kind}")
            return row
    except (pa.ArrowException, MemoryError) as error:
        raise CheckpointError(f"{what}: {type(error).__name__}") from error


def _parts(path: Path, folder: str, suffix: str) -> list[Path]:
    return sorted(part for part in (path / folder).glob(f"part-*{suffix}") if part.is_file())


@dataclass(frozen=True)
class FeatureColumn:
    """A column of the data in the features: a number as it is, or a field with categories as zeros and a one.

    Attributes:
        name: column of the data.
        width: columns of the features that it takes.
        categories: ids that it can have, None of a number; one more than columns where the last one has none, and
            contributes nothing.
        vocabulary: its tokens; None where the data hold numbers.
    """

    name: str
    width: int = 1
    categories: int | None = None
    vocabulary: FieldVocabulary | None = None


@dataclass(frozen=True)
class _Column:
    """A column that a stage makes: a vector of parts, if nothing else is said.

    Attributes:
        parts: the parts; of numbers that a StringIndexer gives tokens, what they become as one-hot.
        indexed: whether it is such numbers.
        refused: what makes it, if that cannot be read.
    """

    parts: tuple[FeatureColumn, ...] = ()
    indexed: bool = False
    refused: str = ""


_Columns = dict[str, _Column]


def feature_columns(stages: Iterable[SavedStage], features: str) -> tuple[FeatureColumn, ...] | None:
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
    if features not in columns:
        return None
    found = columns[features]
    refused = f"column {listed([features])} of a StringIndexer" if found.indexed else found.refused
    if refused:
        raise CheckpointError(
            f"its features depend on {refused}, which cannot be read",
            hint="StringIndexer, OneHotEncoder and VectorAssembler can be read; or give the model alone, with --fields",
        )
    return found.parts


def _index(stage: SavedStage, columns: _Columns) -> None:
    keeps = stage.text("handleInvalid") == _KEEP
    row = read_row(stage, {"labelsArray": "list<"})
    with damaged("the labels of a StringIndexer cannot be read"):
        labels = row["labelsArray"][0].as_py()
        for (source, target), tokens in zip(stage.columns(), labels, strict=True):
            if not all(isinstance(token, str) for token in tokens):
                raise TypeError("a label is no text")
            column = columns.get(source)
            if column is None:
                columns[target] = _indexed(source, tokens, keeps)
            else:
                of_another = f"a StringIndexer of column {listed([source])} of another stage"
                columns[target] = _Column(refused=column.refused or of_another)


def _indexed(name: str, tokens: list[str], keeps: bool) -> _Column:
    invalid = len(tokens) if keeps else None
    vocabulary = FieldVocabulary(tuple(tokens), np.arange(len(tokens), dtype=np.int32), invalid, invalid)
    categories = len(tokens) + keeps
    return _Column((FeatureColumn(name, categories, categories, vocabulary),), indexed=True)


def _encode(stage: SavedStage, columns: _Columns) -> None:
    drops, keeps = stage.params.get("dropLast") is not False, stage.text("handleInvalid") == _KEEP
    row = read_row(stage, {"categorySizes": "list<"})
    with damaged("the sizes of a OneHotEncoder cannot be read"):
        sizes = row["categorySizes"][0].as_py()
        for (source, target), size in zip(stage.columns(), sizes, strict=True):
            # With both, the column that is dropped is that of invalid values.
            columns[target] = _one_hot(source, columns.get(source), size, size + keeps - drops)


def _one_hot(source: str, column: _Column | None, size: int, width: int) -> _Column:
    if column is None:
        return _Column((FeatureColumn(source, width, max(size, width)),))
    if not column.indexed:
        return _Column(refused=column.refused or f"a OneHotEncoder of column {listed([source])}, which is a vector")
    (tokens,) = column.parts
    if tokens.width > size:
        raise ValueError(f"it has {size} for column {listed([source])}, which has {tokens.width}")
    return _Column((FeatureColumn(tokens.name, width, max(size, width), tokens.vocabulary),))


def _assemble(stage: SavedStage, columns: _Columns) -> None:
    parts: list[FeatureColumn] = []
    refused = ""
    for name in stage.texts("inputCols"):
        column = columns.get(name, _Column((FeatureColumn(name),)))
        if column.indexed:
            own = listed([column.parts[0].name])
            refused = f"the number that a StringIndexer gives column {own}, not as one-hot"
        refused = column.refused or refused
        parts += column.parts
    columns[stage.text("outputCol")] = _Column(() if refused else tuple(parts), refused=refused)


def _other(stage: SavedStage, columns: _Columns) -> None:
    made = stage.params.get("outputCols") or [stage.params.get("outputCol")]
    if not isinstance(made, list) or not all(isinstance(name, str) for name in made):
        raise CheckpointError(
            f"its stage {stage.class_name} can change any column, and cannot be read",
            hint="give the model alone, with --fields",
        )
    for name in made:
        columns[name] = _Column(refused=f"column {listed([name])} of stage {stage.class_name}")


_STAGES: dict[str, Callable[[SavedStage, _Columns], None]] = {
    "StringIndexerModel": _index,
    "OneHotEncoderModel": _encode,
    "VectorAssembler": _assemble,
}
