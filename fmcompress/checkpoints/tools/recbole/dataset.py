"""What RecBole's ``<name>-Dataset.pth`` tells of a model's fields: a pickle of its Dataset.

config           the configuration
field2type       name -> FeatureType("token"), FeatureType("float"), …, in the order of the model's rows
field2source     name -> FeatureSource("inter"), FeatureSource("user"), …
field2id_token   name -> array of text, the tokens by id; ``[PAD]``, which stands for a null, has 0

The rows of data, which may be many, come after these and are not read. As in RecBole, an unknown token is an error.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fmcompress.checkpoints.dialect import listed
from fmcompress.checkpoints.files.pickle_file import PickleFile
from fmcompress.checkpoints.pickle.arrays import NumpyArray
from fmcompress.checkpoints.pickle.stubs import Stub
from fmcompress.checkpoints.reading_errors import damaged, quoted
from fmcompress.checkpoints.tools.field_tables import AnyField, schema_of
from fmcompress.errors import CheckpointError
from fmcompress.fm.field_vocabulary import FieldVocabulary
from fmcompress.fm.schema import Field, NumericField, Schema
from fmcompress.fm.vocabulary import Vocabulary

PAD = 0
"""RecBole's id of ``[PAD]`` in every field."""

_UNTIL = "field2token_id"
_MAX_MEMBER = 32
_SOURCES = ("inter", "interaction", "user", "user_id", "item", "item_id")
"""What the model's fields come from, by value or by name; others are relations of a graph."""


@dataclass(frozen=True)
class DatasetFields:
    """The fields of a model.

    Attributes:
        schema: the fields.
        tokens: the tokens of each categorical field by id, in the order of the fields; text (cardinality,).
    """

    schema: Schema
    tokens: tuple[NumpyArray, ...]

    def vocabulary(self, schema: Schema) -> Vocabulary:
        """Return the vocabulary of the same fields with the names that ``schema`` gives them.

        Raises:
            CheckpointError: tokens cannot be read, or one stands for two categories.
        """
        made: dict[int, FieldVocabulary] = {}
        fields = {}
        for name, array in zip(schema.names, self.tokens, strict=True):
            if id(array) not in made:  # fields of one kind have one array
                made[id(array)] = _vocabulary(name, array)
            fields[name] = made[id(array)]
        return Vocabulary(fields)


def config_of(stub: object) -> Mapping[object, object]:
    """Return the settings that a ``Config`` of RecBole holds; none where it is no such object."""
    settings = stub.attributes.get("final_config_dict") if isinstance(stub, Stub) else None
    return settings if isinstance(settings, dict) else {}


def read_dataset(path: Path, config: Mapping[object, object]) -> DatasetFields:
    """Read the fields of a model that was trained on a dataset.

    Args:
        path: the dataset's file.
        config: the model's settings; where there are none, the dataset's are taken.

    Raises:
        CheckpointError: it is damaged, no dataset of RecBole, or has numeric fields that are cut into buckets.
    """
    name = quoted(path.name)
    if not path.is_file():
        raise CheckpointError(f"{name}: there is no such file", hint=f"looked for {path.absolute()}")
    try:
        found = PickleFile(path).read(until=_UNTIL).attributes
        with damaged("it is no dataset of RecBole"):
            return _fields(found, config or config_of(found.get("config")))
    except CheckpointError as error:
        raise CheckpointError(f"{name}: {error}", hint=error.hint) from error
    except OSError as error:
        raise CheckpointError(f"{name}: it cannot be read: {error.strerror or error}") from error


def _fields(found: Mapping[object, object], config: Mapping[object, object]) -> DatasetFields:
    kinds, sources, tokens = (_part(found, f"field2{part}") for part in ("type", "source", "id_token"))
    numeric = _strings(config.get("numerical_features"))
    if config.get("discretization"):
        raise CheckpointError("it cuts numeric fields into buckets, whose limits it does not say")
    fields: list[AnyField] = []
    arrays = []
    for name, kind in kinds.items():
        if name == config.get("LABEL_FIELD") or _member(sources.get(name)) not in _SOURCES:
            continue
        if _member(kind) == "token":
            arrays.append(_tokens(name, tokens.get(name)))
            fields.append(Field(name, len(arrays[-1].values)))
        elif _member(kind) == "float" and name in numeric:
            fields.append(NumericField(name))
    return DatasetFields(schema_of(fields), tuple(arrays))


def _part(found: Mapping[object, object], name: str) -> dict[str, object]:
    part = found.get(name)
    if not isinstance(part, dict):
        raise TypeError(f"it has no {name}")
    return {key: value for key, value in part.items() if isinstance(key, str)}


def _strings(value: object) -> Collection[str]:
    return {each for each in value if isinstance(each, str)} if isinstance(value, list | tuple) else ()


def _member(stub: object) -> str:
    """Return the value, or the name in small letters, of a member of an Enum."""
    value = stub.args[0] if isinstance(stub, Stub) and isinstance(stub.args, tuple) and stub.args else ""
    return value.lower() if isinstance(value, str) and len(value) <= _MAX_MEMBER else ""


def _tokens(name: str, array: object) -> NumpyArray:
    if not isinstance(array, NumpyArray) or array.values.dtype.kind != "U" or array.values.ndim != 1:
        raise TypeError(f"its field {quoted(name)} has no tokens")
    return array


def _vocabulary(name: str, array: NumpyArray) -> FieldVocabulary:
    with damaged(f"the tokens of field {quoted(name)} cannot be read"):
        tokens = array.values.tolist()
    if len(set(tokens)) != len(tokens):
        raise CheckpointError(f"the tokens of field {listed([name])} are not all different: the dataset is damaged")
    return FieldVocabulary(tuple(tokens), np.arange(len(tokens), dtype=np.int32), missing=PAD)
