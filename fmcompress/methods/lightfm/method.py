"""LightFM: one number of subspaces and codewords for all fields (section 3.3 of the paper)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from fmcompress.arguments import checked_arguments
from fmcompress.artifact import Frame
from fmcompress.artifact.header import artifact_bytes
from fmcompress.errors import BudgetError, UsageError
from fmcompress.finetune.options import MovingOptions, TuneOptions
from fmcompress.fm.quantizer import MAX_CODEWORDS, Quantizer
from fmcompress.fm.tiers import Tiers
from fmcompress.methods.base import Job, QuantizationMethod
from fmcompress.quantization.measurements import Measurements
from fmcompress.quantization.plan import Plan
from fmcompress.quantization.rounding import value_bytes_of_fields
from fmcompress.sizes import format_size


class PaperMethod(QuantizationMethod[Measurements]):
    """What LightFM and xLightFM share: counts and sensitivity alone are measured, and codes move with each step."""

    def default_tuning(self) -> TuneOptions:
        """Return tuning with codes that move with each step (Eq. 5 to 8)."""
        return TuneOptions(moving=MovingOptions())

    def measure(self, job: Job) -> Measurements:
        """Return what is measured of the checkpoint."""
        return Measurements(job.checkpoint, job.data, job.seed, job.progress)


@checked_arguments
@dataclass(frozen=True)
class LightFM(PaperMethod):
    """The method ``lightfm``: sizes of all codebooks.

    Attributes:
        subspaces: D, into which each embedding is cut.
        codewords: K of each codebook; fields with no more categories keep raw embeddings.
        linear_codewords: of the linear weights' codebook of each field; fields with no more categories, or all
            fields where it is 0, keep raw linear weights. The paper does not count them.
    """

    name: ClassVar[str] = "lightfm"
    subspaces: int = 4
    codewords: int = 1024
    linear_codewords: int = 256

    def __post_init__(self) -> None:
        check_subspaces(self.subspaces)
        check_codewords("codewords", self.codewords, least=2)
        if self.linear_codewords:
            check_codewords("linear_codewords", self.linear_codewords, least=1)

    @checked_arguments
    def quantizers(self, cardinalities: Sequence[int], dim: int) -> list[Quantizer]:
        """Return the quantizer of each field.

        Raises:
            UsageError: there are more subspaces than coordinates.
        """
        check_subspaces(self.subspaces, dim)
        return [
            Quantizer(
                () if cardinality <= self.codewords else (self.codewords,) * self.subspaces,
                linear_quantizer(cardinality, self.linear_codewords),
            )
            for cardinality in cardinalities
        ]

    def check(self, job: Job) -> None:
        """Raise where the sizes do not fit the embeddings or the budget; there may be no budget."""
        self._plan(job)

    def plan(self, job: Job, measured: Measurements) -> Plan:
        """Return the plan of these sizes; the budget, where there is one, must be large enough.

        Raises:
            UsageError: there are more subspaces than coordinates.
            BudgetError: the artifact would be larger than the budget.
        """
        return self._plan(job)

    def _plan(self, job: Job) -> Plan:
        checkpoint = job.checkpoint
        quantizers = [
            replace(quantizer, value_bytes=value_bytes)
            for quantizer, value_bytes in zip(
                self.quantizers(checkpoint.schema.cardinalities.tolist(), checkpoint.dim),
                value_bytes_of_fields(checkpoint),
                strict=True,
            )
        ]
        frame = Frame.of(checkpoint, vocabulary_bytes=job.vocabulary_bytes)
        file_bytes = artifact_bytes(frame, job.origin, quantizers)
        if job.budget_bytes is not None and job.budget_bytes < file_bytes:
            raise BudgetError(
                f"budget of {format_size(job.budget_bytes)} is too small: "
                f"with {self.subspaces} x {self.codewords} codewords the artifact has {file_bytes:,} bytes",
                smallest_bytes=file_bytes,
                hint="fewer --codewords or --subspaces take less; --method auto finds what fits",
            )
        return Plan(Tiers.none(checkpoint.schema), tuple(quantizers), file_bytes, file_bytes)


def linear_quantizer(cardinality: int, codewords: int) -> int:
    """Return the codewords of a field's linear weights; 0, raw ones, where it has no more categories."""
    return codewords if cardinality > codewords else 0


def check_codewords(name: str, codewords: int, *, least: int) -> None:
    """Check the size of a codebook.

    Raises:
        UsageError: it is out of range.
    """
    if not least <= codewords <= MAX_CODEWORDS:
        raise UsageError(f"{name} is {codewords}, expected {least} to {MAX_CODEWORDS}")


def check_subspaces(subspaces: int, dim: int | None = None) -> None:
    """Check a number of subspaces; where ``dim`` is known, against that.

    Raises:
        UsageError: there is none, or there are more than coordinates.
    """
    if subspaces < 1:
        raise UsageError(f"subspaces is {subspaces}, expected 1 or more")
    if dim is not None and subspaces > dim:
        raise UsageError(f"subspaces is {subspaces}, but the embeddings have {dim} coordinates")
