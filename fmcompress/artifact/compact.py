"""The compact file: what versions 1 and 2 hold, in fewer bytes. ``docs/format.md`` is its specification.

Opened, it is in memory what a plain file is, so that nothing else knows of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fmcompress.artifact.byte_reader import ByteReader
from fmcompress.artifact.compact_header import (
    LENGTH_BYTES,
    SEAL_BYTES,
    Coding,
    CompactHeader,
    container_head,
    decode_head,
    encode_head,
)
from fmcompress.artifact.compact_parts import Gathered, PartCost, Stored, Wanted, gather, wanted_parts
from fmcompress.artifact.header import MAX_DIM, Header
from fmcompress.artifact.metadata import COMPACT_VERSION
from fmcompress.artifact.rans import MOST_SYMBOLS_PER_BYTE, decode, encode
from fmcompress.errors import ArtifactError, UsageError
from fmcompress.fm.tiers import by_field
from fmcompress.types import AnyArray, Float16Array, Float32Array, UInt8Array

TENSOR = "fmc"
"""Name of the one tensor of the container."""

BEGINNING = b'{"fmc":'
"""What the container's header begins with, and no other's does."""

_LARGEST_DIGITS = 20

Unpacker = Callable[[UInt8Array, Float16Array, UInt8Array, UInt8Array], bool]
"""Takes a file, uint8 (bytes,), and zeros for its values, codes and layers, and fills them in; false if it cannot."""


@dataclass(frozen=True)
class Contents(Stored):
    """What a compact file holds, as a plain one stores it.

    Attributes:
        header: fields, tiers, quantizers and origin.
        values: float16 (values,).
        codes: uint8 (bytes,).
        network: dense layers, uint8 (bytes,); empty for none.
        bias: w_0.
        numeric: weights of the numeric fields, float32 (numbers,).
        vocabulary: uint8 (bytes,); empty for none.
    """

    bias: float
    numeric: Float32Array
    vocabulary: UInt8Array


@dataclass(frozen=True)
class CompactBytes:
    """The bytes of a compact file, its seal still zeros, and what its parts take.

    Attributes:
        pieces: one after the other.
        header_bytes: of the container's header, the seal and the header, the provenance left out.
        provenance_bytes: of what it says of where it comes from.
        coded_bytes: of what is entropy coded, with its models.
        uncoded_bytes: what that would take as it is.
        costs: what each part takes, nearly.
    """

    pieces: Sequence[bytes | memoryview]
    header_bytes: int
    provenance_bytes: int
    coded_bytes: int
    uncoded_bytes: int
    costs: Sequence[PartCost]

    @property
    def nbytes(self) -> int:
        """Size of the file."""
        return sum(len(piece) for piece in self.pieces)


def is_compact(data: UInt8Array) -> bool:
    """Return whether a file, uint8 (bytes,), looks like a compact one."""
    return data[LENGTH_BYTES : LENGTH_BYTES + len(BEGINNING)].tobytes() == BEGINNING


def encode_compact(contents: Contents) -> CompactBytes:
    """Return the bytes of the file; parts are entropy coded where that makes it smaller."""
    coded = _encoded(contents, coding=True)
    return coded if coded.uncoded_bytes > coded.coded_bytes else _encoded(contents, coding=False)


def _encoded(contents: Contents, *, coding: bool) -> CompactBytes:
    chosen, found = gather(contents, coding=coding)
    head = encode_head(_compact_header(contents, chosen))
    stream = encode(found.runs)
    payload = _payload(contents, found, stream)
    size = SEAL_BYTES + len(head) + sum(len(piece) for piece in payload)
    first = container_head(size) + bytes(SEAL_BYTES) + head
    told = len(head) - len(encode_head(_compact_header(contents, chosen, told=False)))
    coded = len(found.models) + len(stream)
    return CompactBytes([first, *payload], len(first) - told, told, coded, found.uncoded_bytes, found.costs)


def _payload(contents: Contents, found: Gathered, stream: bytes) -> list[bytes | memoryview]:
    """Return the bytes behind the header."""
    arrays: list[AnyArray] = [np.ascontiguousarray(contents.numeric, dtype="<f4"), *found.plain]
    plain = [np.ascontiguousarray(array).reshape(-1).view(np.uint8).data for array in arrays if array.size]
    return [found.models, *plain, stream, np.ascontiguousarray(contents.vocabulary).data]


def _compact_header(contents: Contents, coding: Coding, *, told: bool = True) -> CompactHeader:
    header = contents.header
    origin = replace(header.origin, provenance=header.origin.provenance and told)
    return CompactHeader(
        header.frame, contents.bias, header.quantizers, header.errors, origin, header.tier_sizes, coding
    )


def seal_of(pieces: Sequence[bytes | memoryview]) -> bytes:
    """Return the seal of a file, the place of which holds zeros."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.digest()


