"""Compressed models in the state of a long run: what tuning and search change of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from fmcompress.artifact import CompressedFM, Header, Origin
from fmcompress.quantized import QuantizedFM
from fmcompress.quantizer import embedding_spec, linear_spec, parse_quantizer


def encode_model(model: CompressedFM) -> dict[str, Any]:
    """Return quantizers, numbers and codes of a model as texts and tensors."""
    return {
        "quantizers": [[embedding_spec(q), linear_spec(q)] for q in model.header.quantizers],
        "bias": model.bias,
        **{name: torch.from_numpy(np.array(getattr(model, name))) for name in ("values", "codes")},
    }


def decode_model(encoded: dict[str, Any], like: QuantizedFM, origin: Origin) -> CompressedFM:
    """Return the model that ``encode_model`` was given.

    Args:
        encoded: what it returned.
        like: a model of the same fields.
        origin: what the artifact says of itself.
    """
    quantizers = tuple(parse_quantizer(embedding, linear) for embedding, linear in encoded["quantizers"])
    errors = tuple(field.error for field in like.fields)
    header = Header(like.schema, like.dim, like.link, quantizers, errors, origin)
    return CompressedFM(header, encoded["bias"], encoded["values"].numpy(), encoded["codes"].numpy())
