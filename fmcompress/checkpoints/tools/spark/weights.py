"""The weights of Spark MLlib's factorization machines, as its vectors and matrices are stored.

intercept    double
linear       (type, size, indices, values)
factors      (type, numRows, numCols, colPtrs, rowIndices, values, isTransposed)

A type of 1 is dense, a type of 0 sparse. A dense matrix is stored by columns, a sparse one as compressed columns; one
that is transposed by rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fmcompress.checkpoints.reading_errors import damaged
from fmcompress.checkpoints.tools.spark.files import SavedStage, read_row
from fmcompress.errors import CheckpointError

_SPARSE, _DENSE = 0, 1
_SPARSEST = 8
"""Places for each value that a sparse matrix may have; trained factors have none that is zero."""
_COLUMNS = {"intercept": "double", "linear": "struct", "factors": "struct"}


@dataclass(frozen=True)
class SparkWeights:
    """The weights of a model.

    Attributes:
        bias: w_0.
        linear: w, float32 (features,).
        embeddings: V, float32 (features, dim).
    """

    bias: float
    linear: npt.NDArray[np.float32]
    embeddings: npt.NDArray[np.float32]


def read_weights(stage: SavedStage) -> SparkWeights:
    """Read the weights of a model.

    Raises:
        CheckpointError: they are damaged, or disagree.
    """
    row = read_row(stage, _COLUMNS)
    with damaged("its weights cannot be read"):
        embeddings = _matrix(row["factors"])
        linear = _vector(row["linear"], len(embeddings))
        bias = float(row["intercept"][0].as_py())
    return SparkWeights(bias, linear, embeddings)


def _vector(vector: Any, size: int) -> npt.NDArray[np.float32]:
    values = _list(vector, "values", "double")
    if _whole(vector, "type") == _DENSE:
        found = values
        length = len(values)
    else:
        length = _whole(vector, "size")
        indices = _list(vector, "indices", "int32")
        if len(indices) != len(values) or (len(indices) and not 0 <= indices.min() <= indices.max() < size):
            raise ValueError("a sparse vector has indices that it cannot have")
        found = np.zeros(size)
        found[indices] = values
    if length != size:
        raise CheckpointError(f"it has {length:,} linear weights and {size:,} factors")
    return _float32(found)


def _matrix(matrix: Any) -> npt.NDArray[np.float32]:
    values = _list(matrix, "values", "double")
    rows, columns = _whole(matrix, "numRows"), _whole(matrix, "numCols")
    transposed = _scalar(matrix, "isTransposed") is True
    if _whole(matrix, "type") == _SPARSE:
        return _float32(_from_sparse(matrix, values, (rows, columns), transposed))
    if len(values) != rows * columns:
        raise ValueError(f"a matrix of {rows} × {columns} has {len(values)} values")
    return _float32(values.reshape(rows, columns) if transposed else values.reshape(columns, rows).T)


def _from_sparse(
    matrix: Any, values: npt.NDArray[np.float64], shape: tuple[int, int], transposed: bool
) -> npt.NDArray[np.float64]:
    from scipy.sparse import csc_array, csr_array

    indices, starts = _list(matrix, "rowIndices", "int32"), _list(matrix, "colPtrs", "int32")
    if shape[0] * shape[1] > _SPARSEST * len(values):  # it only claims its size, lest it take too much memory
        raise ValueError(f"a sparse matrix of {shape[0]} × {shape[1]} has {len(values)} values")
    sparse = (csr_array if transposed else csc_array)((values, indices, starts), shape=shape)
    sparse.check_format(full_check=True)
    return np.asarray(sparse.toarray())


def _float32(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large becomes infinite, and is refused as such
        return values.astype(np.float32, order="C")


def _list(struct: Any, name: str, kind: str) -> npt.NDArray[Any]:
    found = struct.field(name)
    if not str(found.type).startswith("list<") or found.type.value_type != kind:
        raise TypeError(f"{name!r} are of type {found.type}, expected a list of {kind}")
    values = found.flatten()
    if values.null_count:
        raise TypeError(f"one of {name!r} is null")
    return np.asarray(values.to_numpy())


def _whole(struct: Any, name: str) -> int:
    value = _scalar(struct, name)
    if type(value) is not int or value < 0:
        raise TypeError(f"{name!r} is no number")
    return value


def _scalar(struct: Any, name: str) -> object:
    value: object = struct.field(name)[0].as_py()
    return value
