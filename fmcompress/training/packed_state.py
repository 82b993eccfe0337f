"""Compressed models in the state of a long run: what tuning and search change of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from fmcompress.artifact import CompressedFM, Frame, Header, Origin
from fmcompress.fm.quantized import QuantizedFM
from fmcompress.fm.quantizer import embedding_spec, linear_spec, parse_quantizer


def encode_model(model: CompressedFM) -> dict[str, Any]:
    """Return tiers, quantizers, numbers and codes of a model as numbers, texts and tensors."""
    return {
        "tiers": [list(sizes) for sizes in model.header.tier_sizes],
        "quantizers": [[embedding_spec(q), linear_spec(q)] for q in model.header.quantizers],
        "bias": model.bias,
        **{name: torch.from_numpy(np.array(getattr(model, name))) for name in ("values", "codes")},
    }


def decode_model(encoded: dict[str, Any], like: QuantizedFM, origin: Origin) -> CompressedFM:
    """Return the model that ``encode_model`` was given.

    Args:
        encoded: what it returned.
        like: a model of the same fields, in the same tiers.
        origin: what the artifact says of itself.
    """
    quantizers = tuple(parse_quantizer(embedding, linear) for embedding, linear in encoded["quantizers"])
    errors = tuple(part.error for part in like.fields)
    tier_sizes = tuple(tuple(sizes) for sizes in encoded["tiers"])
    header = Header(Frame.of(like), quantizers, errors, origin, tier_sizes)
    return CompressedFM(header, encoded["bias"], encoded["values"].numpy(), encoded["codes"].numpy(), like.numeric)
