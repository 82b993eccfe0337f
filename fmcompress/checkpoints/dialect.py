"""What a dialect is: how one tool lays a factorization machine out in a file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from fmcompress.checkpoints.candidate import Candidate
from fmcompress.checkpoints.checkpoint import FMCheckpoint
from fmcompress.checkpoints.damage import quoted
from fmcompress.checkpoints.tensor import Tensor
from fmcompress.errors import CheckpointError
from fmcompress.schema import Schema


@dataclass(frozen=True)
class Dialect:
    """One row of the table of dialects.

    Attributes:
        tool: the tool's name, for ``Source.tool`` and for messages.
        recognises: whether a file is this tool's, judged by its content alone. It never raises for a file
            of another tool.
        read: reads a file that was recognised, with the fields that the caller gave, or None. It raises
            CheckpointError without the file's name, and leaves ``FMCheckpoint.source`` open.
    """

    tool: str
    recognises: Callable[[Candidate], bool]
    read: Callable[[Candidate, Schema | None], FMCheckpoint]


def claim(
    weights: Mapping[str, Tensor], needed: Collection[str], optional: Collection[str] = ()
) -> Mapping[str, Tensor]:
    """Return ``weights`` when they are what a factorization machine needs, and nothing else.

    Raises:
        CheckpointError: there is another key, so it is another model; or a key is missing.
    """
    known = {*needed, *optional}
    rooms = {key.partition(".")[0] for key in known}
    unclaimed = [key for key in weights if key not in known]
    if unclaimed:
        # A key such as mlp.0.weight tells more than a variant of a known one.
        telling = next((key for key in unclaimed if key.partition(".")[0] not in rooms), unclaimed[0])
        more = f" and {len(unclaimed) - 1} more" if len(unclaimed) > 1 else ""
        raise CheckpointError(f"it is no factorization machine: it also holds {listed([telling])}{more}")
    for key in needed:
        if key not in weights:
            raise CheckpointError(f"{key!r} is missing, found only {listed(weights)}")
    return weights


def listed(keys: Collection[str], at_most: int = 3) -> str:
    """Return the first keys for a message: ``'a', 'b', 'c' and 4 more``."""
    first = [quoted(key) for key in list(keys)[:at_most]]
    more = f" and {len(keys) - at_most} more" if len(keys) > at_most else ""
    return ", ".join(key if key[:1] in "'\"" else f"'{key}'" for key in first) + more


def agreed_fields(own: Schema | None, given: Schema | None, rows: int) -> Schema:
    """Return the fields of a model with ``rows`` categories: the given ones where there are some.

    Args:
        own: the fields that the file itself tells, or None.
        given: the fields that the caller names; their names win, their sizes must be the file's.
        rows: categories in the file's tables.

    Raises:
        CheckpointError: sizes disagree, or nobody knows the fields.
    """
    schema = given or own
    if schema is None:
        raise CheckpointError(
            f"it does not say which fields its {rows:,} categories belong to",
            hint="pass --fields name:size,name:size,…",
        )
    if given is not None and own is not None and list(given.cardinalities) != list(own.cardinalities):
        raise CheckpointError(
            f"its fields have {_sizes(own)} categories, but --fields says {_sizes(given)}",
            hint="leave --fields out, or keep to the file's sizes",
        )
    if schema.categories != rows:
        raise CheckpointError(
            f"its tables have {rows:,} rows, but its fields have {schema.categories:,} categories",
            hint="the sizes in --fields must add up to the number of rows" if given else None,
        )
    return schema


def _sizes(schema: Schema) -> str:
    sizes = [f"{size}" for size in schema.cardinalities]
    return ", ".join(sizes[:8]) + (f", … ({len(sizes)} fields)" if len(sizes) > 8 else "")
