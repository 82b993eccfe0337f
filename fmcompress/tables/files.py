"""Tables of vectors read from the file of any model: of torch, safetensors or numpy. No code in it is run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import numpy as np

from fmcompress.arguments import checked_arguments
from fmcompress.checkpoints.checkpoint_file import CheckpointFile
from fmcompress.checkpoints.files.sharded_file import shards_of
from fmcompress.checkpoints.files.state_dict import Part
from fmcompress.checkpoints.files.tensor import FileTensor
from fmcompress.checkpoints.model_files import is_artifact
from fmcompress.checkpoints.reading_errors import listed_all, quoted
from fmcompress.errors import CheckpointError, missing_packages_named
from fmcompress.fm.checkpoint import Source, state_of
from fmcompress.progress import SILENT, Progress
from fmcompress.tables.choosing import Chosen, choose_tables, counts_keys
from fmcompress.tables.embedding_tables import EmbeddingTables
from fmcompress.types import AnyArray

_TOOL = "embedding tables"
_MOST_COPIES = 4
"""Tensors may share their numbers, but not so often that a small file fills the memory."""

T = TypeVar("T")


@missing_packages_named()
@checked_arguments
def load_tables(
    path: str | Path,
    *,
    keys: str | None = None,
    key: str | None = None,
    counts: str | Path | None = None,
    progress: Progress = SILENT,
) -> EmbeddingTables:
    """Read the embedding tables of a model of any kind.

    The file is a state_dict or a whole model of torch, safetensors, or ``.npz``, or a folder of shards or of
    ``torch.distributed.checkpoint``; no code of it runs. Without ``keys``, tensors of two dimensions are tables whose
    key says so (``embedding`` or ``emb`` is in it) and that are no layer's weights, which have a bias beside them; a
    file of nothing but tables may call them anything. A table is called by its key, without ``.weight`` and without
    what the keys of all tables begin with.

    Args:
        path: the file.
        keys: which keys are tables, with commas between them: a key, ``NAME=KEY``, or a pattern with ``*``, or with
            ``{table}`` where the name of each table is.
        key: where the weights are, if the file holds several models, such as ``ema``.
        counts: a file with how often each vector was looked up: a vector for each table, by its name or its key.
            Without it, they are the tensors ``NAME.counts`` beside the tables, where there are any.
        progress: told of the tables, and of what is left out.

    Raises:
        UsageError: ``keys`` make no sense.
        CheckpointError: the file cannot be read, or is damaged; there is no table in it, or it is not clear which
            tensors are; a number is NaN or infinite. The message starts with the file's name.
    """
    tables = Path(path)
    parts = _named(tables, shards_of)
    state = _named(tables, lambda each: state_of(each, parts))
    vectors, found, chosen = _named(tables, lambda each: _read(each, keys, key, own_counts=counts is None))
    if counts is not None:
        found = _named(Path(counts), lambda each: _read_counts(each, chosen.keys))
    loaded = _named(tables, lambda each: EmbeddingTables(vectors, found, Source.of(_TOOL, each, state, parts=parts)))
    _tell(loaded, chosen, progress)
    return loaded


def _named(path: Path, read: Callable[[Path], T]) -> T:
    """Return what is read from a file; errors name it."""
    try:
        if not path.exists():
            raise CheckpointError("there is no such file")
        if not path.is_file() and not path.is_dir():
            raise CheckpointError("it is a device or a pipe, expected a file")
        return read(path)
    except CheckpointError as error:
        raise CheckpointError(f"{quoted(path.name)}: {error}", hint=error.hint) from error
    except OSError as error:
        raise CheckpointError(f"{quoted(path.name)}: it cannot be read: {error.strerror or error}") from error


def _read(
    path: Path, keys: str | None, key: str | None, *, own_counts: bool
) -> tuple[dict[str, AnyArray], dict[str, AnyArray], Chosen]:
    if is_artifact(path):
        raise CheckpointError("it is an artifact of fmcompress, expected the tables of a model")
    with closing(CheckpointFile(path)) as file:
        tensors = _part(file, key).tensors
        chosen = choose_tables(tensors, keys)
        _check_numbers(file, [tensors[each] for each in chosen.keys.values()])
        vectors = {name: tensors[each].read() for name, each in chosen.keys.items()}
        counts = _counts(tensors, chosen.keys, apart=False) if own_counts else {}
        return vectors, counts, chosen


def _read_counts(path: Path, keys: Mapping[str, str]) -> dict[str, AnyArray]:
    with closing(CheckpointFile(path)) as file:
        whole = file.whole
        tensors = {} if whole is None else whole.tensors
        _check_numbers(file, list(tensors.values()))
        found = _counts(tensors, keys, apart=True)
        if not found:
            has = f"it has {listed_all(list(tensors))}" if tensors else "it holds no tensors"
            raise CheckpointError(f"it has no counts of {listed_all(list(keys))}: {has}")
        return found


def _counts(tensors: Mapping[str, FileTensor], keys: Mapping[str, str], *, apart: bool) -> dict[str, AnyArray]:
    """Return the counts of the tables that have any."""
    found = {}
    for name, key in keys.items():
        for each in counts_keys(name, key, tensors, apart=apart):
            found[name] = np.asarray(tensors[each].read())
            break
    return found


def _part(file: CheckpointFile, key: str | None) -> Part:
    """Return where in a file the tables are.

    Raises:
        CheckpointError: there are no tensors, or they are in several places.
    """
    if key is not None:
        return file.part(key)
    parts = file.parts
    if not parts or file.whole is None:
        what = "it is a directory that holds no tensors" if file.path.is_dir() else "it holds no tensors"
        raise CheckpointError(what, hint="files of torch, safetensors and numpy (.npz) can be read, in shards too")
    if len(parts) == 1:
        return parts[0]
    if all(len(part.tensors) == 1 for part in parts):
        return file.whole
    names = [part.name for part in parts]
    raise CheckpointError(f"it holds weights under {listed_all(names)}", hint=f"choose one: --key {quoted(names[0])}")


def _check_numbers(file: CheckpointFile, tensors: list[FileTensor]) -> None:
    """Raise where tensors have far more numbers than the file."""
    most = 0 if file.tensor_file is None else file.tensor_file.most_numbers
    sizes = [math.prod(tensor.shape) for tensor in tensors]
    if max(sizes, default=0) > most or sum(sizes) > _MOST_COPIES * most:
        raise CheckpointError("it has far more numbers than bytes: its tensors are the same ones again and again")


def _tell(tables: EmbeddingTables, chosen: Chosen, progress: Progress) -> None:
    """Tell what was taken, and what was not."""
    shapes = [f"{name} {len(own):,} × {own.shape[1]}" for name, own in tables.vectors.items()]
    more = f" and {len(shapes) - 8} more" if len(shapes) > 8 else ""
    progress.note(f"tables: {', '.join(shapes[:8])}{more}")
    if chosen.left_out:
        progress.note(f"left out: {listed_all(chosen.left_out)}; --tables-keys says which are tables")
    without = [name for name in tables.schema.names if tables.lookups(name) is None]
    if len(without) == len(tables.schema.names):
        progress.note("no counts: all vectors count the same")
    elif without:
        progress.note(f"no counts of {listed_all(without)}: their vectors count the same")
