"""Dense layers of other tools, as the layers of a ``Network``.

A tool's layers are a list of steps: linear layers, batch norms, activations. Batch norms, which in use are y = s x + t,
are folded into the linear layer before them, or behind them where an activation lies between. A leaky ReLU with slopes
of its own, max(x, 0) - slope · max(-x, 0), becomes twice as many ReLUs. Dropouts do nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fmcompress.checkpoints.files.state_dict import submodule
from fmcompress.checkpoints.files.tensor import FileTensor
from fmcompress.checkpoints.pickle.stubs import Stub
from fmcompress.checkpoints.reading_errors import listed, listed_all, quoted
from fmcompress.checkpoints.tools.folded_layers import (
    EPSILON,
    NORM_KEYS,
    RELU,
    Activation,
    BatchNorm,
    LeakyReLU,
    Linear,
    PReLU,
    Stack,
    Step,
)
from fmcompress.errors import CheckpointError, UsageError
from fmcompress.fm.activations import ACTIVATIONS
from fmcompress.fm.network import KINDS, DenseLayer, Network
from fmcompress.fm.schema import Schema
from fmcompress.types import Int64Array

_USUAL_SLOPE = 0.01
"""Of a leaky ReLU."""

_MAX_GROWTH, _SMALL = 64, 2**24
"""How much larger a first layer may become by zeros for fields that it does not take, where it becomes large at all."""

_SPELLINGS = {"linear": "identity", "none": "identity", "leakyrelu": "leaky_relu"}
_CLASSES = {
    "torch.nn.modules.activation.ReLU": RELU,
    "torch.nn.modules.activation.Sigmoid": "sigmoid",
    "torch.nn.modules.activation.Tanh": "tanh",
    "torch.nn.modules.activation.ELU": "elu",
    "torch.nn.modules.linear.Identity": "identity",
    "deepctr_torch.layers.activation.Identity": "identity",
}
_LEAKY = "torch.nn.modules.activation.LeakyReLU"
_PRELU = "torch.nn.modules.activation.PReLU"
_LINEAR = "torch.nn.modules.linear.Linear"
_BATCH_NORM = "torch.nn.modules.batchnorm.BatchNorm1d"
_DROPOUT = "torch.nn.modules.dropout.Dropout"

_LINEAR_PARTS = ("weight", "bias")


@dataclass(frozen=True)
class Inputs:
    """What a tool's network takes in, in its order.

    Attributes:
        schema: the fields of the model.
        dim: embedding size.
        vectors: names of the fields whose embeddings it takes, where it takes them one behind the other.
        values: names of the numeric fields whose values it takes as they are, behind the embeddings.
    """

    schema: Schema
    dim: int
    vectors: Sequence[str]
    values: Sequence[str] = ()

    def size(self, kind: str) -> int:
        """Return how many numbers a network of a kind takes in."""
        return (len(self.vectors) if KINDS[kind].concatenated else 1) * self.dim + len(self.values)

    def described(self, kind: str) -> str:
        """Return what a network of a kind takes in, for a message."""
        found = KINDS[kind]
        vectors = f"{len(self.vectors)} embeddings of {self.dim} numbers" if found.concatenated else "the interactions"
        return f"{found.title} takes {vectors}" + (f" and {len(self.values)} values" if self.values else "")

    def columns(self, kind: str) -> Int64Array:
        """Return the number of each input of ``Network`` among those of the tool, int64 (inputs,); -1 of none."""
        first = {name: number * self.dim for number, name in enumerate(self.vectors)}
        numeric = self.schema.numeric
        names = [*self.schema.id_names, *(field.name for field in numeric if not field.linear_only)]
        starts = [first.get(name) for name in names] if KINDS[kind].concatenated else [0]
        blocks = [np.full(self.dim, -1) if start is None else start + np.arange(self.dim) for start in starts]
        values = {name: self.size(kind) - len(self.values) + number for number, name in enumerate(self.values)}
        raw = [values.get(field.name, -1) for field in numeric if field.linear_only]
        return np.concatenate([*blocks, raw]).astype(np.int64)


def parse_activations(text: str) -> tuple[str, ...]:
    """Return the activations that a text names: one of all hidden layers, or one of each with commas between.

    Raises:
        UsageError: there is no such activation.
    """
    names = [part.strip().lower() for part in text.split(",")]
    found = tuple(_SPELLINGS.get(name, name) for name in names)
    for given, name in zip(names, found, strict=True):
        if name not in ACTIVATIONS:
            raise UsageError(
                f"activation {given!r} is not one of {', '.join(ACTIVATIONS)}",
                hint="a PReLU needs no name: its slopes are weights, which the file has",
            )
    return found


def in_sequence(
    tensors: Mapping[str, FileTensor],
    prefix: str,
    activations: Sequence[str],
    *,
    module: Stub | None = None,
    all_hidden: bool = False,
) -> list[Step]:
    """Return the steps of an ``nn.Sequential``; what is none of them is left out, so that its keys are unclaimed.

    Args:
        tensors: what the file holds, by key.
        prefix: what stands before the numbers of its modules, with a dot at its end.
        activations: of hidden layers, one of all or one of each, where the file does not tell.
        module: the sequence in a whole model, which tells its activations.
        all_hidden: whether its last linear layer has an activation too, as another layer follows.

    Raises:
        CheckpointError: it has a module of a kind that has no place here; there are more or less activations than
            hidden layers.
    """
    if module is not None:
        return list(_steps_of_modules(module, prefix))
    found = _numbered(tensors, prefix)
    layers = [number for number, step in found.items() if isinstance(step, Linear)]
    hidden = set(layers if all_hidden else layers[:-1])
    steps: list[Step] = []
    waiting: str | None = None
    names = iter(of_each(activations, len(hidden)))
    for number, step in found.items():
        # A batch norm right behind its layer comes before the activation, which has no keys but its number.
        if waiting is not None and not (isinstance(step, BatchNorm) and isinstance(found.get(number - 1), Linear)):
            if not isinstance(step, PReLU):
                steps.append(Activation(waiting))
            waiting = None
        steps.append(step)
        if number in hidden:
            waiting = next(names)
    if waiting is not None:
        steps.append(Activation(waiting))
    return steps


def sequence_in(model: Stub | None, prefix: str) -> Stub | None:
    """Return the module of a whole model whose keys have this prefix, with a dot at its end; None of a state_dict."""
    for name in prefix.split(".")[:-1]:
        model = None if model is None else submodule(model, name)
    return model


def of_each(activations: Sequence[str], layers: int) -> Sequence[str]:
    """Return the activations of hidden layers, where one of all or one of each is named.

    Raises:
        CheckpointError: there are more or less of them.
    """
    if len(activations) not in (1, layers):
        raise CheckpointError(
            f"it has {layers} hidden layers, but --activation names {len(activations)}: {', '.join(activations)}",
            hint="name one of all layers, or one of each",
        )
    return list(activations) * layers if len(activations) == 1 else activations


def activation_of(module: Stub, key: str) -> Step | None:
    """Return the activation that a module of a whole model is, or None.

    Raises:
        CheckpointError: it is one, with a parameter that the one here has not.
    """
    if module.class_name == _PRELU:
        return PReLU(key)
    if module.class_name == _LEAKY:
        slope = module.attributes.get("negative_slope", _USUAL_SLOPE)
        if not isinstance(slope, float | int) or not math.isfinite(slope):
            raise CheckpointError(f"its activation {listed([key[:-1]])} has no slope")
        return Activation("leaky_relu") if slope == _USUAL_SLOPE else LeakyReLU(float(slope))
    name = _CLASSES.get(module.class_name)
    alpha = module.attributes.get("alpha", 1.0)
    if name == "elu" and alpha != 1.0:
        shown = f"{alpha:g}" if isinstance(alpha, float) else type(alpha).__name__
        raise CheckpointError(f"its activation {listed([key[:-1]])} is an ELU with alpha {shown}, expected 1")
    return None if name is None else Activation(name)


def read_network(kind: str, steps: Sequence[Step], weights: Mapping[str, FileTensor], inputs: Inputs) -> Network:
    """Return the network that the steps of a tool make.

    Args:
        kind: a name of ``KINDS``.
        steps: from the inputs to the logit; the last one is a linear layer to one number, or its batch norm.
        weights: the file's tensors, with all that the steps need.
        inputs: what it takes in.

    Raises:
        CheckpointError: shapes disagree, or a number is NaN or infinite.
    """
    stack = Stack(weights, inputs.size(kind), inputs.described(kind))
    for step in steps:
        stack.add(step)
    first, *others = stack.finished()
    columns = inputs.columns(kind)
    numbers = len(first.weight) * len(columns)
    if numbers > max(_MAX_GROWTH * first.weight.size, _SMALL):
        raise CheckpointError(f"its first dense layer would have {numbers:,} numbers, but it has {first.weight.size:,}")
    taken = np.where(columns < 0, np.float32(0), first.weight[:, columns])
    return Network(kind, (DenseLayer(np.ascontiguousarray(taken), first.bias, first.activation), *others))


def first_width(steps: Sequence[Step], weights: Mapping[str, FileTensor]) -> int:
    """Return how many numbers the first linear layer takes in.

    Raises:
        CheckpointError: there is none.
    """
    for step in steps:
        if isinstance(step, Linear):
            shape = weights[f"{step.key}weight"].shape
            if len(shape) != 2:
                raise CheckpointError(f"{listed([f'{step.key}weight'])} has shape {shape}, expected (out, in)")
            return shape[1]
    raise CheckpointError("its network has no linear layer")


def _numbered(tensors: Mapping[str, FileTensor], prefix: str) -> dict[int, Step]:
    """Return the modules of a sequence that have weights, by number, in order."""
    pattern = re.compile(re.escape(prefix) + r"(\d{1,4})\.([^.]+)")
    parts: dict[int, set[str]] = {}
    for key in tensors:
        if match := pattern.fullmatch(key):
            parts.setdefault(int(match[1]), set()).add(match[2])
    found: dict[int, Step] = {}
    for number in sorted(parts):
        key, own = f"{prefix}{number}.", parts[number]
        dims = len(tensors[f"{key}weight"].shape) if "weight" in own else 0
        if "running_mean" in own and own <= NORM_KEYS:
            found[number] = BatchNorm(key)
        elif own <= {*_LINEAR_PARTS} and dims == 2:
            found[number] = Linear(key)
        elif own == {"weight"} and dims == 1:
            found[number] = PReLU(key)
    return found


def _steps_of_modules(sequence: Stub, prefix: str) -> Iterator[Step]:
    """Yield the steps that the modules of a sequence in a whole model are."""
    modules = sequence.attributes.get("_modules")
    for name, module in modules.items() if isinstance(modules, dict) else ():
        key = f"{prefix}{name}."
        if not isinstance(name, str) or not isinstance(module, Stub):
            raise CheckpointError(f"its modules under {listed([prefix[:-1]])} cannot be read")
        if module.class_name == _DROPOUT:
            continue
        if module.class_name == _LINEAR:
            yield Linear(key)
        elif module.class_name == _BATCH_NORM:
            yield batch_norm_of(module, key)
        elif (activation := activation_of(module, key)) is not None:
            yield activation
        else:
            raise unknown_module(module, key)


def batch_norm_of(module: Stub, key: str) -> BatchNorm:
    """Return the batch norm that a module of a whole model is; ``key`` is the prefix of its keys."""
    epsilon = module.attributes.get("eps", EPSILON)
    if not isinstance(epsilon, float) or not 0 <= epsilon < 1:
        raise CheckpointError(f"its batch norm {listed([key[:-1]])} has no eps")
    return BatchNorm(key, epsilon)


def unknown_module(module: Stub, key: str) -> CheckpointError:
    """Return the error for a module that has no place in a network here."""
    return CheckpointError(
        f"its layer {listed([key[:-1]])} is a {quoted(module.class_name)}, expected a linear layer, a batch norm, "
        f"or one of the activations {listed_all([*ACTIVATIONS, 'prelu'])}"
    )
