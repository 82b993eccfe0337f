"""Rows for the models, and what they come to by the formula in double precision."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from docs.golden.drawn import Drawn
from docs.golden.models import Golden
from fmcompress.artifact import PackedFM
from fmcompress.fm.field_keys import FieldKeys
from fmcompress.fm.field_vocabulary import FieldVocabulary
from fmcompress.types import Float64Array, Int64Array
from tests import format_reader

_MOST_ROWS = 150
_FEWEST_ROWS = 12
_DIGITS = 8


def vectors(name: str, golden: Golden, model: PackedFM, data: bytes) -> str:
    """Return the rows of a model and their predictions as JSON, a row on each line.

    Args:
        name: of the model.
        golden: what it is there for, and what is looked up.
        model: the model.
        data: its artifact.
    """
    bags = golden.bags
    ids, values = _ids(name, model), _values(name, model)
    drawn = {field: _bag(name, field, model, len(ids), weighted) for field, weighted in bags.items()}
    for field in bags:
        column = model.schema.id_names.index(field)
        ids[:, column] = np.where(np.arange(len(ids)) % 2, model.schema.pads[column], -1)
    reader = format_reader.read(data)
    known = np.where(np.isnan(values), 0, values)
    logits = [
        reader.logit(*row, format_reader.bags_of_row(drawn, number))
        for number, row in enumerate(zip(ids.tolist(), known, strict=True))
    ]
    found: dict[str, Any] = {"describes": golden.describes, "id_names": list(model.schema.id_names)}
    found["value_names"] = list(model.schema.numeric_names)
    found["link"] = model.link
    if model.vocabulary is not None:
        fields = sorted(model.vocabulary.fields.items())
        found["vocabulary"] = {
            field: {
                "oov": own.oov,
                "missing": own.missing,
                **_known(own, reader.vocabulary[field][0], golden, field),
            }
            for field, own in fields
        }
    found["ids"] = ids.tolist()
    found["values"] = [[None if np.isnan(value) else value for value in row] for row in values.tolist()]
    if drawn:
        found["bags"] = drawn
    found["logits"] = [_rounded(logit) for logit in logits]
    found["predictions"] = [_rounded(reader.predicted(logit)) for logit in logits]
    return _as_text(found)


def _known(own: FieldVocabulary | FieldKeys, read: Any, golden: Golden, field: str) -> dict[str, dict[str, int | None]]:
    """Return the ids of tokens, or of keys as digits, null for those that are none."""
    if isinstance(own, FieldVocabulary):
        return {"tokens": dict(own.known)}
    return {"keys": {str(key): read.find(key) for key in golden.keys[field]}}


def _ids(name: str, model: PackedFM) -> Int64Array:
    """Return rows that look up each category, as far as there are not too many; then some where ids are missing."""
    sizes = model.schema.id_cardinalities
    count = min(max(int(sizes.max()), _FEWEST_ROWS), _MOST_ROWS)
    every = np.arange(count)[:, None] + np.arange(len(sizes))
    some = Drawn(f"{name}, rows").whole(2**31, _FEWEST_ROWS, len(sizes))
    ids = np.concatenate([every, some]) % sizes
    ids[count] = sizes - 1
    missing = Drawn(f"{name}, missing").whole(4, *ids.shape) == 0
    missing[:count] = False
    missing[-1] = True
    pads = np.where(model.schema.pads >= 0, model.schema.pads, -1)
    padded = Drawn(f"{name}, PAD").whole(2, *ids.shape) == 0
    return np.where(missing, np.where(padded, pads, -1), ids)


def _values(name: str, model: PackedFM) -> Float64Array:
    """Return values for the same rows, exact in fp32, some of them missing."""
    shape = len(_ids(name, model)), len(model.schema.numeric)
    values = (Drawn(f"{name}, values").whole(2001, *shape) - 1000) / 64.0
    values[Drawn(f"{name}, no values").whole(6, *shape) == 0] = np.nan
    return values


def _bag(name: str, field: str, model: PackedFM, rows: int, weighted: bool) -> dict[str, Any]:
    """Return the values of a field in each row, some missing, some rows without any: ids, and weights or null."""
    column = model.schema.id_names.index(field)
    draw = Drawn(f"{name}, bags of {field}")
    counts = draw.whole(7, rows)
    counts[-1] = 0
    ids = draw.whole(int(model.schema.id_cardinalities[column]), int(counts.sum()))
    ids[draw.whole(10, len(ids)) == 0] = -1
    ids[draw.whole(10, len(ids)) == 0] = model.schema.pads[column]
    ends = np.cumsum(counts)[:-1]
    weights = (draw.whole(65, len(ids)) - 24) / 16.0 if weighted else None
    return {
        "ids": [part.tolist() for part in np.split(ids, ends)],
        "weights": None if weights is None else [part.tolist() for part in np.split(weights, ends)],
    }


def _rounded(number: float) -> float:
    return float(f"{number:.{_DIGITS}g}")


def _as_text(found: dict[str, Any]) -> str:
    lines = []
    for key, value in found.items():
        if key in ("ids", "values"):
            rows = ",\n  ".join(json.dumps(row) for row in value)
            lines.append(f"{json.dumps(key)}: [\n  {rows}\n ]")
        elif key == "bags":
            fields = ",\n  ".join(f"{json.dumps(field)}: {json.dumps(bag)}" for field, bag in value.items())
            lines.append(f"{json.dumps(key)}: {{\n  {fields}\n }}")
        else:
            lines.append(f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
    return "{\n " + ",\n ".join(lines) + "\n}\n"
