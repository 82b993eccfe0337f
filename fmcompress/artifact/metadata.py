"""The text of the metadata: canonical JSON in which the entries of the fields stand as they are."""

from __future__ import annotations

from collections.abc import Sequence

from fmcompress.artifact.container import canonical_json
from fmcompress.artifact.frame import Frame
from fmcompress.artifact.origin import DEFAULTS as OF_ORIGIN
from fmcompress.artifact.origin import Origin, encode_origin

SCHEMA_VERSION = 1
UNSEALED = "0" * 64
"""Stands in for the SHA-256 while it is computed."""

DEFAULTS = {**OF_ORIGIN, "link": "sigmoid"}
"""What metadata mean that do not say it."""


def compose(frame: Frame, origin: Origin, entries: Sequence[str], sha256: str) -> str:
    """Return the metadata; what goes without saying is left out.

    Args:
        frame: what is fixed of the artifact.
        origin: where it comes from.
        entries: of the fields, as JSON.
        sha256: seals the metadata and the payload.
    """
    values = {
        **encode_origin(origin, regression=frame.link_function.regression),
        "schema_version": SCHEMA_VERSION,
        "link": frame.link,
        "dim": frame.dim,
        "sha256": sha256,
    }
    texts = {key: canonical_json(value) for key, value in values.items() if value != DEFAULTS.get(key)}
    texts["fields"] = f"[{','.join(entries)}]"
    return "{" + ",".join(f'"{key}":{text}' for key, text in sorted(texts.items())) + "}"
