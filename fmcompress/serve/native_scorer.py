"""Predictions by the native core, which works on the model's arrays where they are."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fmcompress.artifact.header import encode
from fmcompress.artifact.layout import encode_numeric
from fmcompress.artifact.metadata import UNSEALED
from fmcompress.artifact.packed import PackedFM
from fmcompress.errors import DataError, UsageError
from fmcompress.fm.bags import Bag
from fmcompress.serve.bag_rows import bag_rows, check_bag
from fmcompress.serve.native_library import NO_MEMORY, OK, NativeBag, Pieces, native_library
from fmcompress.serve.row_checks import check_ids, check_values, id_rows, signed, value_rows
from fmcompress.types import AnyArray, Float32Array

_MESSAGE_BYTES = 512
_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
_INT32, _INT64 = np.dtype(np.int32), np.dtype(np.int64)


class NotNativeError(Exception):
    """The native core is not there, is switched off, or does not take a model."""


class NativeScorer:
    """Scores rows with a model of the native core; any number of threads may do so at a time."""

    def __init__(self, model: PackedFM) -> None:
        """Open the model.

        Raises:
            NotNativeError: there is no native core for it.
        """
        library = native_library()
        if isinstance(library, str):
            raise NotNativeError(library)
        self._schema = model.schema
        self._columns = {name: model.schema.id_names.index(name) for name in model.schema.poolings}
        self._id_count, self._value_count = len(model.schema.id_cardinalities), len(model.schema.numeric)
        self._kept = _arrays(model)
        self._model = ctypes.c_void_p()
        metadata = encode(model.header, UNSEALED).encode()
        bias, numeric, values, codes, network = self._kept
        sized = ((_address(array), array.nbytes) for array in (numeric, values, codes))
        pieces = Pieces(metadata, len(metadata), _address(bias), *(number for pair in sized for number in pair))
        message = ctypes.create_string_buffer(_MESSAGE_BYTES)
        status = library.fmc_open_network_pieces(pieces, _address(network), network.nbytes, self._model, message)
        if status != OK:
            raise NotNativeError(message.value.decode(errors="replace"))
        # Not at the end of the process, where another thread may still be scoring.
        weakref.finalize(self, library.fmc_close, self._model).atexit = False
        self._predict = {_INT32: library.fmc_predict_i32, _INT64: library.fmc_predict_i64}
        self._predict_bags = {_INT32: library.fmc_predict_bags_i32, _INT64: library.fmc_predict_bags_i64}

    def predict(
        self,
        ids: npt.ArrayLike,
        values: npt.ArrayLike | None = None,
        *,
        bags: Mapping[str, Any] | None = None,
        threads: int = 1,
    ) -> Float32Array:
        """Return the predictions of rows, see ``Scorer``; of one row's time these lines are the most.

        Args:
            ids: category ids (rows, ids), in place where they are int32 or int64, row by row.
            values: of the numeric fields (rows, numeric fields), in place where they are float64, row by row.
            bags: values of fields with several in a row, by name: a list with a list of ids for each row, or an array
                of ids (rows, most values), -1 where there is none; a ``Bag``, or a tuple of its arrays: starts, ids
                and perhaps weights; an Arrow array of lists. Of a field that is here, ids are -1; of others of this
                kind, they are a value each.
            threads: among how many threads the rows are split, at least 1; few rows take fewer.

        Raises:
            DataError: a shape is another, an id is out of range, a value is infinite or too large.
            UsageError: there are fewer threads than one.
        """
        if type(ids) is np.ndarray and ids.ndim == 2 and ids.shape[1] == self._id_count and ids.flags.c_contiguous:
            predict = self._predict.get(ids.dtype)
        else:
            predict = None
        if predict is None:
            ids = id_rows(ids, self._schema)
            small = ids.dtype.kind == "i" and ids.dtype.itemsize <= _INT32.itemsize
            ids = np.ascontiguousarray(ids, dtype=_INT32) if small else np.ascontiguousarray(signed(ids))
            predict = self._predict[ids.dtype]
        rows = ids.shape[0]  # type: ignore[union-attr]
        numbers = None
        if values is not None or self._value_count:
            given = value_rows(values, self._schema, rows)
            numbers = None if given is None else np.ascontiguousarray(given, dtype=_FLOAT64)
        if threads < 1:
            raise UsageError(f"threads are {threads}, expected 1 or more")
        if bags:
            return self._with_bags(ids, numbers, bag_rows(bags, self._schema, rows), threads)  # type: ignore[arg-type]
        predictions = np.empty(rows, _FLOAT32)
        status = predict(
            self._model,
            ids.__array_interface__["data"][0],  # type: ignore[union-attr]
            None if numbers is None else numbers.__array_interface__["data"][0],
            rows,
            threads,
            predictions.__array_interface__["data"][0],
            None,
        )
        if status != OK:
            self._refuse(status, ids, numbers, {})  # type: ignore[arg-type]
        return predictions

    def _with_bags(self, ids: AnyArray, values: AnyArray | None, bags: Mapping[str, Bag], threads: int) -> Float32Array:
        """Return the predictions of rows with bags; ids of both are of one type, and are copied where they are not."""
        if any(bag.ids.dtype != _INT32 for bag in bags.values()):
            ids = ids.astype(_INT64, copy=False)
        bags = {name: replace(bag, ids=bag.ids.astype(ids.dtype, copy=False)) for name, bag in bags.items()}
        found = (NativeBag * self._id_count)()
        for name, bag in bags.items():
            weights = None if bag.weights is None else _address(bag.weights)
            found[self._columns[name]] = NativeBag(bag.starts.ctypes.data, _address(bag.ids), weights, len(bag.ids))
        predictions = np.empty(len(ids), _FLOAT32)
        status = self._predict_bags[ids.dtype](
            self._model, _address(ids), None if values is None else _address(values), found,
            len(ids), threads, _address(predictions), None,
        )  # fmt: skip
        if status != OK:
            self._refuse(status, ids, values, bags)
        return predictions

    def _refuse(self, status: int, ids: AnyArray, values: AnyArray | None, bags: Mapping[str, Bag]) -> None:
        """Say what is wrong with rows that the core has refused, in the words of the other scorer."""
        if status == NO_MEMORY:
            raise MemoryError
        check_ids(ids, (ids < -1) | (ids >= self._schema.id_cardinalities), self._schema, 0)
        for name, bag in bags.items():
            check_bag(name, bag, signed(ids[:, self._columns[name]]), self._schema)
        if values is not None:
            check_values(values, self._schema, 0)
        raise DataError("the rows changed while they were scored")


def _arrays(model: PackedFM) -> tuple[AnyArray, ...]:
    """Return bias, numeric weights, values, codes and dense layers as in a file; the last three are the model's."""
    network = np.empty(0, np.uint8) if model.network_data is None else np.ascontiguousarray(model.network_data)
    return (
        np.array([model.bias], dtype="<f4"),
        encode_numeric(model.numeric, model.header.frame),
        np.ascontiguousarray(model.values, dtype="<f2"),
        np.ascontiguousarray(model.codes),
        network,
    )


def _address(array: AnyArray) -> Any:
    """Return where an array, of any dtype and shape, lies in memory."""
    return array.__array_interface__["data"][0] if array.size else None
