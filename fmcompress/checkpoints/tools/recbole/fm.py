"""Checkpoints of RecBole's FM, ``FM-<date>.pth``: a dict that has the state_dict under ``state_dict``.

token_embedding_table.embedding.weight                       (categories, dim)
first_order_linear.token_embedding_table.embedding.weight    (categories, 1)
float_embedding_table.embedding.weight                       (2 · numbers, dim)
first_order_linear.float_embedding_table.embedding.weight    (2 · numbers, 1)
first_order_linear.bias                                      (1,)

Of the two rows of a numeric field the second one is multiplied by its value; the first one is never used. The
fields are told by ``<name>-Dataset.pth`` beside it, see ``recbole_dataset``. Category 0 of a field is ``[PAD]``, which
stands for a null and is trained like any other category.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fmcompress.checkpoints.checkpoint_file import CheckpointFile
from fmcompress.checkpoints.dialect import Given, agreed_fields, claim, listed
from fmcompress.checkpoints.files.tensor import Tensor
from fmcompress.checkpoints.reading_errors import quoted
from fmcompress.checkpoints.tools.field_tables import padded, read_shape
from fmcompress.checkpoints.tools.recbole.dataset import PAD, DatasetFields, config_of, read_dataset
from fmcompress.errors import CheckpointError
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.fm.schema import Schema

_EMBEDDINGS = "token_embedding_table.embedding.weight"
_NUMERIC_EMBEDDINGS = "float_embedding_table.embedding.weight"
_LINEAR = f"first_order_linear.{_EMBEDDINGS}"
_NUMERIC_LINEAR = f"first_order_linear.{_NUMERIC_EMBEDDINGS}"
_BIAS = "first_order_linear.bias"

_MODEL = "FM"
_DATASETS = "*-Dataset.pth"
_ROWS_OF_NUMBER = 2


def recognises(file: CheckpointFile) -> bool:
    """Return whether a file has tables where RecBole's models have them."""
    return bool({_EMBEDDINGS, _LINEAR, _BIAS} & file.weights.tensors.keys())


def read(file: CheckpointFile, given: Given) -> FMCheckpoint:
    """Read a model of RecBole, with the fields that its dataset tells, or those that are given.

    The dataset is ``given.dataset``, or the file beside the checkpoint if there is exactly one.

    Raises:
        CheckpointError: it is another model, shapes disagree, a numeric field is cut into buckets, or its fields are
            missing or of another dataset.
    """
    config = config_of(file.root.get("config") if isinstance(file.root, dict) else None)
    model = config.get("model")
    if isinstance(model, str) and model != _MODEL:
        raise CheckpointError(f"it is a model {quoted(model)} of RecBole, expected {_MODEL}")
    found = file.weights.tensors
    numeric = (_NUMERIC_EMBEDDINGS, _NUMERIC_LINEAR)
    numbers = any(key in found for key in numeric)
    weights = claim(found, (_EMBEDDINGS, _LINEAR, _BIAS, *(numeric if numbers else ())))
    rows, dim = _matrix(_EMBEDDINGS, weights)
    path = given.dataset or _beside(file.path, config.get("dataset"))
    own = None if path is None else read_dataset(path, config)
    schema = _agreed(own, given.fields, rows, _matrix(_NUMERIC_EMBEDDINGS, weights)[0] if numbers else 0)
    linear = read_shape(_LINEAR, weights[_LINEAR], (rows, 1))[:, 0]
    embeddings = read_shape(_EMBEDDINGS, weights[_EMBEDDINGS], (rows, dim))
    return FMCheckpoint(
        padded(schema, linear, embeddings, dict.fromkeys(schema.names, PAD)),
        bias=float(read_shape(_BIAS, weights[_BIAS], (1,))[0]),
        linear=linear,
        embeddings=embeddings,
        numeric=_numeric(len(schema.numeric), dim, weights),
        vocabulary=None if own is None else own.vocabulary(schema),
    )


def _matrix(key: str, weights: Mapping[str, Tensor]) -> tuple[int, int]:
    shape = weights[key].shape
    if len(shape) != 2:
        raise CheckpointError(f"{key!r} has shape {shape}, expected (rows, dim)")
    return shape[0], shape[1]


def _beside(path: Path, dataset: object) -> Path | None:
    """Return the dataset that lies beside a checkpoint; of several, the one of the name that the checkpoint says."""
    found = sorted(each for each in path.parent.glob(_DATASETS) if each.is_file())
    if len(found) > 1:
        found = [each for each in found if each.name == f"{dataset}-Dataset.pth"] or found
    if len(found) > 1:
        raise CheckpointError(
            f"there are {len(found)} datasets beside it, {listed([each.name for each in found])}",
            hint="pass --dataset FILE",
        )
    return found[0] if found else None


def _agreed(own: DatasetFields | None, given: Schema | None, rows: int, numeric_rows: int) -> Schema:
    """Return the fields of a model: the given ones where there are some."""
    if own is None and given is None:
        raise CheckpointError(
            f"it does not say which fields its {rows:,} categories belong to",
            hint=f"put its {_DATASETS} beside it, pass --dataset FILE, or --fields name:size,name:size,…",
        )
    numbers = numeric_rows // _ROWS_OF_NUMBER
    schema = agreed_fields(None if own is None else own.schema, given, rows + numbers)
    if len(schema.numeric) * _ROWS_OF_NUMBER != numeric_rows:
        raise CheckpointError(
            f"it has {numeric_rows} rows for numbers, but its fields have {len(schema.numeric)} numbers, "
            f"expected {_ROWS_OF_NUMBER} rows for each"
        )
    return schema


def _numeric(numbers: int, dim: int, weights: Mapping[str, Tensor]) -> NumericWeights:
    if not numbers:
        return NumericWeights.none(dim)
    rows = _ROWS_OF_NUMBER * numbers
    linear = read_shape(_NUMERIC_LINEAR, weights[_NUMERIC_LINEAR], (rows, 1))[1::_ROWS_OF_NUMBER, 0]
    return NumericWeights(
        linear, read_shape(_NUMERIC_EMBEDDINGS, weights[_NUMERIC_EMBEDDINGS], (rows, dim))[1::_ROWS_OF_NUMBER]
    )
