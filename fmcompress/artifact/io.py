"""Writing and reading artifacts: sealed by a SHA-256, checked before use, in memory of their own or mapped."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from fmcompress.artifact import compact
from fmcompress.artifact.bitpack import unpack
from fmcompress.artifact.container import decode_header, encode_header
from fmcompress.artifact.header import NO_MACHINE, Header, decode, encode
from fmcompress.artifact.layout import (
    FieldLayout,
    TierLayout,
    decode_numeric,
    field_layouts,
    stored_numbers,
)
from fmcompress.artifact.metadata import ALWAYS, UNSEALED, TablesFrame
from fmcompress.artifact.packed import Packed, PackedFM, PackedTables
from fmcompress.errors import ArtifactError, CheckpointError, UsageError
from fmcompress.files import replacing
from fmcompress.fm.quantizer import FLOAT, code_bits
from fmcompress.fm.schema import Schema
from fmcompress.fm.vocabulary import check_ids, stored_ids
from fmcompress.types import AnyArray, UInt8Array, UInt16Array

_CHUNK_BYTES = 1 << 20
_CHUNK_ROWS = 1 << 14


def save(model: Packed, path: str | Path, *, force: bool = False) -> None:
    """Write an artifact, through a temporary file that takes its place when it is whole.

    Args:
        model: the compressed factorization machine, or the compressed tables.
        path: file to write.
        force: whether an existing file is replaced.

    Raises:
        OutputError: the file exists, its folder does not, or the disk is full.
    """
    with replacing(Path(path), force=force) as file:
        file.writelines(_pieces(model))


def sealed_bytes(model: Packed) -> bytes:
    """Return the bytes of the artifact of a model."""
    return b"".join(_pieces(model))


def seal_of(model: Packed) -> str:
    """Return the SHA-256 that the artifact of a model carries, in hex."""
    if isinstance(model, PackedFM) and model.header.origin.compact:
        return compact.seal_of(model.compact_bytes.pieces).hex()
    digest = hashlib.sha256(_header_bytes(model.header, UNSEALED))
    for tensor in _payload(model):
        digest.update(tensor)
    return digest.hexdigest()


def read_artifact(path: str | Path, *, map: bool = False, unpack: compact.Unpacker | None = None) -> PackedFM:
    """Read an artifact that holds a factorization machine into memory, or map it, after checking every byte of it.

    Args:
        path: file that ``save`` wrote.
        map: whether the model uses the file where it lies; see ``fmcompress.load``.
        unpack: unpacks compact files; numpy does where nothing else is said.

    Raises:
        ArtifactError: the file is missing, no artifact, damaged, cut short, of a newer schema version, or holds tables.
    """
    model = _read_path(Path(path), mapped=map, machine=True, unpack=unpack)
    if not isinstance(model, PackedFM):
        raise ArtifactError(f"{path}: {NO_MACHINE}")
    return model


def read_any_artifact(
    path: str | Path, *, map: bool = False, unpack: compact.Unpacker | None = None
) -> PackedFM | PackedTables:
    """Read an artifact of any content into memory, or map it, after checking every byte of it.

    Args:
        path: file that ``save`` wrote.
        map: whether the model uses the file where it lies; see ``fmcompress.load``.
        unpack: unpacks compact files; numpy does where nothing else is said.

    Raises:
        ArtifactError: the file is missing, no artifact, damaged, cut short, or of a newer schema version.
    """
    return _read_path(Path(path), mapped=map, unpack=unpack)


def _read_path(
    path: Path, *, mapped: bool, machine: bool = False, unpack: compact.Unpacker | None = None
) -> PackedFM | PackedTables:
    try:
        return _read(_bytes(path, mapped=mapped), machine=machine, unpack=unpack)
    except ArtifactError as error:
        raise ArtifactError(f"{path}: {error}", hint=error.hint) from error


def _bytes(path: Path, *, mapped: bool) -> UInt8Array:
    """Return the bytes of a file, which cannot be written to."""
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            raise ArtifactError("is not a file" if path.exists() else "no such file")
        if path.stat().st_size == 0:
            raise ArtifactError("cannot be read: it is empty")
        if mapped:
            return np.memmap(path, dtype=np.uint8, mode="r")
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise ArtifactError(f"cannot be read: {error.strerror or error}") from error
    data.flags.writeable = False
    return data


def _read(data: UInt8Array, *, machine: bool, unpack: compact.Unpacker | None) -> PackedFM | PackedTables:
    if compact.is_compact(data):
        return _read_compact(data, unpack)
    metadata, tensors, start = decode_header(data.data, len(data))
    vocabulary_bytes = sum(tensor.nbytes for tensor in tensors if tensor.name == "vocabulary")
    header, sha256 = decode(metadata, vocabulary_bytes=vocabulary_bytes, machine=machine)
    if tensors != header.tensors:
        raise ArtifactError("is damaged: its tensors are not those that its fields need")
    _check_seal(data, start, sha256)
    arrays: dict[str, UInt8Array] = {}
    for tensor in tensors:
        arrays[tensor.name] = data[start : start + tensor.nbytes]
        start += tensor.nbytes
    model = _packed(header, arrays)
    _check_numbers(model)
    return model


def _read_compact(data: UInt8Array, unpack: compact.Unpacker | None) -> PackedFM:
    found = compact.decode_compact(data, unpack)
    for array in (found.values, found.codes, found.network):
        array.flags.writeable = False
    arrays = {
        "bias": np.array([found.bias], dtype="<f4").view(np.uint8),
        "numeric": found.numeric.view(np.uint8),
        "values": found.values.view(np.uint8),
        "codes": found.codes,
        "network": found.network,
        "vocabulary": found.vocabulary,
    }
    model = _packed(found.header, {name: array for name, array in arrays.items() if array.size or name in ALWAYS})
    _check_numbers(model)
    if not isinstance(model, PackedFM):
        raise TypeError("a compact artifact holds a factorization machine")
    return model


def _packed(header: Header, arrays: Mapping[str, UInt8Array]) -> PackedFM | PackedTables:
    """Return what the tensors of a file hold."""
    values, codes = arrays["values"].view("<f2"), arrays["codes"]
    if isinstance(header.frame, TablesFrame):
        axes = arrays.get("axes", values[:0]).view("<f2")
        _check_finite(axes)
        return PackedTables(header, values, codes, axes)
    numeric = arrays.get("numeric", arrays["bias"][:0]).view("<f4")
    bias, vocabulary = arrays["bias"].view("<f4"), arrays.get("vocabulary")
    _check_finite(numeric)
    _check_finite(bias)
    if vocabulary is not None:
        _check_vocabulary(vocabulary, header.schema)
    weights, layers = decode_numeric(numeric, header.frame), arrays.get("network")
    model = PackedFM(header, float(bias[0]), values, codes, weights, vocabulary, layers)
    _check_network(model)
    return model


def _check_seal(data: UInt8Array, start: int, sha256: str) -> None:
    """Compare the SHA-256 of the file, its own 64 digits replaced by zeros."""
    head = data[:start].tobytes()
    digest = hashlib.sha256(head.replace(sha256.encode(), UNSEALED.encode()))
    for chunk in _chunks(data[start:]):
        digest.update(chunk.data)
    if digest.hexdigest() != sha256:
        raise ArtifactError("is damaged: its SHA-256 is not the one in its header")


def _check_numbers(model: Packed) -> None:
    """Check what a correct seal does not promise: the file may have been written by anything."""
    _check_finite(model.values)
    for field in field_layouts(model.header):
        if field.tier_bytes:
            _check_tiers(model.codes[field.tier_stream], field)
        for tier in field.tiers:
            _check_tables(model, tier)
            _check_codes(model.codes[tier.stream], tier)


def _check_finite(numbers: AnyArray) -> None:
    if not all(np.isfinite(chunk).all() for chunk in _chunks(numbers)):
        raise ArtifactError("is damaged: it holds NaN or infinite weights")


def _check_tiers(stream: UInt8Array, field: FieldLayout) -> None:
    found = np.zeros(1 << sum(field.tier_widths), dtype=np.int64)
    for tiers in _unpacked(stream, sum(field.sizes), field.tier_widths):
        found += np.bincount(tiers[:, 0], minlength=len(found))
    if found[: len(field.sizes)].tolist() != list(field.sizes):
        raise ArtifactError("is damaged: its tiers have not as many categories as its header says")


def _check_tables(model: Packed, tier: TierLayout) -> None:
    """Check what is stored in int8 and fp32; scales are known to be finite."""
    for table in tier.all_tables:
        if table.value_bytes == FLOAT:
            _check_finite(stored_numbers(table, model.values, model.codes).reshape(-1))
        if table.scale is None:
            continue
        for chunk in _chunks(model.codes[table.rows].view(np.int8)):
            if (chunk < -table.largest).any() or (chunk > table.largest).any():
                side = "below -" if (chunk < -table.largest).any() else "above "
                raise ArtifactError(f"is damaged: a number in int8 is {side}{table.largest}")
        if np.signbit(model.values[table.scale]):
            raise ArtifactError("is damaged: it holds a negative scale")


def _check_codes(stream: UInt8Array, tier: TierLayout) -> None:
    sizes = tier.quantizer.code_sizes
    if all(size == 1 << code_bits(size) for size in sizes):
        return  # every code of this width names a codeword
    for codes in _unpacked(stream, tier.cardinality, tier.quantizer.widths):
        if (codes >= np.array(sizes)).any():
            raise ArtifactError("is damaged: a code names a codeword that does not exist")


def _check_network(model: PackedFM) -> None:
    try:
        _ = model.network
    except CheckpointError as error:
        raise ArtifactError(f"is damaged: {str(error)[:100]}") from error


def _check_vocabulary(data: UInt8Array, schema: Schema) -> None:
    """Check a vocabulary without holding its tokens: whoever scores ids has no use for them."""
    try:
        check_ids(stored_ids(data.data), schema)
    except (ValueError, UsageError) as error:
        raise ArtifactError(f"is damaged: {str(error)[:100]}") from error


def _chunks(numbers: AnyArray) -> Iterator[AnyArray]:
    """Yield the numbers of an array, of any dtype (numbers,), not too many at a time."""
    return (numbers[at : at + _CHUNK_BYTES] for at in range(0, len(numbers), _CHUNK_BYTES))


def _unpacked(stream: UInt8Array, rows: int, widths: tuple[int, ...]) -> Iterator[UInt16Array]:
    """Yield the codes of a stream, not too many at a time."""
    for start in range(0, rows, _CHUNK_ROWS):  # a multiple of 8 rows begins where a byte does
        yield unpack(stream[start * sum(widths) // 8 :], min(_CHUNK_ROWS, rows - start), widths)


def _pieces(model: Packed) -> list[bytes | memoryview]:
    if isinstance(model, PackedFM) and model.header.origin.compact:
        return compact.sealed(model.compact_bytes)
    return [_header_bytes(model.header, seal_of(model)), *_payload(model)]


def _header_bytes(header: Header, sha256: str) -> bytes:
    return encode_header(encode(header, sha256), header.tensors, header_bytes=header.header_bytes)


def _payload(model: Packed) -> list[bytes | memoryview]:
    """Return the bytes of the tensors."""
    arrays = model.stored
    found = (arrays[tensor.name] for tensor in model.header.tensors)
    return [array.view(np.uint8).data for array in found if array is not None]
