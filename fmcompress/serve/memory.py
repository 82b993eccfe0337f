"""What a scorer keeps in memory, counted from the header alone."""

from __future__ import annotations

from fmcompress.artifact.header import Header
from fmcompress.artifact.model import field_parts

SMALL_FIELD = 4096
"""Raw embeddings of a field with up to this many categories are kept in fp32; larger ones stay in the file."""

_FLOAT_BYTES = 4


def resident_bytes(header: Header) -> int:
    """Return the bytes of a scorer's tables and codes.

    Codes stay packed. Codebooks, small raw tables and linear weights are kept in fp32, vectors with one more
    column for their norm; large raw tables are mapped from the file and counted as they are there.
    """
    total = _FLOAT_BYTES + header.tensors[2].nbytes
    for parts in field_parts(header):
        for _, (rows, columns) in parts.tables:
            mapped = parts.quantizer.raw and rows > SMALL_FIELD
            total += 2 * rows * columns if mapped else _FLOAT_BYTES * rows * (columns + 1)
        total += _FLOAT_BYTES * parts.linear_values
    return total
