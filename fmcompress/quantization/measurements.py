"""What is measured of a checkpoint before anything is planned: counts of its categories, and what errors cost."""

from dataclasses import dataclass
from functools import cached_property

from fmcompress.data.rows import TuningData
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.progress import SILENT, Progress
from fmcompress.quantization.sensitivity import Sensitivity, from_moments
from fmcompress.types import Int64Array


@dataclass(frozen=True)
class Measurements:
    """Counts and sensitivity of a checkpoint; they do not depend on the budget.

    Each is found when it is first asked for, and kept: the paper's methods plan, and refuse a budget that they cannot
    meet, by counting bytes alone.

    Attributes:
        checkpoint: the factorization machine, in the coordinates in which it is quantized.
        data: rows to search and tune on; None where there are none.
        seed: of samples.
        progress: told of what is lacking.
    """

    checkpoint: FMCheckpoint
    data: TuningData | None = None
    seed: int = 0
    progress: Progress = SILENT

    @cached_property
    def counts(self) -> Int64Array | None:
        """Rows in which each category is active, int64 (categories,); None where that is not known."""
        if self.data is None:
            return self.checkpoint.counts
        from fmcompress.data.rows import count_categories

        return count_categories(self.data.rows)

    @cached_property
    def sensitivity(self) -> Sensitivity:
        """What errors cost."""
        counts = self.counts
        if self.data is not None and counts is not None:
            from fmcompress.quantization.sensitivity import from_rows

            return from_rows(self.checkpoint, self.data.rows, counts, seed=self.seed)
        if counts is None:
            self.progress.note("no data and no counts in the checkpoint: all categories count the same")
        return from_moments(self.checkpoint, counts)
