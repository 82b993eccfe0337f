"""What an artifact says of itself: the metadata in its header, and the bytes that it takes.

``docs/format.md`` is the specification.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from fmcompress.artifact.container import Tensor, canonical_json, encode_header, parse_json
from fmcompress.errors import ArtifactError, UsageError
from fmcompress.quantizer import Quantizer, embedding_spec, linear_spec, parse_quantizer
from fmcompress.schema import LINKS, Schema

SCHEMA_VERSION = 1
BIAS_BYTES = 4
UNSEALED = "0" * 64
"""Stands in for the SHA-256 while it is computed."""

_KIND = "cat"
_MAX_DIM = 65_536
_MAX_WHOLE = 2**63 - 1
_MAX_ERROR = 1e5
_MIN_ERROR = 1e-99
_SHA256 = re.compile(r"[0-9a-f]{64}")
# The longest texts of numbers that are not known when the header's size is fixed. The budget is one of them:
# were the header a little larger for a larger budget, the smallest budget that works could not be told.
_LONGEST_ERROR = -1.23e-05
_LONGEST_QUALITY = -1.23456e-05
_LARGEST_BUDGET = 2**50


@dataclass(frozen=True)
class Quality:
    """How well the model predicts held-out rows.

    Attributes:
        rows: number of rows.
        auc: area under the ROC curve.
        logloss: mean binary cross entropy, in nats.
    """

    rows: int
    auc: float
    logloss: float


@dataclass(frozen=True)
class Origin:
    """Where an artifact comes from: all of it is written into its header.

    Attributes:
        budget_bytes: the size that was asked for.
        method: how it was made.
        seed: seed of k-means, tuning and shuffling.
        source: tool, file name and SHA-256 of the checkpoint; empty for a model made in memory.
        libraries: versions of what made it.
        quality: on validation data, of the checkpoint (``source``), the artifact before tuning
            (``untuned``) and as it is (``artifact``); empty without data.
    """

    budget_bytes: int
    method: str
    seed: int
    source: tuple[str, ...] = ()
    libraries: Mapping[str, str] = field(default_factory=dict)
    quality: Mapping[str, Quality] = field(default_factory=dict)


@dataclass(frozen=True)
class Header:
    """The metadata of an artifact.

    Attributes:
        schema: fields, in the order of their bytes.
        dim: embedding size l.
        link: from logit to prediction.
        quantizers: how each field is stored.
        errors: expected rise of the loss per row by each field; written with 3 digits, and up to ±10⁵.
        origin: where the artifact comes from.
    """

    schema: Schema
    dim: int
    link: str
    quantizers: tuple[Quantizer, ...]
    errors: tuple[float, ...]
    origin: Origin

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """The tensors of the artifact: bias, values (tables, field by field), codes (streams, field by field)."""
        pairs = list(zip(self.quantizers, self.schema.fields, strict=True))
        values = sum(quantizer.values(f.cardinality, self.dim) for quantizer, f in pairs)
        codes = sum(quantizer.code_bytes(f.cardinality) for quantizer, f in pairs)
        return Tensor("bias", "F32", 1), Tensor("values", "F16", values), Tensor("codes", "U8", codes)

    @cached_property
    def header_bytes(self) -> int:
        """Size of the container's length and header: fixed before the figures are known.

        Nor does it depend on the quantizers, as long as none has a longer name than any on the menu, such as
        ``256,128,64,64``.
        """
        return header_bytes(self.schema, self.dim, self.link, self.origin, self.quantizers)


def header_bytes(
    schema: Schema, dim: int, link: str, origin: Origin, quantizers: Sequence[Quantizer] | None = None
) -> int:
    """Return the bytes that the header takes, whichever quantizers of the menu are chosen.

    The header's text depends a little on the choice (``raw`` is shorter than ``8x1024``) and on figures that
    are known last; it is filled up with spaces to this size, so that bytes can be counted beforehand.

    Args:
        schema: the fields.
        dim: embedding size l.
        link: from logit to prediction.
        origin: what the artifact says of itself.
        quantizers: of each field; needed where some are not on the menu, and have longer names.
    """
    widest = Quantizer((1024,) * 16, linear_codewords=1)  # 16x1024, shared
    widths = [max(widest, q, key=_name_length) for q in quantizers or [widest] * len(schema)]
    quality = {name: Quality(q.rows, _LONGEST_QUALITY, _LONGEST_QUALITY) for name, q in origin.quality.items()}
    longest = Header(
        schema,
        dim,
        link,
        tuple(widths),
        (_LONGEST_ERROR,) * len(schema),
        replace(origin, budget_bytes=max(_LARGEST_BUDGET, origin.budget_bytes), quality=quality),
    )
    largest_values = schema.categories * (dim + 1)
    largest = (
        Tensor("bias", "F32", 1),
        Tensor("values", "F16", largest_values),
        Tensor("codes", "U8", largest_values),
    )
    return len(encode_header(encode(longest, UNSEALED), largest))


def artifact_bytes(schema: Schema, dim: int, link: str, origin: Origin, quantizers: Sequence[Quantizer]) -> int:
    """Return the exact size of an artifact with these quantizers; arguments are those of ``header_bytes``."""
    pairs = zip(quantizers, schema.cardinalities.tolist(), strict=True)
    payload = sum(quantizer.payload_bytes(cardinality, dim) for quantizer, cardinality in pairs)
    return header_bytes(schema, dim, link, origin, quantizers) + BIAS_BYTES + payload


def _name_length(quantizer: Quantizer) -> int:
    return len(embedding_spec(quantizer)) + len(linear_spec(quantizer))


def encode(header: Header, sha256: str) -> str:
    """Return the metadata as canonical JSON; ``sha256`` seals it and the payload."""
    origin = header.origin
    fields = [
        [f.name, _KIND, f.cardinality, embedding_spec(quantizer), linear_spec(quantizer), _capped(error)]
        for f, quantizer, error in zip(header.schema.fields, header.quantizers, header.errors, strict=True)
    ]
    quality = {name: [q.rows, _rounded(q.auc, 6), _rounded(q.logloss, 6)] for name, q in sorted(origin.quality.items())}
    return canonical_json(
        {
            "schema_version": SCHEMA_VERSION,
            "link": header.link,
            "dim": header.dim,
            "fields": fields,
            "budget": origin.budget_bytes,
            "method": origin.method,
            "seed": origin.seed,
            "source": [_writable(part) for part in origin.source],
            "libraries": dict(origin.libraries),
            "quality": quality,
            "sha256": sha256,
        }
    )


def decode(metadata: str) -> tuple[Header, str]:
    """Return header and SHA-256 of a metadata text; the inverse of ``encode``.

    Raises:
        ArtifactError: the text is no metadata of an artifact, or of a newer schema version.
    """
    try:
        found = parse_json(metadata)
        version = _whole(found["schema_version"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtifactError("is no fmcompress artifact: its metadata has no schema version") from error
    if version > SCHEMA_VERSION:
        raise ArtifactError(
            f"has schema version {version}, this fmcompress reads version {SCHEMA_VERSION}",
            hint="a newer fmcompress reads it",
        )
    try:
        if version != SCHEMA_VERSION or not _SHA256.fullmatch(found["sha256"]):
            raise ValueError("schema version or SHA-256")
        return _header(found), found["sha256"]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, UsageError) as error:
        raise ArtifactError(f"is damaged: its metadata cannot be used ({str(error)[:100]})") from error


def _header(found: dict[str, Any]) -> Header:
    dim, link = _whole(found["dim"]), found["link"]
    if not 1 <= dim <= _MAX_DIM or link not in LINKS:
        raise ValueError(f"dim {dim}, link {link!r}")
    quantizers = []
    for name, kind, _, embedding, linear, _ in found["fields"]:
        quantizer = parse_quantizer(embedding, linear)
        if kind != _KIND or len(quantizer.codewords) > dim:
            raise ValueError(f"field {name!r}")
        quantizers.append(quantizer)
    quality = {
        name: Quality(_whole(rows), _number(auc), _number(logloss))
        for name, (rows, auc, logloss) in found["quality"].items()
    }
    return Header(
        schema=Schema.of((_text(name), _whole(cardinality)) for name, _, cardinality, *_ in found["fields"]),
        dim=dim,
        link=link,
        quantizers=tuple(quantizers),
        errors=tuple(_number(error) for *_, error in found["fields"]),
        origin=Origin(
            budget_bytes=_whole(found["budget"]),
            method=_text(found["method"]),
            seed=_whole(found["seed"]),
            source=tuple(_text(part) for part in found["source"]),
            libraries={name: _text(version) for name, version in found["libraries"].items()},
            quality=quality,
        ),
    )


def _whole(value: Any) -> int:
    if type(value) is not int or abs(value) > _MAX_WHOLE:
        raise ValueError("a whole number was expected")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a text was expected")
    return value


def _number(value: Any) -> float:
    if value is None:
        return math.nan
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError("a number was expected")
    return float(value)


def _rounded(value: float, digits: int) -> float | None:
    """Return a number with so many digits; None, JSON's null, for an AUC that does not exist."""
    return float(f"{value:.{digits - 1}e}") if math.isfinite(value) else None


def _capped(error: float) -> float | None:
    """Return an error with 3 digits; beyond the limits they would take more room than was set aside."""
    if abs(error) < _MIN_ERROR:
        return 0.0
    return _rounded(min(max(error, -_MAX_ERROR), _MAX_ERROR), 3)


def _writable(text: str) -> str:
    """Return a text with ``?`` in place of what UTF-8 cannot say: a file name may hold any bytes."""
    return text.encode(errors="replace").decode()
