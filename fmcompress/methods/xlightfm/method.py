"""xLightFM: numbers of codewords are searched under the memory limit, on data (section 3.4 of the paper)."""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar

from fmcompress.arguments import checked_arguments
from fmcompress.errors import UsageError
from fmcompress.fm.tiers import Tiers
from fmcompress.methods.base import Job
from fmcompress.methods.lightfm.method import PaperMethod
from fmcompress.methods.xlightfm.options import SearchOptions, SpaceOptions
from fmcompress.methods.xlightfm.search_space import SearchSpace, lay_out
from fmcompress.processes.world import this_process
from fmcompress.quantization.measurements import Measurements
from fmcompress.quantization.plan import Plan


@checked_arguments
@dataclass(frozen=True)
class XLightFM(PaperMethod):
    """Section 3.4 of the paper: numbers of codewords are searched under the memory limit, on data.

    Attributes:
        space: what is searched.
        search: how.
    """

    name: ClassVar[str] = "xlightfm"
    space: SpaceOptions = field(default_factory=SpaceOptions)
    search: SearchOptions = field(default_factory=SearchOptions)

    def __post_init__(self) -> None:
        if not self.space.candidates:
            object.__setattr__(self, "space", replace(self.space, candidates=self.search.candidates))

    def check(self, job: Job) -> None:
        """Raise where there is no budget, no data, or not even the smallest candidates fit the budget."""
        super().check(job)
        if job.data is None:
            raise UsageError("method xlightfm searches on data", hint="--train gives them; auto needs none")
        self._search_space(job)

    def moves_embeddings(self, job: Job) -> bool:
        """Return True: a search does, whatever is tuned afterwards."""
        return True

    def plan(self, job: Job, measured: Measurements) -> Plan:
        """Return what the artifact takes at most; its sizes are open.

        Raises:
            BudgetError: not even the smallest candidates fit the budget.
        """
        largest = self._search_space(job).largest_bytes
        at_most = min(largest, job.budget_bytes or largest)
        return Plan(Tiers.none(job.checkpoint.schema), None, at_most, largest)

    def search_sizes(self, job: Job, measured: Measurements, plan: Plan) -> Plan:
        """Return the plan with the architecture that the search likes best (Eq. 9 to 14).

        Of several processes the first searches.
        """
        from fmcompress.methods.xlightfm.search import search
        from fmcompress.methods.xlightfm.supernet import start_search

        if job.data is None or measured.counts is None:
            raise UsageError("method xlightfm searches on data", hint="--train gives them; auto needs none")
        space = self._search_space(job)
        if not space.columns:
            job.progress.note("no field has more categories than the smallest candidate: there is nothing to search")
            return Plan(plan.tiers, tuple(space.quantizers(space.smallest)), plan.file_bytes, plan.largest_bytes)
        searching = partial(
            search,
            start_search(measured, space, seed=job.seed, progress=job.progress),
            job.data.rows,
            job.data.valid,
            self.search,
            tuning=job.tuning,
            progress=job.progress,
            run_state=job.run_state,
        )
        selected = this_process().first_does(searching)
        file_bytes = space.file_bytes(selected)
        job.progress.note(f"searched: {space.described(selected)}, {file_bytes:,} bytes")
        return Plan(plan.tiers, tuple(space.quantizers(selected)), file_bytes, plan.largest_bytes)

    def _search_space(self, job: Job) -> SearchSpace:
        return lay_out(job.checkpoint, self.space, job.origin, vocabulary_bytes=job.vocabulary_bytes)
