"""What is trained: a model with its optimizers, and how it is taken up again after a break."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch.optim.lr_scheduler import LRScheduler, PolynomialLR

from fmcompress.artifact import Frame, Header, Origin, PackedFM
from fmcompress.data.batch import Batch
from fmcompress.evaluation.predictors import Model
from fmcompress.fm.predictor import Predictor
from fmcompress.fm.quantized_fm import QuantizedFM
from fmcompress.fm.quantizer import embedding_spec, linear_spec, parse_quantizer
from fmcompress.fm.rescaling import Calibration
from fmcompress.processes.world import World, this_process
from fmcompress.training.gradients import add_up_gradients

_MOST_DENSE_VALUES = 16_000_000
_DENSE_SHARE = 0.1

Kept = TypeVar("Kept", bound=Model)


@dataclass(eq=False)
class Trainable(ABC, Generic[Kept]):
    """A model in training.

    Attributes:
        module: all parameters and buffers that are trained.
        optimizers: what trains them.
        schedulers: what changes learning rates after each step.
    """

    module: torch.nn.Module
    optimizers: list[torch.optim.Optimizer]
    schedulers: Sequence[LRScheduler]

    @abstractmethod
    def loss(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what is minimised on a batch, and of it the loss against the targets; float32 scalars.

        Of several processes each returns what its rows add to those of all: means over them, times ``Batch.weight``.
        """

    @abstractmethod
    def kept(self) -> Kept:
        """Return the model as it is now, in a form that can be scored and kept."""

    def scorer(self, kept: Kept) -> Predictor | None:
        """Return what scores validation rows with a kept model; None for what scores models of its kind anywhere."""
        return None

    def rescaled(self, kept: Kept, by: Calibration) -> Kept | None:
        """Return the model as it is now, which ``kept`` was made of, with logits a · z + b; None where it cannot be."""
        return None

    def admissible(self, kept: Kept) -> bool:
        """Return whether a kept model may be chosen, whatever its scores."""
        return True

    def step(self, batch: Batch) -> torch.Tensor:
        """Make one step, and return the loss against the targets before it, a float32 scalar."""
        objective, entropy = self.loss(batch)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        objective.backward()  # type: ignore[no-untyped-call]
        if not this_process().alone:
            entropy = self._of_all(this_process(), entropy)
        for optimizer in self.optimizers:
            optimizer.step()
        for scheduler in self.schedulers:
            scheduler.step()
        return entropy

    def _of_all(self, world: World, entropy: torch.Tensor) -> torch.Tensor:
        """Add gradients and the loss of all processes up, and return the latter."""
        groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]
        parameters = [parameter for group in groups for parameter in group["params"]]
        return add_up_gradients(world, parameters, entropy)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Do what is to be done before an epoch; ``epoch`` counts from 1, there are ``epochs`` at most."""

    def fall_back(self, kept: Kept) -> None:
        """Take up a kept model again, with a smaller learning rate; only schedules with patience ask for it."""
        raise NotImplementedError

    def figures(self) -> dict[str, Any]:
        """Return what else the history tells of this model, beside loss, scores and learning rate."""
        return {}

    def file_bytes(self, kept: Kept) -> int | None:
        """Return the size of the file of a kept model, where that is known."""
        return None

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next step reads: nested dicts and lists of tensors, numbers and texts."""
        return {
            "module": self.module.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what ``state_dict`` returned, on this device or another."""
        self.module.load_state_dict(state["module"])
        for optimizer, own in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(own)
        for scheduler, own in zip(self.schedulers, state["schedulers"], strict=True):
            scheduler.load_state_dict(own)

    def encode(self, kept: Kept) -> dict[str, Any]:
        """Return a kept model as tensors, numbers and texts; only runs that keep their state ask for it."""
        raise NotImplementedError

    def decode(self, encoded: dict[str, Any]) -> Kept:
        """Return the model that ``encode`` was given."""
        raise NotImplementedError


@dataclass(eq=False)
class PackedTrainable(Trainable[PackedFM]):
    """A quantized model in training.

    Attributes:
        like: a model of the same fields, in the same tiers.
        origin: what the artifact says of itself.
    """

    like: QuantizedFM
    origin: Origin

    def file_bytes(self, kept: PackedFM) -> int:
        """Return the size of the artifact."""
        return kept.file_bytes

    def encode(self, kept: PackedFM) -> dict[str, Any]:
        """Return tiers, quantizers, numbers and codes of a model as numbers, texts and tensors."""
        return {
            "tiers": [list(sizes) for sizes in kept.header.tier_sizes],
            "quantizers": [[embedding_spec(q), linear_spec(q)] for q in kept.header.quantizers],
            "bias": kept.bias,
            **{name: torch.from_numpy(np.array(getattr(kept, name))) for name in _arrays_of(kept)},
        }

    def decode(self, encoded: dict[str, Any]) -> PackedFM:
        """Return the model that ``encode`` was given."""
        like = self.like
        quantizers = tuple(parse_quantizer(embedding, linear) for embedding, linear in encoded["quantizers"])
        errors = tuple(field.error for field in like.fields)
        tier_sizes = tuple(tuple(sizes) for sizes in encoded["tiers"])
        header = Header(Frame.of(like, network_bytes=like.network_bytes), quantizers, errors, self.origin, tier_sizes)
        arrays = {name: encoded[name].numpy() for name in ("values", "codes", "network_data") if name in encoded}
        return PackedFM(header, encoded["bias"], numeric=like.numeric, **arrays)


def _arrays_of(model: PackedFM) -> list[str]:
    """Return the names of the arrays of a model that change while it is trained."""
    return ["values", "codes", *(() if model.network_data is None else ("network_data",))]


def sparse_gradients(values: int) -> bool:
    """Return whether tables with so many numbers are better trained with sparse gradients.

    Dense Adam visits every number at every step, lazy Adam sorts the batch's rows instead.
    """
    return values > _MOST_DENSE_VALUES


def adam(
    tables: Sequence[torch.nn.Parameter],
    others: Sequence[torch.nn.Parameter],
    lr: float,
    *,
    sparse: bool,
    dense: Sequence[torch.nn.Parameter] = (),
) -> list[torch.optim.Optimizer]:
    """Return Adam for all parameters; for ``tables`` lazy Adam where their gradients are sparse.

    ``dense`` are the parameters of trained dense layers, which all rows share: they are to move a tenth as fast as
    codewords.
    """
    slow: list[dict[str, Any]] = [{"params": list(dense), "lr": _DENSE_SHARE * lr}] if dense else []
    if not sparse:
        return [torch.optim.Adam([{"params": [*tables, *others]}, *slow], lr=lr, fused=True)]
    of_others = torch.optim.Adam([{"params": list(others)}, *slow], lr=lr, fused=True)
    return [torch.optim.SparseAdam(list(tables), lr=lr), of_others]


def linear_decay(optimizers: Sequence[torch.optim.Optimizer], steps: int) -> list[LRScheduler]:
    """Return what lets learning rates fall linearly, to 0 after ``steps`` steps."""
    return [PolynomialLR(optimizer, total_iters=steps, power=1.0) for optimizer in optimizers]
