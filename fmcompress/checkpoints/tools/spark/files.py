"""The directories that Spark MLlib saves a model or a stage of a pipeline in, read without Spark or Java.

metadata/part-*         JSON: class, parameters
data/part-*.parquet     one row, where a stage has learned something
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmcompress.checkpoints.dialect import listed
from fmcompress.checkpoints.files.parquet_pages import check_expansion
from fmcompress.checkpoints.reading_errors import damaged, quoted
from fmcompress.errors import CheckpointError

_CLASS = re.compile(rb'"class"\s*:\s*"(?:org\.apache\.spark|pyspark)\.ml\.')
_HEAD_BYTES = 2**12
_LARGEST_METADATA_BYTES = 2**24


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
            found = list(zip(self.texts("inputCols"), self.texts("outputCols"), strict=False))
            if len(found) == len(self.params["inputCols"]) == len(self.params["outputCols"]):
                return found
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
