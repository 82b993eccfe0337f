"""Quantized models in training: what is kept of them are packed models, and these can stand in a state file."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from fmcompress.artifact import Frame, Header, Origin, PackedFM
from fmcompress.fm.quantized import QuantizedFM
from fmcompress.fm.quantizer import embedding_spec, linear_spec, parse_quantizer
from fmcompress.training.trainable import ResumableTrainable


class PackedTrainable(ResumableTrainable[PackedFM]):
    """A quantized model in training.

    Attributes:
        like: a model of the same fields, in the same tiers.
        origin: what the artifact says of itself.
    """

    like: QuantizedFM
    origin: Origin

    def file_bytes(self, kept: PackedFM) -> int:
        """Return the size of the artifact."""
        return kept.file_bytes

    def encode(self, kept: PackedFM) -> dict[str, Any]:
        """Return a kept model for the state file."""
        return encode_packed(kept)

    def decode(self, encoded: dict[str, Any]) -> PackedFM:
        """Return the kept model."""
        return decode_packed(encoded, self.like, self.origin)


def encode_packed(model: PackedFM) -> dict[str, Any]:
    """Return tiers, quantizers, numbers and codes of a model as numbers, texts and tensors."""
    return {
        "tiers": [list(sizes) for sizes in model.header.tier_sizes],
        "quantizers": [[embedding_spec(q), linear_spec(q)] for q in model.header.quantizers],
        "bias": model.bias,
        **{name: torch.from_numpy(np.array(getattr(model, name))) for name in ("values", "codes")},
    }


def decode_packed(encoded: dict[str, Any], like: QuantizedFM, origin: Origin) -> PackedFM:
    """Return the model that ``encode_packed`` was given.

    Args:
        encoded: what it returned.
        like: a model of the same fields, in the same tiers.
        origin: what the artifact says of itself.
    """
    quantizers = tuple(parse_quantizer(embedding, linear) for embedding, linear in encoded["quantizers"])
    errors = tuple(field.error for field in like.fields)
    tier_sizes = tuple(tuple(sizes) for sizes in encoded["tiers"])
    header = Header(Frame.of(like), quantizers, errors, origin, tier_sizes)
    return PackedFM(header, encoded["bias"], encoded["values"].numpy(), encoded["codes"].numpy(), like.numeric)
