"""What a scorer keeps in memory, counted from the header alone."""

from __future__ import annotations

from fmcompress.artifact.header import Header
from fmcompress.artifact.model import FieldParts, field_parts
from fmcompress.quantizer import VALUE_BYTES

SMALL_FIELD = 4096
"""Raw embeddings of a field with up to this many categories are kept in fp32; larger ones stay in the file."""

_FLOAT_BYTES = 4


def resident_bytes(header: Header) -> int:
    """Return the bytes of a scorer's tables and codes.

    Codes stay packed. Codebooks, small raw tables and linear weights are kept in fp32, codewords as wide as in
    the field's largest subspace and with one more column for their norm; large raw tables are mapped from the
    file and counted as they are there.
    """
    total = _FLOAT_BYTES + header.tensors[2].nbytes
    for parts in field_parts(header):
        width = max(columns for _, (_, columns) in parts.tables)
        for _, (rows, columns) in parts.tables:
            mapped = parts.quantizer.raw and rows > SMALL_FIELD
            total += VALUE_BYTES * rows * columns if mapped else _FLOAT_BYTES * rows * (width + 1)
        if not folds_linear(parts):
            total += _FLOAT_BYTES * parts.linear_values
    return total


def folds_linear(parts: FieldParts) -> bool:
    """Return whether the linear weights are added to the column of the norms, and kept nowhere else."""
    rows = parts.tables[0][1][0]
    coded = parts.quantizer.row_bits or len(parts.tables) > 1
    return not coded and rows <= SMALL_FIELD and parts.linear_values in (1, rows)
