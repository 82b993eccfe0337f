"""Reads a checkpoint of any tool that the table of dialects knows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from fmcompress.checkpoints import native, pytorch_fm
from fmcompress.checkpoints.candidate import Candidate
from fmcompress.checkpoints.checkpoint import FMCheckpoint, Source
from fmcompress.checkpoints.dialect import Dialect, Given, listed
from fmcompress.errors import CheckpointError
from fmcompress.schema import Schema
from fmcompress.vocabulary import Vocabulary

DIALECTS = (
    Dialect("fmcompress", native.recognises, native.read),
    Dialect("pytorch-fm", pytorch_fm.recognises, pytorch_fm.read),
)
"""One row per tool; the first that recognises a file reads it."""

_CHUNK_BYTES = 2**20


def load_checkpoint(
    path: str | Path,
    *,
    fields: Schema | None = None,
    link: str | None = None,
    keys: Mapping[str, str] | None = None,
    vocabulary: Vocabulary | None = None,
    instance_norm: bool | None = None,
    dataset: str | Path | None = None,
) -> FMCheckpoint:
    """Read a trained factorization machine, whatever tool wrote it.

    The tool is found by the file's content, never by its name. No code of the file or of the tool runs, and
    torch is not imported.

    Args:
        path: the checkpoint.
        fields: names and sizes of its fields, in the order of its rows. Needed where the file does not tell
            them; elsewhere its sizes must be the file's, and its names replace the file's.
        link: from logit to prediction, ``sigmoid``, ``probit``, ``identity`` or ``clip:LOW:HIGH``. Needed where the
            file does not tell it; elsewhere it replaces the file's.
        keys: names of embeddings ``v``, linear weights ``w`` and bias ``b`` in a model of your own.
        vocabulary: tokens of its categories, in place of the file's.
        instance_norm: whether an xLearn model was trained with instance-wise normalisation, which is its default.
        dataset: RecBole's file that tells the fields, where it does not lie beside the checkpoint.

    Raises:
        CheckpointError: it cannot be read, is damaged or no factorization machine, or what is given does not
            fit. The message starts with the file's name.
    """
    path = Path(path)
    given = Given(fields, link, keys, vocabulary, instance_norm, None if dataset is None else Path(dataset))
    try:
        return _load(path, given)
    except CheckpointError as error:
        raise CheckpointError(f"{_printable(path)}: {error}", hint=error.hint) from error
    except OSError as error:
        raise CheckpointError(f"{_printable(path)}: it cannot be read: {error.strerror or error}") from error


def _load(path: Path, given: Given) -> FMCheckpoint:
    if not path.exists():
        raise CheckpointError("there is no such file", hint=f"looked for {path.absolute()}")
    if not path.is_file() and not path.is_dir():
        raise CheckpointError("it is a device or a pipe, expected a file")
    with closing(Candidate(path)) as candidate:
        for dialect in DIALECTS:
            if dialect.recognises(candidate):
                found = dialect.read(candidate, given)
                return replace(
                    found,
                    link=given.link or found.link,
                    vocabulary=given.vocabulary or found.vocabulary,
                    source=Source(dialect.tool, path.name, _sha256(path)),
                )
        raise _unknown(candidate)


def _printable(path: Path) -> str:
    return path.name if path.name.isprintable() else repr(path.name)


def _sha256(path: Path) -> str:
    """Return the SHA-256 of a file; of a directory, of the names and bytes of all its files."""
    digest = hashlib.sha256()
    for part in sorted(part for part in path.rglob("*") if part.is_file()) if path.is_dir() else [path]:
        if path.is_dir():
            digest.update(part.relative_to(path).as_posix().encode(errors="surrogateescape") + b"\0")
        with part.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest()


@dataclass(frozen=True)
class _Foreign:
    """A kind of file that is often given by mistake: how it starts, what to say, what to try."""

    start: bytes
    message: str
    hint: str | None = None


_SAVE_AGAIN = "load it with the tool that wrote it and save model.state_dict() with torch.save"

_FOREIGN = (
    _Foreign(
        b"\x80\x02\x8a\x0alp\x9cF\xf9 j\xa8P\x19",
        "it is in torch's format of before version 1.6",
        "load it with torch.load and save it again with torch.save",
    ),
    _Foreign(b"\x80", "it is a pickle, but not in a torch file", _SAVE_AGAIN),
    _Foreign(b"\x89HDF\r\n\x1a\n", "it is an HDF5 file, as Keras writes them"),
    _Foreign(b"PAR1", "it is a Parquet file: data, not a model"),
    _Foreign(b"\x93NUMPY", "it is a single numpy array"),
    _Foreign(b"\x1f\x8b", "it is compressed with gzip", "unpack it first"),
)


def _unknown(candidate: Candidate) -> CheckpointError:
    """Return the error for a file that no dialect recognises."""
    tools = ", ".join(dialect.tool for dialect in DIALECTS)
    if candidate.path.is_dir():
        return CheckpointError("it is a directory, expected a file")
    if not candidate.head:
        return CheckpointError("it is empty")
    if candidate.tensors is not None:
        keys = [*candidate.weights.tensors, *candidate.weights.others]
        found = f"found keys {listed(keys)}" if keys else "found no tensors"
        return CheckpointError(f"it is no factorization machine of a known tool: {found}", hint=f"known are {tools}")
    for foreign in _FOREIGN:
        if candidate.head.startswith(foreign.start):
            return CheckpointError(foreign.message, hint=foreign.hint)
    return CheckpointError("it is in no known format", hint=f"checkpoints of these tools can be read: {tools}")
