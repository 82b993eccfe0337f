"""The metadata of an artifact: the frame that is fixed before anything is quantized, and the text that is written.

It is canonical JSON with an entry for each field: name, kind, cardinality, and how its categories are stored.

    ["user","cat",[6040,0],"4x256","16",12e-6]
    ["item","cat",3706,[[200,"8x256:8","16",45e-7],[3506,"1x64","shared",12e-6]]]
    ["clicked","as","item"]
    ["price","num"]
    ["age","lin"]
    ["genres","cat:mean",18,"4x16","raw",12e-6]
    ["word_embeddings","vec",[30522,768,0],"16x256",12e-3]

The first one has PAD 0, the second one two tiers, of 200 and 3506 categories. The third shares the table of the
second. The fourth is numeric, and so is the fifth one, which enters the linear term alone. The sixth one may have
several values in a row, of which the mean is taken. The last one is a table of another model, of vectors of size 768;
row 0 is zeros. How dense layers are told of stands in ``network_layout``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from fmcompress.artifact.container import StoredTensor, canonical_json
from fmcompress.artifact.network_layout import StoredNetwork
from fmcompress.artifact.origin import DEFAULTS as OF_ORIGIN
from fmcompress.artifact.origin import Origin, encode_origin, listed, number, text, whole
from fmcompress.errors import UsageError
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.links import Link, parse_link
from fmcompress.fm.pooling import Pooling, parse_pooling
from fmcompress.fm.quantized_fm import QuantizedFM
from fmcompress.fm.quantizer import Quantizer, embedding_spec, linear_spec, parse_quantizer
from fmcompress.fm.schema import Field, NumericField, Schema, SharedField, VectorField
from fmcompress.fm.tiers import MAX_TIERS

SCHEMA_VERSION = 2
"""The newest one; files say the oldest that knows what they hold."""

NETWORKS_VERSION = 2
"""Of artifacts with dense layers."""

TABLES_VERSION = 2
"""That of tables; that of factorization machines is 1."""

UNSEALED = "0" * 64
"""Stands in for the SHA-256 while it is computed."""

DEFAULTS = {**OF_ORIGIN, "link": "sigmoid", "network": []}
"""What metadata mean that do not say it."""

LONGEST_ERROR = -1.2e-5
"""No error takes more room in the metadata."""

TABLES = "tables"
"""Content of an artifact that holds tables of vectors, and no factorization machine."""

_CATEGORICAL, _SHARED = "cat", "as"
_VECTORS = {"vec": False, "vec:axes": True}
"""Kinds of tables of vectors, and whether they have axes."""

_NUMERIC = {"num": False, "lin": True}
"""Kinds of numeric fields, and whether they are linear only."""

_ALWAYS = ("bias", "values", "codes")
_MAX_NUMERIC = 2**26
"""Numbers in embeddings of numeric fields: linear-only ones take no bytes in a file, but room in memory."""

_MAX_ERROR = 1e5
_ERROR_DECIMALS = 9


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
        return tuple(tensor for tensor in every if tensor.size or tensor.name in _ALWAYS)


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


@dataclass(frozen=True)
class Tier:
    """One tier of a field, or all of it, as the metadata tell of it.

    Attributes:
        size: its number of categories.
        quantizer: how it is stored.
        error: expected rise of the loss per row.
    """

    size: int
    quantizer: Quantizer
    error: float


def encode_entry(field: Field, tiers: Sequence[Tier]) -> str:
    """Return the entry of a field with a table as JSON; of one tier its quantizers, of several a list of theirs."""
    stored = [f"{_names(tier.quantizer)},{_figure(tier.error)}" for tier in tiers]
    several = ",".join(f"[{tier.size},{names}]" for tier, names in zip(tiers, stored, strict=True))
    return f"[{canonical_json(field.name)},{_sizes(field)}," + (stored[0] if len(tiers) == 1 else f"[{several}]") + "]"


def _names(quantizer: Quantizer) -> str:
    """Return the names of a quantizer, that of linear weights if there are any."""
    embedding = f'"{embedding_spec(quantizer)}"'
    return f'{embedding},"{linear_spec(quantizer)}"' if quantizer.has_linear else embedding


def _sizes(field: Field) -> str:
    """Return kind and size of a field with a table."""
    if isinstance(field, VectorField):
        (kind,) = (kind for kind, axes in _VECTORS.items() if axes == field.axes)
        return f'"{kind}",{canonical_json([field.cardinality, field.dim, *field.zeros])}'
    cardinality = field.cardinality if field.pad is None else f"[{field.cardinality},{field.pad}]"
    return f'"{_pooled(_CATEGORICAL, field.pooling)}",{cardinality}'


def encode_table_less(schema: Schema) -> dict[str, str]:
    """Return the entries of the fields without tables of their own as JSON, by the fields' names."""
    kinds = {linear_only: kind for kind, linear_only in _NUMERIC.items()}
    entries = [[field.name, _pooled(_SHARED, field.pooling), field.table] for field in schema.shared]
    entries += [[field.name, kinds[field.linear_only]] for field in schema.numeric]
    return {entry[0]: canonical_json(entry) for entry in entries}


