"""``auto``: bits are allocated exactly, by what errors cost this factorization machine."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from fmcompress.finetune.options import ReassignOptions, TuneOptions
from fmcompress.methods.auto.bit_allocation import PricedCandidates, allocate_bits, price_candidates
from fmcompress.methods.auto.rotation import rotated
from fmcompress.methods.base import Job, QuantizationMethod
from fmcompress.quantization.measurements import Measurements
from fmcompress.quantization.plan import Plan


@dataclass(frozen=True)
class AutoMeasurements(Measurements):
    """Measurements of a checkpoint along its principal axes, and of the ways to store each field."""

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
            self.checkpoint, self.counts, self.sensitivity, held_out, seed=self.seed, progress=self.progress
        )


@dataclass(frozen=True)
class Auto(QuantizationMethod[AutoMeasurements]):
    """Quantizers of each field are chosen by exact allocation; errors cost what they cost the factorization machine."""

    name: ClassVar[str] = "auto"

    def default_tuning(self) -> TuneOptions:
        """Return tuning with codes that are assigned anew between epochs."""
        return TuneOptions(reassign=ReassignOptions())

    def measure(self, job: Job) -> AutoMeasurements:
        """Return what is measured of the checkpoint along its principal axes."""
        return AutoMeasurements(rotated(job.checkpoint), job.data, job.seed, job.progress)

    def plan(self, job: Job, measured: AutoMeasurements) -> Plan:
        """Return the allocation with the least loss within the budget.

        Raises:
            BudgetError: no artifact of this model fits the budget.
        """
        return allocate_bits(measured.candidates, job.origin, vocabulary_bytes=job.vocabulary_bytes)
