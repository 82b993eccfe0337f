"""JSON documents that name the schema they keep to: ``docs/report.schema.json`` and its siblings."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Literal

Kind = Literal["report", "compare", "evaluate", "check", "inspect", "sweep"]
"""The commands whose JSON has a schema."""

VERSION = 1
"""Of all schemas. A key that is taken away or changes its meaning makes a new one; keys that are added do not."""


def json_document(kind: Kind, found: Mapping[str, Any]) -> str:
    """Return plain data as JSON, two spaces a level, with its schema's name; figures that do not exist are null."""
    document = {"schema": f"fmcompress/{kind}/{VERSION}", **found}
    return json.dumps(without_nan(document), indent=2, ensure_ascii=False)


def without_nan(value: Any) -> Any:
    """Return plain data with None in place of NaN and infinity, which JSON does not know."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
