"""A graph of ONNX while it is put together: nodes, initializers, and names for what they come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmcompress.errors import DependencyError
from fmcompress.types import AnyArray

OPSET = 18
"""The first with BitwiseAnd and BitwiseOr; onnxruntime has it from version 1.14 on."""

TOKENS_OPSET = 3
"""Of ai.onnx.ml, whose LabelEncoder turns strings into integers."""

_IR_VERSION = 8
_NAMED = ("Gather", "Slice")
_TOKENS_DOMAIN = "ai.onnx.ml"


@dataclass(frozen=True)
class Port:
    """An input or an output of the model: its name, dtype as numpy has it, and shape; names stand for any size."""

    name: str
    dtype: type[np.generic]
    shape: tuple[int | str, ...]


class Graph:
    """Nodes and initializers, each named when it is added; the same calls make the same graph."""

    def __init__(self) -> None:
        """Begin with nothing.

        Raises:
            DependencyError: the package onnx is missing.
        """
        self._onnx = onnx_package()
        self._nodes: list[Any] = []
        self._initializers: list[Any] = []
        self._tables: Counter[str] = Counter()
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def table(self, name: str, array: AnyArray) -> str:
        """Add an initializer, of any dtype and shape, and return its name: another one, where there is one of it."""
        self._tables[name] += 1
        if self._tables[name] > 1:
            name = f"{name}_of_{self._tables[name]}"
        self._initializers.append(self._onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def constant(self, numbers: AnyArray | np.generic | Sequence[int]) -> str:
        """Return the name of a small initializer, of any dtype and shape: the same numbers are kept once."""
        array = np.asarray(numbers, dtype=None if hasattr(numbers, "dtype") else np.int64)
        key = array.dtype.str, array.shape, array.tobytes()
        if key not in self._constants:
            made = self._onnx.numpy_helper.from_array(array, f"c{len(self._constants)}")
            self._initializers.append(made)
            self._constants[key] = made.name
        return self._constants[key]

    def node(self, kind: str, *inputs: str, output: str = "", name: str = "", **attributes: Any) -> str:
        """Add a node and return the name of its output."""
        output = output or _short_name(len(self._nodes))
        domain = _TOKENS_DOMAIN if kind == "LabelEncoder" else None
        # Names take room; but onnxruntime 1.18 refuses graphs in which it joins slices without names.
        name = name or (output if kind in _NAMED else "")
        made = self._onnx.helper.make_node(kind, inputs, [output], name=name or None, domain=domain, **attributes)
        self._nodes.append(made)
        return output

    def cast(self, value: str, dtype: type[np.generic]) -> str:
        """Return a value in another dtype."""
        return self.node("Cast", value, to=self._kind(dtype))

    def turned(self, value: str) -> str:
        """Return a matrix with rows and columns exchanged."""
        return self.node("Transpose", value)

    def reshape(self, value: str, *shape: int) -> str:
        """Return a value in another shape; one of the sizes may be -1."""
        return self.node("Reshape", value, self.constant(list(shape)))

    def rows(self, value: str, rows: Sequence[int], of: int) -> str:
        """Return some rows of a value that has ``of`` rows, in this order."""
        if list(rows) == list(range(of)):
            return value
        return self.node("Gather", value, self.constant(list(rows)))

    def sliced(self, value: str, axis: int, first: int, end: int) -> str:
        """Return a value from ``first`` up to ``end`` of an axis."""
        return self.node("Slice", value, *(self.constant([number]) for number in (first, end, axis)))

    def joined(self, values: Sequence[str], axis: int = 0) -> str:
        """Return values one after the other."""
        return values[0] if len(values) == 1 else self.node("Concat", *values, axis=axis)

    def sum(self, value: str, *axes: int) -> str:
        """Return the sums over axes, which are gone."""
        return self.node("ReduceSum", value, self.constant(list(axes)), keepdims=0)

    def added(self, values: Sequence[str]) -> str:
        """Return the sum of values of one shape."""
        total = values[0]
        for value in values[1:]:
            total = self.node("Add", total, value)
        return total

    def model(self, inputs: Sequence[Port], outputs: Sequence[Port], metadata: Mapping[str, str]) -> Any:
        """Return the model, an ``onnx.ModelProto``."""
        helper = self._onnx.helper
        ports = [
            [helper.make_tensor_value_info(p.name, self._kind(p.dtype), p.shape) for p in own]
            for own in (inputs, outputs)
        ]
        graph = helper.make_graph(self._nodes, "fmcompress", *ports, self._initializers)
        domains = {"": OPSET} | ({_TOKENS_DOMAIN: TOKENS_OPSET} if any(node.domain for node in self._nodes) else {})
        opsets = [helper.make_opsetid(domain, version) for domain, version in domains.items()]
        made = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="fmcompress")
        helper.set_model_props(made, dict(metadata))
        return made

    def _kind(self, dtype: type[np.generic]) -> int:
        if dtype is np.str_:
            return int(self._onnx.TensorProto.STRING)
        return int(self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _short_name(number: int) -> str:
    """Return a name in capitals: A to Z, AA, AB and so on; inputs, outputs and tables have small letters."""
    first, last = divmod(number, 26)
    return (_short_name(first - 1) if first else "") + chr(ord("A") + last)


def onnx_package() -> Any:
    """Return the package onnx.

    Raises:
        DependencyError: it is missing.
    """
    try:
        import onnx
        import onnx.helper
        import onnx.numpy_helper
    except ImportError as error:
        raise DependencyError(
            f"the package onnx, which writes such files, is missing ({error})", hint="pip install 'fmcompress[onnx]'"
        ) from error
    return onnx
