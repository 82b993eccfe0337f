"""What a scorer keeps in memory, counted from the header alone."""

from fmcompress.artifact.header import Header, tier_bits
from fmcompress.artifact.layout import FieldLayout, TierLayout, field_layouts
from fmcompress.fm.quantizer import HALF

SMALL_FIELD = 4096
"""Raw embeddings of up to this many categories are kept in fp32; those of more are read from where they lie."""

_FLOAT_BYTES = 4
_COUNT_BYTES = 4


def resident_bytes(header: Header) -> int:
    """Return the bytes of a scorer's tables and codes.

    Codes and tiers stay packed, with a directory beside the tiers. Codebooks, small raw tables and linear weights are
    kept in fp32, codewords as wide as in the tier's largest subspace and with one more column for their norm. Large
    raw tables are read from where they lie: in fp16 among the values, in int8 and fp32 among the codes. What fields
    share is kept once. Numeric weights and dense layers are kept in fp32; the vocabulary is no part of it.
    """
    numeric = _FLOAT_BYTES * len(header.schema.numeric) * (header.dim + 1)
    total = _FLOAT_BYTES + numeric + header.tensor("codes").nbytes
    if header.frame.network is not None:
        total += _FLOAT_BYTES * header.frame.network.weights(header.schema, header.dim)
    for field in field_layouts(header):
        total += directory_bytes(field) + sum(map(_tier_bytes, field.tiers))
    return total


def _tier_bytes(tier: TierLayout) -> int:
    total = 0 if folds_linear(tier) else _FLOAT_BYTES * tier.linear.size
    width = max(table.shape[1] for table in tier.tables)
    for table in tier.tables:
        if not stays_packed(tier):
            total += _FLOAT_BYTES * table.shape[0] * (width + 1)
        elif table.in_values:
            total += HALF * table.size
    return total


def directory_bytes(field: FieldLayout) -> int:
    """Return the bytes of the counts that find the places of categories in their tiers; 0 for one tier."""
    return _COUNT_BYTES * len(field.sizes) * words_of_tiers(field) if field.tier_bytes else 0


def words_of_tiers(field: FieldLayout) -> int:
    """Return how many 64-bit words of the codes the tiers of a field lie in; they may begin and end within one."""
    first_bit, bits = 8 * field.tier_start, sum(field.sizes) * tier_bits(field.sizes)
    return (first_bit + bits - 1) // 64 + 1 - first_bit // 64


def stays_packed(tier: TierLayout) -> bool:
    """Return whether the tier's raw embeddings are read from where they lie."""
    return tier.quantizer.raw and tier.cardinality > SMALL_FIELD


def folds_linear(tier: TierLayout) -> bool:
    """Return whether the linear weights are added to the column of the norms, and kept nowhere else."""
    rows = tier.tables[0].shape[0]
    coded = tier.quantizer.row_bits or len(tier.tables) > 1
    return not coded and rows <= SMALL_FIELD and tier.linear.size in (1, rows)
