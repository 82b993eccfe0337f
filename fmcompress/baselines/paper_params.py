"""The Params of the paper's Table 2: memory of embeddings at given cardinalities, without training anything.

A float has 32 bits, a bool 1, a code log2 K; the linear part is not counted (section 4.3 of the paper).
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from fmcompress.baselines.mixed_dimensions import mixed_dims
from fmcompress.baselines.quotient_remainder import qr_places
from fmcompress.errors import UsageError
from fmcompress.fm.schema import Schema
from fmcompress.types import Int64Array

_FLOAT_BITS = 32
_CODEWORDS, _SUBSPACES = 1024, 4
_COLLISIONS = 8
_NETWORK = (256, 512, 256)


def paper_params(system: str, cardinalities: Sequence[int], dim: int = 32) -> float:
    """Return the paper's Params of one of its systems, with its settings, in MiB.

    FM, DFM and LightFM come out as printed. The paper does not say which fields QR leaves whole, how MD rounds and what
    its sizes are relative to, and which network DHE has; here these are fields that two tables would not make smaller,
    sizes rounded and relative to the smallest field, and 256-512-256-l with biases for each field.

    Args:
        system: ``fm``, ``dfm``, ``qr``, ``md``, ``dhe`` or ``lightfm``.
        cardinalities: of each field.
        dim: embedding size l.

    Raises:
        UsageError: there is no such system.
    """
    if system not in _BITS:
        raise UsageError(f"system is {system!r}, expected {', '.join(_BITS)}")
    return _BITS[system](np.asarray(cardinalities, dtype=np.int64), dim) / 8 / 2**20


def _fm(cardinalities: Int64Array, dim: int) -> int:
    return int(cardinalities.sum()) * dim * _FLOAT_BITS


def _dfm(cardinalities: Int64Array, dim: int) -> int:
    return int(cardinalities.sum()) * dim


def _qr(cardinalities: Int64Array, dim: int) -> int:
    schema = Schema.of([(str(field), int(cardinality)) for field, cardinality in enumerate(cardinalities)])
    places = qr_places(schema, _COLLISIONS)
    return (places.quotient_rows + places.remainder_rows) * dim * _FLOAT_BITS


def _md(cardinalities: Int64Array, dim: int) -> int:
    dims = mixed_dims(cardinalities, dim)
    return int(cardinalities @ dims + dims[dims < dim].sum() * dim) * _FLOAT_BITS


def _dhe(cardinalities: Int64Array, dim: int) -> int:
    network = sum((inputs + 1) * outputs for inputs, outputs in pairwise((*_NETWORK, dim)))
    return len(cardinalities) * network * _FLOAT_BITS


def _lightfm(cardinalities: Int64Array, dim: int) -> int:
    coded = cardinalities >= _CODEWORDS
    rows, code_bits = int(cardinalities[coded].sum()), _SUBSPACES * (_CODEWORDS - 1).bit_length()
    floats = (int(cardinalities[~coded].sum()) + int(coded.sum()) * _CODEWORDS) * dim
    return floats * _FLOAT_BITS + rows * code_bits


_BITS: dict[str, Callable[[Int64Array, int], int]] = {
    "fm": _fm, "dfm": _dfm, "qr": _qr, "md": _md, "dhe": _dhe, "lightfm": _lightfm,
}  # fmt: skip
