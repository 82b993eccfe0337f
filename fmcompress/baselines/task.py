"""What baselines are asked for: the task, how to train and tune, and the points that they give."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from fmcompress.backbones.training import TrainOptions, train
from fmcompress.data.rows import TuningData, count_categories
from fmcompress.errors import UsageError
from fmcompress.evaluation.predictors import Model
from fmcompress.finetune.options import MovingOptions, TuneOptions
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.progress import Progress
from fmcompress.types import Int64Array


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
        # They check what is given to them.
        TuneOptions(self.distillation, self.lr)
        TrainOptions(l2=self.l2)


TRIALS = (
    Trial(distillation=1.0, lr=5e-3, l2=0.0),
    Trial(distillation=1.0, lr=4e-2, l2=1e-3),
    Trial(distillation=1.0, lr=4e-2, l2=1e-2),
    Trial(distillation=1.0, lr=2e-2, l2=1e-2),
    Trial(distillation=0.0, lr=5e-3, l2=3e-3),
)
"""The first three were the best of some twenty for int4 on MovieLens-1M, Frappe and Gowalla, in this order."""


GRID = (
    Trial(distillation=1.0, lr=3e-3, l2=0.0),
    Trial(distillation=1.0, lr=1e-2, l2=0.0),
    Trial(distillation=1.0, lr=1e-2, l2=1e-3),
    Trial(distillation=1.0, lr=3e-2, l2=1e-4),
    Trial(distillation=1.0, lr=3e-2, l2=1e-3),
    Trial(distillation=1.0, lr=3e-2, l2=1e-2),
    Trial(distillation=0.0, lr=1e-2, l2=1e-3),
    Trial(distillation=0.0, lr=1e-2, l2=1e-2),
    Trial(distillation=0.0, lr=3e-2, l2=1e-3),
    Trial(distillation=0.0, lr=3e-2, l2=1e-2),
)
"""Ways to train embeddings that are computed: a few epochs tell which are worth more."""


@dataclass(frozen=True)
class Chosen:
    """How a baseline was built and trained, as validation data chose.

    Attributes:
        variant: which of its ways: ``product``.
        trial: the rates and weights.
    """

    variant: str
    trial: Trial


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
        training_lrs: learning rates to train them with, of which validation data choose; None finds one.
        search_steps: of the search of xLightFM.
        grid: ways to train DFM, QR, MD and DHE, of which validation data choose.
        chosen: ways that were chosen before, by keys of baselines; their grids are not gone through again.
    """

    seed: int = 0
    device: str = "cpu"
    epochs: int = 15
    batch_size: int = 2048
    trials: tuple[Trial, ...] = TRIALS
    dims: tuple[int, ...] = (2, 4, 8, 16)
    training: TrainOptions = field(default_factory=TrainOptions)
    training_lrs: tuple[float | None, ...] = (None,)
    search_steps: int = 1500
    grid: tuple[Trial, ...] = GRID
    chosen: Mapping[str, Chosen] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("trials", "training_lrs", "grid"):
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


@dataclass(frozen=True)
class BaselinePoint:
    """A model of a baseline.

    Attributes:
        name: what it is, for people: ``FM, dim 8, int4``.
        baseline: key of the baseline: ``smaller-fm-int4``.
        file_bytes: size of a file that holds it.
        model: the numbers that this file holds, decoded; or a compressed factorization machine.
        chosen: how it was built and trained, where a grid was gone through.
        paper_params_mib: the paper's Params, where they are counted: floats of 32 bits, the linear part left out.
    """

    name: str
    baseline: str
    file_bytes: int
    model: Model
    chosen: Chosen | None = None
    paper_params_mib: float | None = None


@dataclass(frozen=True)
class Task:
    """What baselines are asked for.

    Attributes:
        source: the factorization machine to compare with.
        data: rows to train and tune on; the schema is that of ``source``.
        budgets: sizes that files must not exceed, in bytes, where a baseline can be made of any size.
        options: how to train and tune.
        progress: told of each step.
    """

    source: FMCheckpoint
    data: TuningData
    budgets: tuple[int, ...]
    options: BaselineOptions
    progress: Progress
    _trained: dict[int, FMCheckpoint] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if self.source.schema.numeric or self.source.link != "sigmoid":
            raise UsageError(
                "baselines are made for categorical fields and sigmoid links alone", hint="sweep without --baselines"
            )
        if self.source.network is not None:
            raise UsageError(
                "baselines are factorization machines alone, and the checkpoint has a network on top",
                hint="sweep without --baselines",
            )

    @cached_property
    def counts(self) -> Int64Array:
        """Training rows in which each category is active, int64 (categories,)."""
        return count_categories(self.data.rows)

    def smaller_fms(self) -> Iterator[FMCheckpoint]:
        """Yield the factorization machines smaller than the source; each is trained when first asked for, and kept."""
        for dim in self.options.dims:
            if dim < self.source.dim:
                if dim not in self._trained:
                    self._trained[dim] = self._train(dim)
                yield self._trained[dim]

    def _train(self, dim: int) -> FMCheckpoint:
        """Train in all ways, and return what is best on validation data."""
        rows, valid = self.data.rows, self.data.valid
        trained = [train(rows, valid, how, progress=self.progress) for how in self.options.trainings(dim)]
        return max(trained, key=lambda found: found.scores.selection).checkpoint
