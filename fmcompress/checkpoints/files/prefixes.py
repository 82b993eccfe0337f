"""What stands before the keys of a model that lies in another one: Lightning's, DataParallel's, torch.compile's.

A model that is wrapped has keys such as ``model._orig_mod.linear.bias``, and losses or measures may lie beside it. Each
way to take a prefix away is a view of the weights; whether one of them is a known model, the dialects say.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from fmcompress.checkpoints.files.state_dict import Part, submodule
from fmcompress.checkpoints.files.tensor import FileTensor
from fmcompress.checkpoints.pickle.stubs import Stub

_Value = TypeVar("_Value")

_WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_forward_module", "_checkpoint_wrapped_module")
"""Names that torch.compile, FSDP, Lightning's Fabric and activation checkpoints reserve for what they wrap."""

_PARALLEL = "module"
"""What DataParallel, DDP and AveragedModel call it: a name that a model may have too."""

_MOST_NAMES = 8
"""Names in a prefix."""

_MOST_PREFIXES = 10_000
"""The shortest ones that are looked at, of which a large model has some thousands."""

_MEASURE = re.compile(
    r"(?:(?:train|training|val|valid|validation|test|eval)_?)?"
    r"(?:criterion|criteria|loss|losses|loss_\w+|\w+_loss|metrics?|metrics?_\w+|\w+_metrics?"
    r"|(?:\w+_)?(?:auroc|auc|accuracy|acc|logloss|rmse|mse|mae|f1))",
    re.IGNORECASE,
)
_WEIGHT_OF_LOSS = "pos_weight"


@dataclass(frozen=True)
class View:
    """The weights of a part behind one prefix, without it.

    Attributes:
        part: the part, with the prefix.
        prefix: with a dot at its end; empty where there is none.
        inside: the same part without the prefix, and without losses and measures.
    """

    part: Part
    prefix: str
    inside: Part

    @property
    def name(self) -> str:
        """What ``--key`` calls it; empty for the whole file."""
        return ".".join(filter(None, (self.part.name, self.prefix[:-1])))

    @property
    def measures(self) -> list[str]:
        """The keys of losses and measures, and of whole numbers beside it: they are no part of any model."""
        return [key for key in self._others() if self._is_apart(key)]

    @property
    def beside(self) -> list[str]:
        """The keys of weights that have another prefix, and may be part of the model."""
        return [key for key in self._others() if not self._is_apart(key)]

    def _others(self) -> list[str]:
        inside = self.inside.tensors
        return [
            key for key in self.part.tensors if not key.startswith(self.prefix) or key[len(self.prefix) :] not in inside
        ]

    def _is_apart(self, key: str) -> bool:
        return _is_measure(key.removeprefix(self.prefix)) or not self.part.tensors[key].is_float


def spellings(part: Part) -> Iterator[Part]:
    """Yield a part as it is, without the names of wrappers in its keys, and without those of DataParallel."""
    yield part
    for dropped in (_WRAPPERS, (*_WRAPPERS, _PARALLEL)):
        spelled = {_without(key, dropped) for key in part.tensors}
        if spelled != part.tensors.keys() and len(spelled) == len(part.tensors):
            yield replace(
                part,
                tensors={_without(key, dropped): value for key, value in part.tensors.items()},
                arrays={_without(key, dropped): value for key, value in part.arrays.items()},
            )


def views(part: Part) -> Iterator[View]:
    """Yield the ways to take a prefix from the keys of a part, the shortest prefix first."""
    behind: dict[str, list[str]] = {}
    for key in part.tensors:
        names = key.split(".")[:-1]
        for count in range(min(len(names), _MOST_NAMES) + 1):
            behind.setdefault("".join(f"{name}." for name in names[:count]), []).append(key)
    for prefix in sorted(behind, key=lambda each: each.count("."))[:_MOST_PREFIXES]:
        yield View(part, prefix, _behind(part, prefix, behind[prefix]))


def behind_key(part: Part, name: str) -> Part | None:
    """Return what a part has behind a prefix, or None.

    Args:
        part: the part.
        name: the prefix without the dot at its end, as its keys are spelled, with the names of wrappers or without.
    """
    for spelled in spellings(part):
        keys = [key for key in spelled.tensors if key.startswith(f"{name}.")]
        if keys:
            return replace(_behind(spelled, f"{name}.", keys), name=name)
    return None


def _behind(part: Part, prefix: str, keys: Collection[str]) -> Part:
    tensors: dict[str, FileTensor] = {}
    for key in keys:
        own = key[len(prefix) :]
        if not _is_measure(own):
            tensors[own] = part.tensors[key]
    model = part.model
    return Part(
        part.name,
        tensors,
        _cut(part.numbers, prefix),
        _cut(part.arrays, prefix) if part.arrays else {},
        None if model is None else _inner(model, prefix.split(".")[:-1]),
    )


def _cut(values: Mapping[str, _Value], prefix: str) -> dict[str, _Value]:
    return {key[len(prefix) :]: value for key, value in values.items() if key.startswith(prefix)}


def _without(key: str, dropped: Collection[str]) -> str:
    *names, last = key.split(".")
    return ".".join([*(name for name in names if name not in dropped), last])


def _is_measure(key: str) -> bool:
    first, dot, _ = key.partition(".")
    return key == _WEIGHT_OF_LOSS or bool(dot and _MEASURE.fullmatch(first))


def _inner(model: Stub, names: list[str]) -> Stub:
    """Return the module of a whole model that a prefix leads to, through wrappers that it may not name."""
    found = model
    for name in names:
        while (inner := submodule(found, name)) is None and (wrapped := _wrapped(found)) is not None:
            found = wrapped
        found = inner or found
    while (wrapped := _wrapped(found)) is not None:
        found = wrapped
    return found


def _wrapped(module: Stub) -> Stub | None:
    return next((child for name in (*_WRAPPERS, _PARALLEL) if (child := submodule(module, name)) is not None), None)
