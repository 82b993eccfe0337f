"""``auto``: bits are allocated exactly, by what errors cost this factorization machine.

It works along the principal axes of the embeddings. A factorization machine sees embeddings through their products
alone, so one rotation common to all fields leaves it as it is, and costs nothing in the artifact. Along the principal
axes of the pooled covariance coordinates are uncorrelated and differ in size: the first subspaces get many codewords,
the last few or one.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np

from fmcompress.finetune.options import ReassignOptions, TuneOptions
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.disk_table import turned
from fmcompress.fm.network import vectors_of
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.fm.quantized_fm import QuantizedFM
from fmcompress.methods.auto.bit_allocation import PricedCandidates, allocate_bits, price_candidates
from fmcompress.methods.auto.filling import filled
from fmcompress.methods.base import Job, QuantizationMethod
from fmcompress.quantization.measurements import Measurements
from fmcompress.quantization.plan import Plan
from fmcompress.quantization.sensitivity import ordinary_shares, shares
from fmcompress.quantization.table_moments import weighted_moments
from fmcompress.types import Float64Array


@dataclass(frozen=True)
class AutoMeasurements(Measurements):
    """Measurements of a checkpoint along its principal axes, and of the ways to store each field.

    Attributes:
        compact: whether the artifact is compact.
        calibrated: whether its logits are to be calibrated.
    """

    compact: bool = False
    calibrated: bool = False

    @cached_property
    def candidates(self) -> PricedCandidates:
        """The candidates of each field, with their bytes and their rise of the loss."""
        held_out = None
        if self.data is not None:
            from fmcompress.methods.auto.held_out_loss import draw_held_out, enough_rows

            drawn = draw_held_out(self.data.valid, seed=self.seed)
            held_out = drawn if enough_rows(drawn, self.checkpoint.link_function) else None
            if held_out is None:
                self.progress.note(
                    "validation data hold too few rows of one label to price on them: by the expected loss"
                )
        return price_candidates(
            self.checkpoint,
            self.counts,
            self.sensitivity,
            held_out,
            seed=self.seed,
            compact=self.compact,
            calibrated=self.calibrated,
            progress=self.progress,
        )


@dataclass(frozen=True)
class Auto(QuantizationMethod[AutoMeasurements]):
    """Quantizers of each field are chosen by exact allocation; errors cost what they cost the factorization machine."""

    name: ClassVar[str] = "auto"

    def default_tuning(self) -> TuneOptions:
        """Return tuning with codes that are assigned anew between epochs."""
        return TuneOptions(reassign=ReassignOptions())

    def measure(self, job: Job) -> AutoMeasurements:
        """Return what is measured of the checkpoint along its principal axes, with scales that held-out rows set."""
        compact = job.origin.compact
        found = AutoMeasurements(rotated(job.checkpoint), job.data, job.seed, job.progress, compact=compact)
        if job.data is None or not job.tuning.calibrate:
            return found
        from fmcompress.methods.auto.refinement import refined

        better = refined(found.checkpoint, job.data.valid, found.counts, seed=job.seed, progress=job.progress)
        return replace(found, checkpoint=better, calibrated=True)

    def plan(self, job: Job, measured: AutoMeasurements) -> Plan:
        """Return the allocation with the least loss within the budget.

        Raises:
            BudgetError: no artifact of this model fits the budget.
        """
        return allocate_bits(measured.candidates, job.origin, vocabulary_bytes=job.vocabulary_bytes)

    def most_bytes(self, job: Job, plan: Plan) -> int:
        """Return the budget, which codes that are entropy coded fill; less where a smaller artifact is the best one."""
        fills = job.origin.compact and job.budget_bytes is not None and plan.file_bytes < plan.largest_bytes
        return job.budget_bytes or plan.file_bytes if fills else plan.file_bytes

    def fill(self, job: Job, measured: AutoMeasurements, plan: Plan, quantized: QuantizedFM) -> QuantizedFM:
        """Return the model whose file fills the budget, where codes are entropy coded."""
        return filled(job, measured, plan, quantized) if job.origin.compact else quantized


def rotated(checkpoint: FMCheckpoint) -> FMCheckpoint:
    """Return the same model with its embeddings along their principal axes.

    The first dense layer of a network turns them back. Where it takes products of coordinates, as that of an NFM does,
    axes are its own, and are left as they are.
    """
    network = checkpoint.network
    if network is not None and not network.of_kind.concatenated:
        return checkpoint
    axes = _principal_axes(checkpoint).astype(np.float32)
    numeric = NumericWeights(checkpoint.numeric.linear, checkpoint.numeric.embeddings @ axes)
    embeddings = turned(checkpoint.embeddings, axes)
    turned_network = None if network is None else network.rotated(axes, vectors_of(checkpoint.schema))
    return replace(checkpoint, embeddings=embeddings, numeric=numeric, network=turned_network)


def _principal_axes(checkpoint: FMCheckpoint) -> Float64Array:
    """Return the eigenvectors of Σ_f Cov_f, the largest first, float64 (dim, dim), with signs that are fixed."""
    pooled = np.zeros((checkpoint.dim, checkpoint.dim))
    ordinary = ordinary_shares(checkpoint, shares(checkpoint.schema, checkpoint.counts))
    for field, share in enumerate(checkpoint.schema.split(ordinary)):
        pooled += weighted_moments(checkpoint.embeddings_of(field), share)[1]
    axes = np.linalg.eigh(pooled)[1][:, ::-1]
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(len(axes))]
    return np.asarray(axes * np.where(largest < 0, -1, 1))
