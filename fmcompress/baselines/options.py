"""How baselines are trained and tuned."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from fmcompress.backbones.train_fm import TrainOptions
from fmcompress.errors import UsageError
from fmcompress.finetune.options import MovingOptions, TuneOptions


@dataclass(frozen=True)
class Trial:
    """A way to tune integers and pruned rows.

    Attributes:
        distillation: share of the source's predictions in the targets, 0 to 1.
        lr: learning rate of Adam; it falls linearly, to 0 after the last epoch.
        l2: weight of the mean over a batch's rows of Σ_i (‖v_i‖² + w_i²).
    """

    distillation: float
    lr: float
    l2: float

    def __post_init__(self) -> None:
        if not 0 <= self.distillation <= 1:
            raise UsageError(f"distillation is {self.distillation}, expected a number from 0 to 1")
        if not 0 < self.lr < 1:
            raise UsageError(f"lr is {self.lr}, expected a number between 0 and 1")
        if not 0 <= self.l2 < math.inf:
            raise UsageError(f"l2 is {self.l2}, expected 0 or more")


TRIALS = (
    Trial(distillation=1.0, lr=5e-3, l2=0.0),
    Trial(distillation=1.0, lr=4e-2, l2=1e-3),
    Trial(distillation=1.0, lr=4e-2, l2=1e-2),
    Trial(distillation=1.0, lr=2e-2, l2=1e-2),
    Trial(distillation=0.0, lr=5e-3, l2=3e-3),
)
"""The first three were the best of some twenty for int4 on MovieLens-1M, Frappe and Gowalla, in this order."""


@dataclass(frozen=True)
class BaselineOptions:
    """How baselines are trained and tuned.

    Attributes:
        seed: of training, k-means, tuning, search and the order of rows.
        device: a torch device.
        epochs: of tuning; 0 tunes nothing.
        batch_size: rows of a step of tuning.
        trials: ways to tune integers and pruned rows, of which validation data choose. Codebooks are tuned with the
            defaults of ``TuneOptions``.
        dims: embedding sizes of the smaller FMs; those not below the source's are left out.
        training: how the smaller FMs are trained; dim, lr, seed and device are overruled.
        training_lrs: learning rates to train them with, of which validation data choose.
        search_steps: of the search of xLightFM.
    """

    seed: int = 0
    device: str = "cpu"
    epochs: int = 15
    batch_size: int = 2048
    trials: tuple[Trial, ...] = TRIALS
    dims: tuple[int, ...] = (2, 4, 8, 16)
    training: TrainOptions = field(default_factory=TrainOptions)
    training_lrs: tuple[float, ...] = (1e-3, 1e-2)
    search_steps: int = 1500

    def __post_init__(self) -> None:
        for name in ("trials", "training_lrs"):
            if not getattr(self, name):
                raise UsageError(f"{name} is empty, expected one or more")
        self.codebook_tuning(None)
        for dim in self.dims:
            self.trainings(dim)

    def trainings(self, dim: int) -> list[TrainOptions]:
        """Return the ways to train a smaller FM, of which validation data choose.

        Raises:
            UsageError: an option makes no sense.
        """
        return [replace(self.training, dim=dim, lr=lr, seed=self.seed, device=self.device) for lr in self.training_lrs]

    def codebook_tuning(self, moving: MovingOptions | None) -> TuneOptions:
        """Return how codebooks are tuned; where ``moving`` is None, codes stand still.

        Raises:
            UsageError: an option makes no sense.
        """
        return TuneOptions(
            batch_size=self.batch_size, epochs=self.epochs, seed=self.seed, device=self.device, moving=moving
        )
