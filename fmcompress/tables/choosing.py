"""Which tensors of a file are tables of vectors, what they are called, and where their counts are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fmcompress.checkpoints.files.tensor import FileTensor
from fmcompress.checkpoints.reading_errors import listed, listed_all, quoted
from fmcompress.errors import CheckpointError, UsageError

_WEIGHT = ".weight"
_BIAS = ".bias"
_COUNTS = ".counts"
_PLACE = "{table}"
_EMBEDDING = re.compile(r"(?i:embed)|Emb|(?:^|[._])emb|(?:^|\.)w[tp]e(?:$|\.)")
"""What the path of an embedding has in it: embedding, embed_tokens, emb_l, user_emb, embedding_bags, wte, …"""

_SAY = "--tables-keys says which are tables, such as 'embeddings.*' or user=net.user.weight"


@dataclass(frozen=True)
class Chosen:
    """The tables among the tensors of a file.

    Attributes:
        keys: the key of each table, by its name.
        left_out: keys of other tensors of two dimensions.
    """

    keys: Mapping[str, str]
    left_out: tuple[str, ...]


def choose_tables(tensors: Mapping[str, FileTensor], patterns: str | None = None) -> Chosen:
    """Return which tensors are tables.

    Args:
        tensors: of the file, by key.
        patterns: which keys, as ``--tables-keys`` takes them; None takes what clearly is a table.

    Raises:
        UsageError: the patterns make no sense.
        CheckpointError: no tensor is a table, or it is not clear which are; a key that is named is none.
    """
    matrices = [key for key, tensor in tensors.items() if len(tensor.shape) == 2 and tensor.is_float]
    if not matrices:
        found = f", only {listed(list(tensors))}" if tensors else ""
        raise CheckpointError(f"it holds no floats of two dimensions{found}: there are no tables in it")
    keys = dict(_named(tensors, matrices, patterns)) if patterns is not None else _clear(tensors, matrices)
    taken = set(keys.values())
    return Chosen(keys, tuple(key for key in matrices if key not in taken))


def counts_keys(name: str, key: str | None, tensors: Mapping[str, FileTensor], *, apart: bool) -> Iterator[str]:
    """Yield the keys under which the counts of a table are.

    Args:
        name: of the table.
        key: of the table, in its file.
        tensors: where counts may be.
        apart: whether these are of a file of counts alone, in which they may have the table's own name.
    """
    stem = (key or name).removesuffix(_WEIGHT)
    names = list(dict.fromkeys((name, key or name, stem)))
    every = [f"{one}{_COUNTS}" for one in names] + (names if apart else [])
    yield from (one for one in every if one in tensors and len(tensors[one].shape) == 1)


def _clear(tensors: Mapping[str, FileTensor], matrices: Sequence[str]) -> dict[str, str]:
    """Return what clearly is a table: what its key says, or all that there is where there is nothing else."""
    plain = [key for key in matrices if not _has_bias(key, tensors)]
    others = [key for key in tensors if key not in matrices and not key.endswith(_COUNTS)]
    found = [key for key in plain if _EMBEDDING.search(key)]
    if not others and not any(key.endswith(_WEIGHT) for key in matrices):
        found = list(matrices)
    if not found:
        raise CheckpointError(
            f"it is not clear which of its tensors are tables: it has {listed_all(matrices)}", hint=_SAY
        )
    return _short_names(found)


def _has_bias(key: str, tensors: Mapping[str, FileTensor]) -> bool:
    """Return whether a tensor is the weight of a layer: beside it there is a bias of as many rows."""
    bias = tensors.get(key.removesuffix(_WEIGHT) + _BIAS)
    return key.endswith(_WEIGHT) and bias is not None and bias.shape == tensors[key].shape[:1]


def _short_names(keys: Sequence[str]) -> dict[str, str]:
    """Return keys by their names: without ``.weight`` at the end, and without what all of them begin with."""
    stems = [key.removesuffix(_WEIGHT) for key in keys]
    if len(set(stems)) < len(stems):
        stems = list(keys)
    parts = [stem.split(".") for stem in stems]
    common = 0
    while all(len(own) > common + 1 for own in parts) and len({tuple(own[: common + 1]) for own in parts}) == 1:
        common += 1
    # Numbers alone say nothing: emb_l.0 stays as it is.
    while common and any(own[common].isdecimal() for own in parts):
        common -= 1
    return {".".join(own[common:]): key for own, key in zip(parts, keys, strict=True)}


def _named(tensors: Mapping[str, FileTensor], matrices: Sequence[str], patterns: str) -> Iterable[tuple[str, str]]:
    """Return names and keys that patterns name."""
    found: dict[str, str] = {}
    unnamed: list[str] = []
    for pattern in patterns.split(","):
        name, equals, wanted = pattern.rpartition("=")
        if not wanted or (equals and not name):
            raise UsageError(f"--tables-keys has {pattern!r}, expected KEY, NAME=KEY, or a pattern", hint=_SAY)
        if "*" not in wanted and _PLACE not in wanted:
            _check_key(wanted, tensors)
            found |= {name: wanted} if equals else {}
            unnamed += [] if equals else [wanted]
            continue
        if equals:
            raise UsageError(f"--tables-keys has {pattern!r}: a name is of one key", hint=f"{_PLACE} stands for names")
        shape = re.escape(wanted).replace(re.escape("*"), ".*").replace(re.escape(_PLACE), "(?P<table>[^.]+)", 1)
        matches = [match for key in matrices if (match := re.fullmatch(rf"(?:.*\.)?{shape}", key))]
        if not matches:
            raise CheckpointError(f"no table has a key like {quoted(wanted)}: it has {listed_all(matrices)}")
        for match in matches:
            if _PLACE in wanted:
                _check_once(found, match["table"], match[0])
                found[match["table"]] = match[0]
            else:
                unnamed.append(match[0])
    taken = set(found.values())
    for name, key in _short_names([key for key in dict.fromkeys(unnamed) if key not in taken]).items():
        _check_once(found, name, key)
        found[name] = key
    return found.items()


def _check_once(found: Mapping[str, str], name: str, key: str) -> None:
    if name in found and found[name] != key:
        raise UsageError(f"--tables-keys calls two tables {name!r}: {listed_all([found[name], key])}")


def _check_key(key: str, tensors: Mapping[str, FileTensor]) -> None:
    if key not in tensors:
        raise CheckpointError(f"it has no {quoted(key)}: it has {listed_all(list(tensors))}")
    if len(tensors[key].shape) != 2 or not tensors[key].is_float:
        raise CheckpointError(f"{quoted(key)} is no table: expected floats of two dimensions, not {tensors[key].shape}")
