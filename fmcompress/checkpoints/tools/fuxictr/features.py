"""What FuxiCTR says of its features, in two files of JSON beside the data that a model is trained on.

feature_map.json     {"features": [{"user": {"type": "categorical", "vocab_size": 9, "padding_idx": 0}}, …], …}
feature_vocab.json   {"user": {"__PAD__": 0, "alice": 1, …, "__OOV__": 8}, …}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmcompress.checkpoints.dialect import listed
from fmcompress.checkpoints.reading_errors import damaged, quoted
from fmcompress.errors import CheckpointError
from fmcompress.fm.field_vocabulary import FieldVocabulary
from fmcompress.fm.schema import MAX_CATEGORIES
from fmcompress.fm.vocabulary import UNKNOWN

MAP_NAME = "feature_map.json"
VOCABULARY_NAME = "feature_vocab.json"

_EMPTY = ""
"""What FuxiCTR fills a null with, unless it is told otherwise; mostly it is no token of its own."""

_REFUSED = {"sequence": "a sequence of categories", "embedding": "a vector of another model"}


@dataclass(frozen=True)
class Feature:
    """A feature of a model.

    Attributes:
        name: its name.
        numeric: whether it is a number; else it has categories.
        categories: how many; None where the file does not say.
        pad: id that stands for no value, or None.
        shares: name of the feature whose embeddings it shares, or None.
    """

    name: str
    numeric: bool
    categories: int | None = None
    pad: int | None = None
    shares: str | None = None


def read_feature_map(path: Path) -> dict[str, Feature]:
    """Read the features of a model by name, in the model's order; such as only group rows are left out.

    Raises:
        CheckpointError: it is damaged, or a feature is none that a factorization machine can have.
    """
    found = _json(path)
    with damaged(f"{path.name} cannot be read"):
        rows = found["features"]
        specs = rows if isinstance(rows, dict) else {name: spec for row in rows for name, spec in row.items()}
        features = [_feature(name, dict(spec)) for name, spec in specs.items() if spec["type"] != "meta"]
    return {feature.name: feature for feature in features}


def _feature(name: str, spec: Mapping[str, Any]) -> Feature:
    kind = spec["type"]
    if kind in ("numeric", "categorical") and not spec.get("feature_encoder"):
        return Feature(
            name,
            kind == "numeric",
            None if spec.get("vocab_size") is None else _whole(spec["vocab_size"]),
            None if spec.get("padding_idx") is None else _whole(spec["padding_idx"]),
            None if spec.get("share_embedding") is None else str(spec["share_embedding"]),
        )
    what = _REFUSED.get(kind, f"of type {quoted(str(kind))}") if kind != "categorical" else "encoded by a layer"
    raise CheckpointError(
        f"it is no plain factorization machine: its feature {listed([name])} is {what}, by {MAP_NAME}"
    )


def _whole(value: object) -> int:
    if type(value) is not int or not 0 <= value <= MAX_CATEGORIES:
        raise ValueError("a size or an id is none")
    return value


def read_feature_vocabulary(path: Path, names: Mapping[str, str]) -> dict[str, FieldVocabulary]:
    """Read the tokens of features.

    As FuxiCTR has it, an unknown token gets the id of ``__OOV__``, and a null that of the empty text.

    Args:
        path: the file.
        names: names of the features in the file, by names of fields.

    Raises:
        CheckpointError: it is damaged.
    """
    found = _json(path)
    with damaged(f"{path.name} cannot be read"):
        return {name: _vocabulary(dict(found[feature])) for name, feature in names.items() if feature in found}


def _vocabulary(ids: Mapping[str, object]) -> FieldVocabulary:
    numbers = {token: _whole(number) for token, number in ids.items()}
    oov = numbers.pop(UNKNOWN, None)
    return FieldVocabulary.of(numbers, oov=oov, missing=numbers.get(_EMPTY, oov))


def _json(path: Path) -> dict[str, Any]:
    with damaged(f"{path.name} cannot be read"):
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise TypeError("it is no JSON object")
    return found