def _pooled(kind: str, pooling: Pooling | None) -> str:
    """Return the kind of a field in which there may be several values."""
    return kind if pooling is None else f"{kind}:{pooling}"


def decode_entry(name: Any, kind: Any, *rest: Any) -> tuple[Field | SharedField | NumericField, list[Tier]]:
    """Return a field and its tiers, none where it has no table: the inverse of ``encode_entry`` and its sibling.

    Raises:
        ValueError, TypeError: they make no sense.
        UsageError: there is no such quantizer or pooling.
    """
    if text(kind) in _VECTORS:
        return _decode_vectors(text(name), *rest, axes=_VECTORS[kind])
    family, colon, pooled = text(kind).partition(":")
    pooling = parse_pooling(pooled) if colon else None
    if family == _CATEGORICAL:
        field, tiers = _decode_table(text(name), *rest)
        return replace(field, pooling=pooling), tiers
    if family == _SHARED:
        (table,) = rest
        return SharedField(text(name), text(table), pooling), []
    if kind not in _NUMERIC or rest:
        raise ValueError(f"field {name!r}")
    return NumericField(text(name), _NUMERIC[kind]), []


def _decode_table(name: str, categories: Any, *stored: Any) -> tuple[Field, list[Tier]]:
    cardinality, pad = map(whole, categories) if isinstance(categories, list) else (whole(categories), None)
    return Field(name, cardinality, pad), _decode_tiers(name, cardinality, stored, quantizers=2)


def _decode_vectors(name: str, sizes: Any, *stored: Any, axes: bool) -> tuple[VectorField, list[Tier]]:
    cardinality, dim, *zeros = map(whole, listed(sizes))
    field = VectorField(name, cardinality, dim=dim, zeros=tuple(zeros), axes=axes)
    return field, _decode_tiers(name, cardinality, stored, quantizers=1)


def _decode_tiers(name: str, cardinality: int, stored: Sequence[Any], *, quantizers: int) -> list[Tier]:
    """Return the tiers of a field, each with so many names of quantizers."""
    if len(stored) == 1:
        tiers = [_decode_tier(*tier, quantizers=quantizers) for tier in stored[0]]
        usual = 1 < len(tiers) <= MAX_TIERS and min(tier.size for tier in tiers) >= 1
    else:
        tiers, usual = [_decode_tier(cardinality, *stored, quantizers=quantizers)], True
    if not usual or sum(tier.size for tier in tiers) != cardinality:
        raise ValueError(f"field {name!r}")
    return tiers


def _decode_tier(size: Any, *stored: Any, quantizers: int) -> Tier:
    *names, error = stored
    if len(names) != quantizers:
        raise ValueError("as many quantizers as there are kinds of weights were expected")
    return Tier(whole(size), parse_quantizer(*map(text, names)), number(error))


def _figure(error: float) -> str:
    """Return an error as it is written: two digits at most and a power of ten, ``12e-6``; ``null`` for NaN."""
    if math.isnan(error):
        return "null"
    sign, error = "-" if error < 0 else "", min(abs(error), _MAX_ERROR)
    if error < 10.0 ** (1 - _ERROR_DECIMALS):
        digits, power = round(error * 10**_ERROR_DECIMALS), -_ERROR_DECIMALS
    else:
        mantissa, exponent = f"{error:.1e}".split("e")
        digits, power = int(mantissa.replace(".", "")), int(exponent) - 1
    if digits and digits % 10 == 0:
        digits, power = digits // 10, power + 1
    return f"{sign}{digits}e{power}" if digits else "0"
