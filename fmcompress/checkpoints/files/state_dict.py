"""Finds the weights in what a file holds: a state_dict, dicts around one or several of them, or a whole model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from fmcompress.checkpoints.files.tensor import FileTensor
from fmcompress.checkpoints.pickle.arrays import NumpyArray, StridedTensor
from fmcompress.checkpoints.pickle.stubs import Stub
from fmcompress.checkpoints.stored_numbers import StoredTensor
from fmcompress.errors import CheckpointError
from fmcompress.types import AnyArray

_OPTIMIZER = "param_groups"
"""What the state of an optimizer has, whose averages are of the same shapes as weights."""

_MAX_DEPTH = 100
_MAX_NESTING = 6
_MAX_KEY = 512
_MAX_PARTS = 200_000
"""Parts of modules and dicts looked at; a few bytes of pickle can nest shared ones without end."""


@dataclass(frozen=True)
class Part:
    """A place in a file where weights are.

    Attributes:
        name: keys that lead to it, with dots between them; empty for the whole file.
        tensors: parameters and buffers by key.
        numbers: numbers beside the tensors, by key.
        arrays: plain numpy attributes of the modules of a whole model, of any shape and dtype, by key; they are in no
            state_dict.
        model: the whole model; None for a state_dict.
    """

    name: str
    tensors: Mapping[str, FileTensor]
    numbers: Mapping[str, float] = field(default_factory=dict)
    arrays: Mapping[str, AnyArray] = field(default_factory=dict)
    model: Stub | None = None


def parts_of(root: object) -> list[Part]:
    """Return the places where weights are, those that lie in none of the others.

    Args:
        root: the object that a file holds; whatever is an optimizer's is left out.

    Raises:
        CheckpointError: the modules of a whole model contain each other.
    """
    found: list[Part] = []
    seen: set[int] = set()
    waiting: list[tuple[str, object, int]] = [("", root, 0)]
    for name, value, depth in waiting:  # which grows on the way
        part = _part(name, value)
        if part is not None:
            found.append(part)
        elif depth < _MAX_NESTING and id(value) not in seen:
            seen.add(id(value))
            items = [(key, item) for key, item in _items(value) if isinstance(item, dict | list | tuple | Stub)]
            if len(waiting) + len(items) > _MAX_PARTS:
                break
            waiting.extend((_joined(name, key), item, depth + 1) for key, item in items if len(name) <= _MAX_KEY)
    return found


def part_at(root: object, name: str) -> Part | None:
    """Return the weights under the keys of a name, whatever they are, or None; keys may have dots in them."""
    waiting = [(root, name)]
    for _ in range(_MAX_PARTS):
        if not waiting:
            return None
        value, left = waiting.pop()
        if not left:
            return _part(name, value) or flattened(value, name)
        for key, item in _items(value):
            if left == key or left.startswith(f"{key}."):
                waiting.append((item, left[len(key) + 1 :]))
    return None


def flattened(value: object, name: str = "") -> Part | None:
    """Return all tensors in dicts and lists as one part, by the keys that lead to each; None where there is none."""
    tensors: dict[str, FileTensor] = {}
    numbers: dict[str, float] = {}
    waiting = [("", value, 0)]
    for prefix, holder, depth in waiting:  # which grows on the way
        for key, item in _items(holder):
            full = _joined(prefix, key)
            if len(full) > _MAX_KEY or len(tensors) + len(waiting) > _MAX_PARTS:
                continue
            if isinstance(item, StoredTensor):
                tensors[full] = item  # type: ignore[assignment]
            elif isinstance(item, float | int):
                numbers.update(_number(full, item))
            elif depth < _MAX_NESTING and isinstance(item, dict | list | tuple | Stub):
                waiting.append((full, item, depth + 1))
    return Part(name, tensors, numbers) if tensors else None


def keys_of(root: object) -> list[str]:
    """Return the keys at the top of what a file holds."""
    return [key for key, _ in _items(root)] if isinstance(root, dict | list | tuple) else []


def submodule(model: Stub, name: str) -> Stub | None:
    """Return a module of a whole model by its attribute, or None."""
    child = _Module(model).part("_modules").get(name)
    return child if isinstance(child, Stub) else None


def _joined(prefix: str, key: str) -> str:
    return f"{prefix}.{key}" if prefix else key


def _items(value: object) -> Iterator[tuple[str, object]]:
    """Yield what a dict, a list or an object has, by name; nothing of an optimizer's state."""
    holder = value.attributes if isinstance(value, Stub) else value
    if isinstance(holder, Mapping):
        if _OPTIMIZER not in holder:
            yield from ((key, item) for key, item in holder.items() if isinstance(key, str) and len(key) <= _MAX_KEY)
    elif isinstance(holder, list | tuple):
        yield from ((f"{number}", item) for number, item in enumerate(holder))


