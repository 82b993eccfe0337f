"""Finds the state_dict in what a torch file holds: itself, a dict around it, or a whole model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fmcompress.checkpoints.files.tensor import Weights
from fmcompress.checkpoints.pickle.arrays import NumpyArray, StridedTensor
from fmcompress.checkpoints.pickle.stubs import Stub
from fmcompress.errors import CheckpointError
from fmcompress.types import AnyArray

_WRAPPERS = ("state_dict", "model_state_dict", "model")
_PREFIXES = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before every key."""

_MAX_DEPTH = 100
_MAX_KEY = 512
_MAX_PARTS = 200_000
"""Parts of modules looked at; a few bytes of pickle can nest shared modules without end."""


def weights_of(root: object) -> Weights:
    """Return the weights in the object that a torch file holds; none where it is no model.

    Args:
        root: a state_dict; a dict that has one, or a whole model, as ``state_dict``,
            ``model_state_dict`` or ``model``; or a whole model.

    Raises:
        CheckpointError: the modules of a whole model contain each other.
    """
    model = _unwrapped(root)
    if isinstance(model, Stub):
        return _weights_of_model(model)
    keyed = {key: value for key, value in model.items() if isinstance(key, str) and len(key) <= _MAX_KEY}
    tensors = {key: value for key, value in keyed.items() if isinstance(value, StridedTensor)}
    return Weights(_stripped(tensors), others=tuple(key for key in keyed if key not in tensors))


def model_of(root: object) -> Stub | None:
    """Return the whole model in the object that a torch file holds, or None."""
    model = _unwrapped(root)
    return model if isinstance(model, Stub) else None


def submodule(model: Stub, name: str) -> Stub | None:
    """Return a module of a whole model by its attribute, or None."""
    child = _Module(model).part("_modules").get(name)
    return child if isinstance(child, Stub) else None


def _weights_of_model(model: Stub) -> Weights:
    tensors: dict[str, StridedTensor] = {}
    arrays: dict[str, AnyArray] = {}
    for module in _modules(model):
        tensors.update(module.tensors())
        arrays.update(module.arrays())
    return Weights(_stripped(tensors), _stripped(arrays), model.class_name)


def _unwrapped(root: object) -> Stub | Mapping[object, object]:
    if isinstance(root, Stub):
        return root
    if not isinstance(root, dict):
        return {}
    for key in _WRAPPERS:
        inner = root.get(key)
        if isinstance(inner, Stub) or (isinstance(inner, dict) and _has_tensors(inner)):
            return inner
    return root


def _has_tensors(mapping: Mapping[object, object]) -> bool:
    return any(isinstance(value, StridedTensor) for value in mapping.values())


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


def _stripped(keyed: Mapping[str, Any]) -> dict[str, Any]:
    stripped = dict(keyed)
    for prefix in _PREFIXES * 2:  # either one may be the outer one
        if stripped and all(key.startswith(prefix) for key in stripped):
            stripped = {key[len(prefix) :]: value for key, value in stripped.items()}
    return stripped
