"""Memory as the paper counts it, to set results beside its Table 2."""

from __future__ import annotations

from collections.abc import Sequence

from fmcompress.fm.quantizer import Quantizer, code_bits

_FLOAT_BYTES = 4
MIB = 2**20


def paper_params_mib(cardinalities: Sequence[int], quantizers: Sequence[Quantizer], dim: int) -> float:
    """Return the paper's "Params" (section 4.3) in MiB: floats of 32 bits, codes of log2 K bits.

    Raw embeddings take l·4 bytes a row, a codebook K·l·4 bytes, codes D·log2 K bits a row. The linear part
    and the bias are not counted.

    Args:
        cardinalities: categories of each field.
        quantizers: how each field is stored.
        dim: embedding size l.
    """
    total = 0.0
    for cardinality, quantizer in zip(cardinalities, quantizers, strict=True):
        total += _FLOAT_BYTES * quantizer.embedding_values(cardinality, dim)
        total += cardinality * sum(code_bits(k) for k in quantizer.codewords) / 8
    return total / MIB