def _part(name: str, value: object) -> Part | None:
    """Return the weights that a value has itself, if there are any."""
    if isinstance(value, Stub) and isinstance(value.attributes.get("_modules"), dict):
        return _part_of_model(name, value)
    items = dict(_items(value))
    tensors = {key: item for key, item in items.items() if isinstance(item, StoredTensor)}
    # A model has a table at least: averages of a loss and the like are no weights.
    if not any(len(tensor.shape) > 1 for tensor in tensors.values()):  # type: ignore[attr-defined]
        return None
    numbers: dict[str, float] = {}
    for key, item in items.items():
        numbers.update(_number(key, item))
    return Part(name, tensors, numbers)  # type: ignore[arg-type]


def _number(key: str, value: object) -> dict[str, float]:
    plain = isinstance(value, float) or (type(value) is int and abs(value) < 2**53)
    return {key: float(value)} if plain else {}  # type: ignore[arg-type]


def _part_of_model(name: str, model: Stub) -> Part:
    tensors: dict[str, FileTensor] = {}
    arrays: dict[str, AnyArray] = {}
    for module in _modules(model):
        tensors.update(module.tensors())
        arrays.update(module.arrays())
    return Part(name, tensors, {}, arrays, model)


@dataclass(frozen=True)
class _Module:
    """A torch module: its attributes, the prefix of its keys, and how deep in the model it is."""

    stub: Stub
    prefix: str = ""
    depth: int = 0

    def part(self, name: str) -> dict[str, object]:
        part = self.stub.attributes.get(name)
        return {key: value for key, value in part.items() if isinstance(key, str)} if isinstance(part, dict) else {}

    def key(self, name: str) -> str:
        # Checked before it is made: one long name in many modules would fill the memory.
        if len(self.prefix) + len(name) > _MAX_KEY:
            raise CheckpointError("its modules contain each other, or have names that no module has")
        return self.prefix + name

    def tensors(self) -> Iterator[tuple[str, StridedTensor]]:
        transient = self.stub.attributes.get("_non_persistent_buffers_set")
        skipped = transient if isinstance(transient, set) else set()
        for name in ("_parameters", "_buffers"):
            for key, value in self.part(name).items():
                if isinstance(value, StridedTensor) and key not in skipped:
                    yield self.key(key), value

    def arrays(self) -> Iterator[tuple[str, AnyArray]]:
        """Yield numpy attributes by key, of any shape and dtype."""
        for key, value in self.stub.attributes.items():
            if isinstance(value, NumpyArray) and isinstance(key, str):
                yield self.key(key), value.values

    def children(self) -> list[_Module]:
        children = self.part("_modules").items()
        return [
            _Module(child, self.key(f"{name[: _MAX_KEY + 1]}."), self.depth + 1)
            for name, child in children
            if isinstance(child, Stub)
        ]

    def parts(self) -> int:
        return 1 + sum(len(self.part(name)) for name in ("_parameters", "_buffers", "_modules"))


def _modules(model: Stub) -> Iterator[_Module]:
    """Yield a model and all modules in it; one that two others share comes twice, as in a state_dict."""
    waiting = [_Module(model)]
    parts = 0
    while waiting:
        module = waiting.pop()
        parts += module.parts() + len(module.stub.attributes)
        if parts > _MAX_PARTS or module.depth > _MAX_DEPTH:
            raise CheckpointError("its modules contain each other, or are too many for a factorization machine")
        yield module
        waiting.extend(reversed(module.children()))
