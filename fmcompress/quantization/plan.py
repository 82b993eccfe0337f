"""The plan: how each field is stored under a budget, known to the byte before any codebook is made."""

import math
from dataclasses import dataclass

from fmcompress.fm.quantizer import Quantizer
from fmcompress.fm.tiers import Tiers
from fmcompress.quantization.field_weights import Metric


@dataclass(frozen=True)
class Plan:
    """How each field of a factorization machine is to be stored.

    Attributes:
        tiers: how fields are split.
        quantizers: the quantizer of each tier; None while a search is to find them.
        file_bytes: exact size of the artifact; what it has at most while a search is to find it.
        largest_bytes: size of the largest artifact that the method makes.
        metrics: in which the codebooks of each tier are made; None takes squared distances in all.
        rises: rise of the loss per row by each tier, as measured on held-out rows; None where there were none.
        network_bytes: bytes of a weight of each dense layer; None stores them in int8.
        expected: rise of the loss per row by all tiers, as it was priced; NaN where nothing was.
    """

    tiers: Tiers
    quantizers: tuple[Quantizer, ...] | None
    file_bytes: int
    largest_bytes: int
    metrics: tuple[Metric, ...] | None = None
    rises: tuple[float, ...] | None = None
    network_bytes: tuple[int, ...] | None = None
    expected: float = math.nan