def sealed(found: CompactBytes) -> list[bytes | memoryview]:
    """Return the pieces of a file with its seal."""
    first = bytes(found.pieces[0])
    start = LENGTH_BYTES + int.from_bytes(first[:LENGTH_BYTES], "little")
    return [first[:start], seal_of(found.pieces), first[start + SEAL_BYTES :], *found.pieces[1:]]


def decode_compact(data: UInt8Array, unpack: Unpacker | None = None) -> Contents:
    """Return what a file, uint8 (bytes,), holds; that numbers and codes make sense is still to be checked.

    Args:
        data: the file.
        unpack: unpacks its parts, faster than it is done here.

    Raises:
        ArtifactError: it is damaged, or of a newer schema version.
    """
    start = _payload_start(data)
    payload = data[start:]
    if len(payload) <= SEAL_BYTES:
        raise ArtifactError("is damaged: it is cut short")
    version = int(payload[SEAL_BYTES])
    if version > COMPACT_VERSION:
        raise ArtifactError(
            f"has schema version {version}, this fmcompress reads version {COMPACT_VERSION}",
            hint="a newer fmcompress reads it",
        )
    zeros = bytes(SEAL_BYTES)
    if seal_of([data[:start].data, zeros, payload[SEAL_BYTES:].data]) != payload[:SEAL_BYTES].tobytes():
        raise ArtifactError("is damaged: its SHA-256 is not the one in its header")
    reader = ByteReader(payload[SEAL_BYTES:].data)
    try:
        found = decode_head(reader)
        _check(found)
        header = Header(found.frame, found.quantizers, found.errors, found.origin, found.tier_sizes)
        wanted = list(wanted_parts(header, found.coding, reader))
    except (ValueError, UsageError, OverflowError) as error:
        raise ArtifactError(f"is damaged: its header cannot be used ({str(error)[:100]})") from error
    stored, sections = _reserved(header, found.bias, wanted, payload[SEAL_BYTES + reader.at :])
    if unpack is None or not unpack(data, stored.values, stored.codes, stored.network):
        _fill(stored, wanted, *sections)
    return stored


def _payload_start(data: UInt8Array) -> int:
    """Return where the payload begins; the container's header is as it must be for the size of the file."""
    length = int.from_bytes(data[:LENGTH_BYTES].tobytes(), "little")
    start = LENGTH_BYTES + min(length, len(data))
    head = data[:start].tobytes()
    if start > LENGTH_BYTES + len(BEGINNING) + 2 * _LARGEST_DIGITS + 64 or container_head(len(data) - start) != head:
        raise ArtifactError("is damaged: its size is not the one in its header, or it is cut short")
    return start


def _check(found: CompactHeader) -> None:
    """Check what is told of the fields, as far as it does not check itself.

    Raises:
        ValueError: it makes no sense.
    """
    dim = found.frame.dim
    if not 1 <= dim <= MAX_DIM:
        raise ValueError(f"dim {dim}")
    for quantizers in by_field(found.quantizers, found.tier_sizes):
        if any(len(quantizer.codewords) > dim for quantizer in quantizers):
            raise ValueError("more subspaces than coordinates")


def _reserved(
    header: Header, bias: float, wanted: Sequence[Wanted], rest: UInt8Array
) -> tuple[Contents, tuple[UInt8Array, UInt8Array]]:
    """Return room for what a file holds, counted before it is reserved, and the parts as they are and the coded ones.

    ``rest`` are the bytes behind the models, uint8 (bytes,), as are both parts.
    """
    frame = header.frame
    plain = frame.numeric.nbytes + sum(part.nbytes for part in wanted)
    runs = [run for part in wanted for run in part.runs]
    coded = len(rest) - plain - frame.vocabulary_bytes
    symbols = sum(count for count, _ in runs)
    if coded < 0 or (coded > 0 and not runs) or symbols > MOST_SYMBOLS_PER_BYTE * coded:
        raise ArtifactError("is damaged: its size is not the one that its fields need")
    at = frame.numeric.nbytes
    stored = Contents(
        header,
        np.zeros(header.tensor("values").size, dtype=np.float16),
        np.zeros(header.tensor("codes").size, dtype=np.uint8),
        np.zeros(frame.dense_layers.nbytes, dtype=np.uint8),
        bias,
        rest[:at].view("<f4"),
        rest[plain + coded :],
    )
    return stored, (rest[at:plain], rest[plain : plain + coded])


def _fill(stored: Contents, wanted: Sequence[Wanted], plain: UInt8Array, coded: UInt8Array) -> None:
    """Put the parts where they belong, from the bytes of those as they are and of the coded ones, uint8 (bytes,)."""
    runs = [run for part in wanted for run in part.runs]
    at = 0
    found = iter(decode(coded.data, runs))
    for part in wanted:
        if part.runs:
            part.fill(stored, [next(found) for _ in part.runs])
        elif part.nbytes:
            part.put(stored, plain[at : at + part.nbytes])
            at += part.nbytes
