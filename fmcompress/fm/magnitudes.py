"""Whether a factorization machine can score at all: squares of sums of its weights must be numbers in fp32."""

import numpy as np

from fmcompress.errors import CheckpointError
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.disk_table import DiskTable, Norms, Table
from fmcompress.fm.network import Network
from fmcompress.types import Float32Array, Float64Array

_LARGEST = float(np.finfo(np.float32).max) / 4
"""Of a sum or a square, with some room: terms of the logit are added up in any order."""

_HINT = "weight decay in training keeps weights small; a category that was never trained can be set to 0"


def check_magnitudes(checkpoint: FMCheckpoint) -> None:
    """Check that predictions are finite, whatever the row; values of numeric fields are taken as 1.

    Raises:
        CheckpointError: the square of a sum of embeddings, or a sum of linear weights, is beyond fp32; it names the
            field and the category with the largest weight.
    """
    schema, uses = checkpoint.schema, np.bincount(checkpoint.schema.tables)
    norms = [_longest(checkpoint.embeddings_of(field)) for field in range(len(schema))]
    largest = np.array([own.largest for own in norms])
    numeric = _norms(checkpoint.numeric.embeddings)
    if (float(uses @ largest) + float(numeric.sum())) ** 2 > _LARGEST:
        if numeric.max(initial=0) > largest.max():
            field = int(numeric.argmax())
            raise _refusal(f"numeric field {schema.numeric[field].name!r}", checkpoint.numeric.embeddings[field])
        worst = int(largest.argmax())
        category = norms[worst].row
        row = checkpoint.embeddings_of(worst)[category]
        raise _refusal(f"field {schema.names[worst]!r}, category {category}", row)
    _check_linear(checkpoint)
    if checkpoint.network is not None:
        _check_network(checkpoint.network, float(uses @ largest) + float(numeric.sum()))


def _check_network(network: Network, reach: float) -> None:
    """Check that sums in dense layers are numbers in fp32, ``reach`` being the largest ‖S‖ that there can be."""
    size = reach if network.of_kind.concatenated else reach**2
    size = max(size, 1.0)  # values of numeric fields
    for number, layer in enumerate(network.layers, start=1):
        sums = np.abs(layer.weight.astype(np.float64)).sum(axis=1) * size + np.abs(layer.bias)
        size = float(sums.max())
        if size > _LARGEST:
            raise CheckpointError(
                f"dense layer {number}: weights of {np.abs(layer.weight).max():.6g} in size are too large for sums in "
                "fp32: predictions are not finite",
                hint=_HINT,
            )


def _check_linear(checkpoint: FMCheckpoint) -> None:
    schema, uses = checkpoint.schema, np.bincount(checkpoint.schema.tables)
    sizes = [np.abs(checkpoint.linear[schema.rows(field)]) for field in range(len(schema))]
    largest = np.array([float(own.max()) for own in sizes])
    numeric = np.abs(checkpoint.numeric.linear.astype(np.float64))
    if float(uses @ largest) + float(numeric.sum()) + abs(checkpoint.bias) <= _LARGEST:
        return
    if abs(checkpoint.bias) >= max(largest.max(), numeric.max(initial=0)):
        raise CheckpointError(f"bias is {checkpoint.bias:.6g}, too large for sums in fp32: no prediction is finite")
    if numeric.max(initial=0) > largest.max():
        where, weight = f"numeric field {schema.numeric[int(numeric.argmax())].name!r}", float(numeric.max())
    else:
        worst = int(largest.argmax())
        where, weight = f"field {schema.names[worst]!r}, category {int(sizes[worst].argmax())}", float(largest[worst])
    raise CheckpointError(
        f"{where}: a linear weight of {weight:.6g} in size is too large for sums in fp32: predictions are not finite",
        hint=_HINT,
    )


def _refusal(where: str, row: Float32Array) -> CheckpointError:
    value = float(row[np.abs(row).argmax()])
    return CheckpointError(
        f"{where}: an embedding with {value:.6g} is too large, its square is beyond fp32: predictions are not finite",
        hint=_HINT,
    )


def _longest(table: Table) -> Norms:
    return table.norms if isinstance(table, DiskTable) else Norms(table)


def _norms(vectors: Float32Array) -> Float64Array:
    """Return ‖v‖ of each row, float64 (n,)."""
    wide = vectors.astype(np.float64)
    return np.asarray(np.sqrt(np.einsum("nl,nl->n", wide, wide)))
