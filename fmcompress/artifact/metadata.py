"""The metadata of an artifact: the frame that is fixed before anything is quantized, and the text that is written.

It is canonical JSON with an entry for each field, see ``entries``. How dense layers are told of stands in
``network_layout``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from fmcompress.artifact.container import StoredTensor, canonical_json
from fmcompress.artifact.network_layout import StoredNetwork
from fmcompress.artifact.origin import DEFAULTS as OF_ORIGIN
from fmcompress.artifact.origin import Origin, encode_origin
from fmcompress.errors import UsageError
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.links import Link, parse_link
from fmcompress.fm.quantized_fm import QuantizedFM
from fmcompress.fm.schema import Schema, VectorField

SCHEMA_VERSION = 2
"""The newest one with metadata in JSON; files say the oldest that knows what they hold."""

COMPACT_VERSION = 3
"""Of compact artifacts, whose header is binary."""

NETWORKS_VERSION = 2
"""Of artifacts with dense layers."""

TABLES_VERSION = 2
"""That of tables; that of factorization machines is 1."""

UNSEALED = "0" * 64
"""Stands in for the SHA-256 while it is computed."""

DEFAULTS = {**OF_ORIGIN, "link": "sigmoid", "network": []}
"""What metadata mean that do not say it."""

TABLES = "tables"
"""Content of an artifact that holds tables of vectors, and no factorization machine."""

ALWAYS = ("bias", "values", "codes")
"""Tensors that are there even where they hold nothing."""

_MAX_NUMERIC = 2**26
"""Numbers in embeddings of numeric fields: linear-only ones take no bytes in a file, but room in memory."""


@dataclass(frozen=True)
class Frame:
    """What is fixed of an artifact before anything is quantized.

    Attributes:
        schema: the fields; those with tables in the order of their bytes.
        dim: embedding size l.
        link: from logit to prediction, as ``str(Link)`` writes it.
        vocabulary_bytes: size of the vocabulary that it carries; 0 for none.
        network: how its dense layers are stored; None where it has none.

    Raises:
        UsageError: there is no such link, or there are too many numeric fields.
    """

    schema: Schema
    dim: int
    link: str
    vocabulary_bytes: int = 0
    network: StoredNetwork | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "link", str(self.link_function))
        if len(self.schema.numeric) * self.dim > _MAX_NUMERIC:
            raise UsageError(f"{len(self.schema.numeric):,} numeric fields are too many for embeddings of {self.dim}")

    @classmethod
    def of(
        cls,
        model: FMCheckpoint | QuantizedFM,
        *,
        network_bytes: tuple[int, ...] | None = None,
        vocabulary_bytes: int = 0,
    ) -> Frame:
        """Return the frame of a checkpoint's or a quantized model's artifact.

        Args:
            model: the checkpoint, or the quantized model.
            network_bytes: bytes of a weight of each of its dense layers; None stores them in int8.
            vocabulary_bytes: size of the vocabulary that it carries.
        """
        network = None
        if model.network is not None:
            own = model.network
            network = StoredNetwork.of(own, network_bytes) if network_bytes else StoredNetwork.in_int8(own)
        return cls(model.schema, model.dim, model.link, vocabulary_bytes, network)

    def with_layers(self, value_bytes: tuple[int, ...] | None) -> Frame:
        """Return the same frame with weights of so many bytes in its dense layers; None changes nothing."""
        if self.network is None or value_bytes is None:
            return self
        return replace(self, network=self.network.with_value_bytes(value_bytes))

    @property
    def link_function(self) -> Link:
        """The link, ready to be used."""
        return parse_link(self.link)

    @property
    def vector_sizes(self) -> tuple[int, ...]:
        """Size l of the embeddings of each field with a table."""
        return tuple(field.vector_size(self.dim) for field in self.schema.fields)

    @property
    def raw_numbers(self) -> int:
        """How many numbers the tables hold where everything is raw."""
        return self.schema.categories * (self.dim + 1)

    @property
    def described(self) -> dict[str, Any]:
        """What the metadata say of it, but for the fields."""
        described = {"schema_version": 1, "link": self.link, "dim": self.dim}
        if self.network is not None:
            described |= {"schema_version": NETWORKS_VERSION, "network": self.network.entry()}
        return described

    @property
    def numeric(self) -> StoredTensor:
        """The tensor of the numeric fields: of each its linear weight, and its embedding unless it is linear only."""
        fields = self.schema.numeric
        embedded = sum(not field.linear_only for field in fields)
        return StoredTensor("numeric", "F32", len(fields) + embedded * self.dim)

    @property
    def dense_layers(self) -> StoredTensor:
        """The tensor of the dense layers."""
        network_bytes = 0 if self.network is None else self.network.nbytes(self.schema, self.dim)
        return StoredTensor("network", "U8", network_bytes)

    @property
    def vocabulary(self) -> StoredTensor:
        """The tensor of the vocabulary."""
        return StoredTensor("vocabulary", "U8", self.vocabulary_bytes)

    def tensors(self, values: int, codes: int) -> tuple[StoredTensor, ...]:
        """Return the tensors of an artifact with so many values and codes, in the order of their bytes."""
        every = (
            StoredTensor("bias", "F32", 1),
            self.numeric,
            StoredTensor("values", "F16", values),
            StoredTensor("codes", "U8", codes),
            self.dense_layers,
            self.vocabulary,
        )
        return tuple(tensor for tensor in every if tensor.size or tensor.name in ALWAYS)


@dataclass(frozen=True)
class TablesFrame(Frame):
    """What is fixed of an artifact that holds tables of vectors, and no factorization machine.

    Attributes:
        schema: the tables, each a ``VectorField``, and other names of the same ones.
        dim: not used.
        link: not used.
        vocabulary_bytes: not used.
        network: not used.
    """

    dim: int = 0
    link: str = DEFAULTS["link"]

    @property
    def raw_numbers(self) -> int:
        """How many numbers the tables hold where everything is raw."""
        sizes = zip(self.schema.fields, self.vector_sizes, strict=True)
        return sum(field.cardinality * size for field, size in sizes)

    @property
    def described(self) -> dict[str, Any]:
        """What the metadata say of it, but for the fields."""
        return {"schema_version": TABLES_VERSION, "content": TABLES}

    @property
    def axes_starts(self) -> dict[int, int]:
        """Where the axes of tables that have any begin in their tensor, by the number of the table."""
        sizes = [self.axes_numbers(number) for number in range(len(self.schema))]
        starts = accumulate(sizes, initial=0)
        return {number: start for number, (start, size) in enumerate(zip(starts, sizes, strict=False)) if size}

    def axes_numbers(self, table: int) -> int:
        """Return how many numbers the axes of a table have, by its number; 0 where it has none."""
        field = self.schema.fields[table]
        return field.vector_size(self.dim) ** 2 if isinstance(field, VectorField) and field.axes else 0

    def tensors(self, values: int, codes: int) -> tuple[StoredTensor, ...]:
        """Return the tensors of an artifact with so many values and codes, in the order of their bytes."""
        axes = StoredTensor("axes", "F16", sum(map(self.axes_numbers, range(len(self.schema)))))
        stored = (StoredTensor("values", "F16", values), StoredTensor("codes", "U8", codes))
        return (axes, *stored) if axes.size else stored


def compose(frame: Frame, origin: Origin, entries: Sequence[str], sha256: str) -> str:
    """Return the metadata; what goes without saying is left out.

    Args:
        frame: what is fixed of the artifact.
        origin: where it comes from.
        entries: of the fields, as JSON.
        sha256: seals the metadata and the payload.
    """
    values = {
        **encode_origin(origin, regression=frame.link_function.regression),
        **frame.described,
        "sha256": sha256,
    }
    texts = {key: canonical_json(value) for key, value in values.items() if value != DEFAULTS.get(key)}
    texts["fields"] = f"[{','.join(entries)}]"
    return "{" + ",".join(f'"{key}":{text}' for key, text in sorted(texts.items())) + "}"
