"""How a compressed factorization machine is tuned."""

from __future__ import annotations

from dataclasses import dataclass

from fmcompress.errors import UsageError


@dataclass(frozen=True)
class TuneOptions:
    """How a compressed factorization machine is tuned.

    Attributes:
        distillation: share d of the factorization machine's predictions in the targets, 0 to 1.
        lr: learning rate of Adam; it falls where validation stands still.
        batch_size: rows of a step.
        epochs: passes over the data at most; 0 leaves the model as it is.
        patience: epochs without a better state before the learning rate falls or tuning ends.
        seed: of the order of rows.
        device: a torch device.
    """

    distillation: float = 1.0
    lr: float = 1e-3
    batch_size: int = 2048
    epochs: int = 30
    patience: int = 1
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise UsageError(f"epochs is {self.epochs}, expected 0 or more")
        for name in ("batch_size", "patience"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}, expected 1 or more")
        if not 0 <= self.distillation <= 1:
            raise UsageError(f"distillation is {self.distillation}, expected a number from 0 to 1")
        if not 0 < self.lr < 1:
            raise UsageError(f"lr is {self.lr}, expected a number between 0 and 1")
