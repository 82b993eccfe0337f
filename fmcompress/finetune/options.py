"""How a compressed factorization machine is tuned."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from fmcompress.arguments import checked_arguments
from fmcompress.errors import UsageError

Select = Literal["both", "auc", "logloss"]
"""What states are chosen by on validation data: AUC − LogLoss, with none that has less AUC than the start, or one."""

Distance = Literal["none", "mean", "popularity"]


@checked_arguments
@dataclass(frozen=True)
class MovingOptions:
    """How codes move while a model is tuned: equations 5 to 8 of the paper.

    Attributes:
        distance: weights of categories in the distance loss: ``none``, ``mean`` or ``popularity``.
        distance_weight: λ, what the distance loss counts for.
        temperature: T of the softmax, in units of the mean squared distance to the codewords at the start.
        latent_lr: learning rate of the latent embeddings, in units of their distance to their codewords; it falls
            linearly to 0.
        candidates: codewords that a category chooses from at each step: the nearest ones to its own.
    """

    distance: Distance = "popularity"
    distance_weight: float = 0.01
    temperature: float = 0.3
    latent_lr: float = 0.03
    candidates: int = 16

    def __post_init__(self) -> None:
        if self.distance not in get_args(Distance):
            raise UsageError(f"distance is {self.distance!r}, expected none, mean or popularity")
        if not 0 <= self.distance_weight < math.inf:
            raise UsageError(f"distance_weight is {self.distance_weight}, expected 0 or more")
        for name in ("temperature", "latent_lr"):
            if not 0 < getattr(self, name) < math.inf:
                raise UsageError(f"{name} is {getattr(self, name)}, expected more than 0")
        if self.candidates < 2:
            raise UsageError(f"candidates is {self.candidates}, expected 2 or more")


@checked_arguments
@dataclass(frozen=True)
class ReassignOptions:
    """How codes are chosen anew while codebooks are tuned.

    Attributes:
        prior: for how many rows the factorization machine's own embedding counts in the choice of a category's codes.
        share: of the epochs, from the first on, that begin with a choice.
    """

    prior: float = 100.0
    share: float = 0.6

    def __post_init__(self) -> None:
        if not 0 < self.prior < math.inf:
            raise UsageError(f"prior is {self.prior}, expected more than 0")
        if not 0 <= self.share <= 1:
            raise UsageError(f"share is {self.share}, expected a number from 0 to 1")


@checked_arguments
@dataclass(frozen=True)
class TuneOptions:
    """How a compressed factorization machine is tuned.

    Attributes:
        distillation: share d of the factorization machine's predictions in the targets, 0 to 1.
        lr: learning rate of Adam; it falls linearly, to 0 after the last epoch.
        batch_size: rows of a step.
        epochs: passes over the data; 0 leaves the model as it is.
        seed: of the order of rows.
        device: a torch device.
        moving: how codes move with each step; None if they do not.
        reassign: how codes are chosen anew between epochs; None if they are not.
        calibrate: whether logits are scaled and shifted by what is best on validation data: those of the factorization
            machine that is compressed, which prices and targets are made of, and those of each state.
        select: what states are chosen by on validation data. ``both`` is AUC − LogLoss; with it and with ``auc`` no
            state is chosen that has less AUC than the start.
    """

    distillation: float = 1.0
    lr: float = 5e-3
    batch_size: int = 2048
    epochs: int = 15
    seed: int = 0
    device: str = "cpu"
    moving: MovingOptions | None = None
    reassign: ReassignOptions | None = None
    calibrate: bool = True
    select: Select = "both"

    def __post_init__(self) -> None:
        if self.select not in get_args(Select):
            raise UsageError(f"select is {self.select!r}, expected {', '.join(get_args(Select))}")
        if self.moving is not None and self.reassign is not None:
            raise UsageError("codes either move with each step or are chosen anew between epochs")
        if self.epochs < 0:
            raise UsageError(f"epochs is {self.epochs}, expected 0 or more")
        if self.batch_size < 1:
            raise UsageError(f"batch_size is {self.batch_size}, expected 1 or more")
        if not 0 <= self.distillation <= 1:
            raise UsageError(f"distillation is {self.distillation}, expected a number from 0 to 1")
        if not 0 < self.lr < 1:
            raise UsageError(f"lr is {self.lr}, expected a number between 0 and 1")
