"""What a dialect is: how one tool lays a factorization machine out in a file.

A new one is a module in ``tools`` with the two functions ``recognises`` and ``read``, and its row of ``load.DIALECTS``.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fmcompress.checkpoints.checkpoint_file import CheckpointFile
from fmcompress.checkpoints.files.tensor import FileTensor
from fmcompress.checkpoints.reading_errors import listed, listed_all
from fmcompress.errors import CheckpointError
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.disk_table import Table
from fmcompress.fm.disk_table import rows_of as rows_of_table
from fmcompress.fm.network import Network
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.fm.schema import Field, NumericField, Schema, SharedField
from fmcompress.fm.vocabulary import Vocabulary
from fmcompress.types import Float32Array


@dataclass(frozen=True)
class Given:
    """What the caller says about a checkpoint, for what its file does not tell: arguments of ``load_checkpoint``."""

    fields: Schema | None = None
    link: str | None = None
    keys: Mapping[str, str] | None = None
    vocabulary: Vocabulary | None = None
    instance_norm: bool | None = None
    dataset: Path | None = None
    key: str | None = None
    activations: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Dialect:
    """One row of the table of dialects.

    Attributes:
        tool: the tool's name, for ``Source.tool`` and for messages.
        recognises: whether a file is this tool's, judged by its content alone. It never raises for a file
            of another tool.
        read: reads a file that was recognised, with what the caller says about it. It raises CheckpointError without
            the file's name, and leaves ``FMCheckpoint.source`` open. What is given of link and vocabulary is put in
            place of the file's afterwards; ``given_link`` is for a file that does not tell its link.
    """

    tool: str
    recognises: Callable[[CheckpointFile], bool]
    read: Callable[[CheckpointFile, Given], FMCheckpoint]


def claim(
    weights: Mapping[str, FileTensor], needed: Collection[str], optional: Collection[str] = ()
) -> Mapping[str, FileTensor]:
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
        others = [telling, *(key for key in unclaimed if key != telling)]
        raise CheckpointError(f"it is no factorization machine: it also holds {listed_all(others)}")
    for key in needed:
        if key not in weights:
            raise CheckpointError(f"{key!r} is missing, found only {listed(weights)}")
    return weights


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
    if given is not None and own is not None and _layout(given) != _layout(own):
        raise CheckpointError(
            f"its fields have {_sizes(own)} categories, but --fields says {_sizes(given)}",
            hint="leave --fields out, or keep to the file's sizes",
        )
    if schema.flat_rows != rows:
        numbers = f" and {len(schema.numeric)} numbers" if schema.numeric else ""
        raise CheckpointError(
            f"its tables have {rows:,} rows, but its fields have {schema.categories:,} categories{numbers}",
            hint="the sizes in --fields must add up to the number of rows" if given else None,
        )
    return schema


def given_link(given: Given) -> str:
    """Return the link that the caller names, for a file that does not tell it.

    Raises:
        CheckpointError: there is none.
    """
    if given.link is None:
        raise CheckpointError(
            "it does not say how a logit becomes a prediction",
            hint="pass --link sigmoid, probit, identity, or clip:LOW:HIGH",
        )
    return given.link


def from_flat(
    schema: Schema,
    bias: float,
    linear: Float32Array,
    embeddings: Table,
    link: str = "sigmoid",
    network: Network | None = None,
) -> FMCheckpoint:
    """Return the checkpoint of a model whose fields stand in one table, in the order of ``schema.all_fields``.

    Args:
        schema: the fields; a categorical one has a row for each category, a numeric one a single row.
        bias: w_0.
        linear: w, float32 (rows,).
        embeddings: V, float32 (rows, dim).
        link: from logit to prediction.
        network: dense layers on top of it, or None.
    """
    if not schema.numeric:
        return FMCheckpoint(schema, bias, linear, embeddings, link, network=network)
    is_numeric = [isinstance(field, NumericField) for field in schema.all_fields]
    numeric = np.repeat(is_numeric, [rows_of(field) for field in schema.all_fields])
    linear_only = np.array([[field.linear_only] for field in schema.numeric])
    weights = NumericWeights(linear[numeric], np.where(linear_only, np.float32(0), embeddings[numeric]))
    categories = np.flatnonzero(~numeric)
    own = linear[categories], rows_of_table(embeddings, categories)
    return FMCheckpoint(schema, bias, *own, link, numeric=weights, network=network)


def rows_of(field: Field | SharedField | NumericField) -> int:
    """Return the rows of a field in a table of all fields: one of each category, one of a number, none of its own."""
    return field.cardinality if isinstance(field, Field) else int(isinstance(field, NumericField))


def _layout(schema: Schema) -> list[int]:
    return [rows for field in schema.all_fields if (rows := rows_of(field))]


def _sizes(schema: Schema) -> str:
    sizes = [f"{size}" for size in schema.cardinalities]
    return ", ".join(sizes[:8]) + (f", … ({len(sizes)} fields)" if len(sizes) > 8 else "")
