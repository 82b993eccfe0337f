"""What a quantization is asked for, and the interface of the methods that do it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from fmcompress.artifact import Origin, PackedFM
from fmcompress.artifact.origin import COMPACT, Layout
from fmcompress.data.rows import TuningData
from fmcompress.errors import UsageError
from fmcompress.finetune.options import TuneOptions
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.disk_table import DiskTable
from fmcompress.fm.magnitudes import check_magnitudes
from fmcompress.fm.quantized_fm import QuantizedFM
from fmcompress.progress import SILENT, Progress
from fmcompress.quantization.measurements import Measurements
from fmcompress.quantization.plan import Plan
from fmcompress.sizes import format_size
from fmcompress.training.provenance import origin_of
from fmcompress.training.run_state import RunState

if TYPE_CHECKING:
    from fmcompress.evaluation.scores import Scores
    from fmcompress.finetune.tuner import CodeUpdate
    from fmcompress.training.loop import Fit

_LARGEST_SEED = 2**31 - 1

Measured = TypeVar("Measured", bound=Measurements)


@dataclass(frozen=True)
class Job:
    """One quantization that is asked for.

    Attributes:
        checkpoint: the factorization machine.
        method: how to quantize it.
        budget_bytes: the size that the artifact must not exceed; None, which only LightFM allows, takes what its sizes
            need.
        data: rows to search and tune on; None tunes nothing.
        tuning: how to tune; its seed is overruled.
        seed: of k-means, search, tuning and shuffling.
        carries_vocabulary: whether the artifact carries the checkpoint's vocabulary; its bytes count in the budget.
        layout: of the artifact: ``compact``, or ``plain``, which older readers understand and which can be mapped.
        provenance: whether the artifact says where it comes from.
        run_state: keeps the state and the history of the run.
        progress: told of each step.
    """

    checkpoint: FMCheckpoint
    method: Method
    budget_bytes: int | None
    data: TuningData | None = None
    tuning: TuneOptions = field(default_factory=TuneOptions)
    seed: int = 0
    carries_vocabulary: bool = False
    layout: Layout = COMPACT
    provenance: bool = True
    run_state: RunState = field(default_factory=RunState)
    progress: Progress = SILENT

    @cached_property
    def origin(self) -> Origin:
        """What the artifact will say of itself; its budget is 0 where there is none."""
        found = origin_of(self.checkpoint, self.budget_bytes or 0, self.method.name, self.seed, self.data)
        return replace(found, layout=self.layout, provenance=self.provenance)

    @cached_property
    def source_scores(self) -> Scores:
        """Scores of the checkpoint, as it was given, on validation data.

        Raises:
            UsageError: there are none.
        """
        from fmcompress.evaluation.scores import score_rows

        if self.data is None:
            raise UsageError("there are no rows to score", hint="--train gives them")
        return score_rows(self.checkpoint, self.data.valid)

    @cached_property
    def vocabulary_bytes(self) -> int:
        """Size of the vocabulary that the artifact will carry."""
        vocabulary = self.checkpoint.vocabulary
        return vocabulary.nbytes if self.carries_vocabulary and vocabulary is not None else 0

    def check(self) -> None:
        """Raise what can be told before anything is computed.

        Raises:
            UsageError: the seed is out of range; the budget or the data to search on are missing; there is no
                vocabulary to carry.
            CheckpointError: weights are so large that predictions are not finite.
            BudgetError: counting bytes alone shows that no artifact fits the budget.
        """
        if not 0 <= self.seed <= _LARGEST_SEED:
            raise UsageError(f"seed is {self.seed}, expected 0 to {_LARGEST_SEED}")
        check_magnitudes(self.checkpoint)
        self.method.check(self)
        table = self.checkpoint.embeddings
        if isinstance(table, DiskTable) and self.data is not None and self.method.moves_embeddings(self):
            self.progress.warn(
                f"codes that move with the loss keep all embeddings in memory, with their gradients' averages: "
                f"{format_size(3 * table.nbytes)} or more; codes that are assigned anew (--method auto) do not"
            )
        if self.carries_vocabulary and self.checkpoint.vocabulary is None:
            raise UsageError("the checkpoint has no vocabulary that the artifact could carry", hint="--vocab gives one")


class QuantizationMethod(ABC, Generic[Measured]):
    """A way to quantize a factorization machine: its settings are attributes, the steps below are its own."""

    name: ClassVar[str]

    def check(self, job: Job) -> None:
        """Raise what can be told of a job before anything is computed: see ``Job.check``."""
        if job.budget_bytes is None:
            raise UsageError(f"method {self.name} needs a budget", hint="--budget 10MB")

    def moves_embeddings(self, job: Job) -> bool:
        """Return whether a job with data changes the embeddings of all categories on the way."""
        return job.tuning.moving is not None

    @abstractmethod
    def default_tuning(self) -> TuneOptions:
        """Return how models of this method are tuned where nothing else is said."""

    @abstractmethod
    def measure(self, job: Job) -> Measured:
        """Return what is measured of the checkpoint, whatever the budget."""

    @abstractmethod
    def plan(self, job: Job, measured: Measured) -> Plan:
        """Return how each field is to be stored, or that a search is to find it.

        Raises:
            BudgetError: no artifact of this model fits the budget.
        """

    def search_sizes(self, job: Job, measured: Measured, plan: Plan) -> Plan:
        """Return the plan with the sizes that a search has found; most methods have planned them."""
        return plan

    def most_bytes(self, job: Job, plan: Plan) -> int:
        """Return the size that an artifact of this plan has at most; entropy coding makes it smaller."""
        return plan.file_bytes

    def fill(self, job: Job, measured: Measured, plan: Plan, quantized: QuantizedFM) -> QuantizedFM:
        """Return the model with codebooks made as planned, or another one that makes better use of the budget."""
        return quantized

    def finetune(
        self, job: Job, measured: Measured, model: PackedFM, start: Scores, codes: CodeUpdate
    ) -> Fit[PackedFM]:
        """Return the model tuned on the job's data.

        Args:
            job: what is asked for; with data.
            measured: of its checkpoint.
            model: the model to start from.
            start: its scores on validation data.
            codes: what becomes of codes.
        """
        from fmcompress.finetune.tuner import tune

        if job.data is None:
            raise UsageError("there are no rows to tune on", hint="--train gives them")
        return tune(
            model,
            job.data.rows,
            job.data.valid,
            teacher=measured.checkpoint,
            start=start,
            options=job.tuning,
            codes=codes,
            progress=job.progress,
            run_state=job.run_state,
        )


Method = QuantizationMethod[Any]
"""How to quantize."""
