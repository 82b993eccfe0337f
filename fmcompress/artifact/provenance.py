"""What a compact artifact says of where it comes from, in few bytes; ``docs/format.md`` is the specification.

Figures that are known last have the same size whatever they are, so that bytes can be counted beforehand.
"""

import math
import struct
from collections.abc import Sequence
from dataclasses import astuple

from fmcompress.artifact.byte_reader import ByteReader, text_bytes, varint
from fmcompress.artifact.origin import Origin, Quality, Sampled

_LARGEST_BUDGET = 2**40 - 1
_BUDGET_BYTES = 5
_SCORE_BYTES = 3
_UNITS = 10**5
_LARGEST_UNITS = 2 ** (8 * _SCORE_BYTES) - 2
_ERROR_STEP = 1.1
_NULL, _NEGATIVE, _SMALLEST_STEP = 0x80, 0x80, 0x7F
_MIDDLE_EXPONENT = 128


def encode_provenance(origin: Origin, errors: Sequence[float], *, regression: bool) -> bytes:
    """Return the bytes that tell of an origin and of the errors of tiers."""
    texts = [word.encode(errors="replace").decode() for word in origin.source]
    libraries = [word for pair in sorted(origin.libraries.items()) for word in pair]
    warnings = [warning.encode(errors="replace").decode() for warning in origin.warnings]
    pieces = [
        min(origin.budget_bytes, _LARGEST_BUDGET).to_bytes(_BUDGET_BYTES, "little"),
        text_bytes(origin.method),
        varint(2 * origin.seed if origin.seed >= 0 else -2 * origin.seed - 1),
        varint(len(texts)),
        *map(text_bytes, texts),
        varint(len(libraries) // 2),
        *map(text_bytes, libraries),
        varint(len(warnings)),
        *map(text_bytes, warnings),
        b"\0" if origin.sampled is None else b"\1" + b"".join(map(_two_digits, astuple(origin.sampled))),
        varint(len(origin.quality)),
        *(text_bytes(name) + _scores(found, regression) for name, found in origin.quality.items()),
        _encode_errors(errors),
    ]
    return b"".join(pieces)


def decode_provenance(data: memoryview, tiers: int, *, regression: bool) -> tuple[Origin, tuple[float, ...]]:
    """Return origin and errors of so many tiers: the inverse of ``encode_provenance``.

    Raises:
        ValueError: the bytes make no sense.
    """
    reader = ByteReader(data)
    budget = int.from_bytes(reader.take(_BUDGET_BYTES), "little")
    method, seed = reader.text(), reader.varint()
    source = reader.several(reader.text)
    libraries = dict(reader.several(lambda: (reader.text(), reader.text())))
    warnings = reader.several(reader.text)
    sampled = Sampled(*(_decoded_digits(reader) for _ in range(3))) if reader.byte() else None
    quality = dict(reader.several(lambda: (reader.text(), _decode_scores(reader, regression))))
    errors = _decode_errors(reader, tiers)
    reader.end()
    signed = -(seed + 1) // 2 if seed % 2 else seed // 2
    return Origin(budget, method, signed, source, libraries, sampled, quality, warnings), errors


def _two_digits(number: float) -> bytes:
    """Return the two digits of a number, and the power of ten of the second one plus 128."""
    if not number > 0:
        return bytes((0, 0))
    mantissa, exponent = f"{min(number, 9.9e99):.1e}".split("e")
    power = int(exponent) - 1 + _MIDDLE_EXPONENT
    return bytes((int(mantissa.replace(".", "")), power)) if power >= 0 else bytes((0, 0))


def _decoded_digits(reader: ByteReader) -> float:
    digits, power = reader.take(2)
    return float(f"{digits}e{power - _MIDDLE_EXPONENT}")


def _scores(found: Quality, regression: bool) -> bytes:
    rows = varint(found.rows)
    if regression:
        return rows + struct.pack("<d", found.rmse)
    error = found.auc_standard_error
    known = (found.auc, found.logloss) if error is None else (found.auc, found.logloss, error)
    return rows + bytes((error is not None,)) + b"".join(map(_units, known))


def _units(score: float) -> bytes:
    units = min(round(max(score, 0.0) * _UNITS), _LARGEST_UNITS) + 1 if math.isfinite(score) else 0
    return units.to_bytes(_SCORE_BYTES, "little")


def _decode_scores(reader: ByteReader, regression: bool) -> Quality:
    rows = reader.varint()
    if regression:
        return Quality(rows, math.nan, math.nan, *reader.numbers("d"))
    figures = 2 + bool(reader.byte())
    units = [int.from_bytes(reader.take(_SCORE_BYTES), "little") for _ in range(figures)]
    auc, logloss, *error = [(number - 1) / _UNITS if number else math.nan for number in units]
    return Quality(rows, auc, logloss, math.nan, *error)


def _encode_errors(errors: Sequence[float]) -> bytes:
    """Return the largest error without its sign, and of each its sign and how many steps it is below that."""
    largest = max((abs(error) for error in errors if math.isfinite(error)), default=0.0)
    (largest,) = struct.unpack("<f", struct.pack("<f", min(largest, 1e38)))
    return struct.pack("<f", largest) + bytes(_steps(error, largest) for error in errors)


def _steps(error: float, largest: float) -> int:
    if math.isnan(error):
        return _NULL
    size = min(abs(error), largest)
    if not size:
        return 0
    steps = 1 + round(math.log(largest / size) / math.log(_ERROR_STEP))
    return 0 if steps > _SMALLEST_STEP else steps | (_NEGATIVE if error < 0 else 0)


def _decode_errors(reader: ByteReader, tiers: int) -> tuple[float, ...]:
    (largest,) = reader.numbers("f")
    if not (0 <= largest < math.inf):
        raise ValueError("errors")
    found = []
    for byte in reader.take(tiers):
        steps = byte & _SMALLEST_STEP
        size = largest * _ERROR_STEP ** (1 - steps) if steps else 0.0
        found.append(math.nan if byte == _NULL else -size if byte & _NEGATIVE else size)
    return tuple(found)
