"""From a checkpoint to a compressed model: sensitivity, plan, search, codebooks, tuning, packing.

Without data neither torch nor pyarrow is needed, and they are not imported: that is half of the time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fmcompress.artifact import CompressedFM, Quality, pack_model, with_vocabulary
from fmcompress.data.train_valid import TuningData
from fmcompress.errors import UsageError
from fmcompress.finetune.options import SearchOptions, TuneOptions
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.quantized import QuantizedFM
from fmcompress.fm.tiers import Tiers
from fmcompress.methods.auto.bit_allocation import Planner
from fmcompress.methods.auto.rotation import rotated
from fmcompress.methods.registry import Auto, LightFM, Method, XLightFM
from fmcompress.methods.xlightfm.search_space import SearchSpace
from fmcompress.progress import SILENT, Progress
from fmcompress.quantization.plan import Plan, carry_out, plan_lightfm
from fmcompress.quantization.sensitivity import Sensitivity, from_moments
from fmcompress.sizes import parse_size
from fmcompress.training.provenance import origin_of
from fmcompress.training.run_state import Journal

if TYPE_CHECKING:
    from fmcompress.evaluation.scores import Scores


class Groundwork:
    """What the quantizations of a checkpoint to several budgets share: counts, what errors cost, priced menus.

    Attributes:
        checkpoint: the factorization machine, for ``auto`` with its embeddings along their principal axes.
        counts: rows in which each category is active; None where that is not known.
        sensitivity: what errors cost.
        planner: chooses how fields are stored, for ``auto``; None for the paper's methods.
    """

    checkpoint: FMCheckpoint
    counts: npt.NDArray[np.int64] | None
    sensitivity: Sensitivity
    planner: Planner | None

    def __init__(
        self,
        checkpoint: FMCheckpoint,
        data: TuningData | None = None,
        *,
        method: Method | None = None,
        seed: int = 0,
        progress: Progress = SILENT,
    ) -> None:
        """Find how often categories occur, what errors cost, and for ``auto`` price the menus.

        Args:
            checkpoint: the factorization machine.
            data: rows to search and tune on.
            method: how to quantize.
            seed: of samples and k-means.
            progress: told of each step.

        Raises:
            DataError: the rows cannot be used.
        """
        auto = method is None or isinstance(method, Auto)
        self.checkpoint = rotated(checkpoint) if auto else checkpoint
        self.counts = checkpoint.counts
        self.planner = None
        held_out = None
        if data is None:
            if checkpoint.counts is None:
                progress.note("no data and no counts in the checkpoint: all categories count the same")
            self.sensitivity = from_moments(self.checkpoint, self.counts)
        else:
            from fmcompress.data.counts import count_categories
            from fmcompress.methods.auto.held_out_loss import draw_rows, tells_enough
            from fmcompress.quantization.sensitivity import from_rows

            self.counts = count_categories(data.rows)
            self.sensitivity = from_rows(self.checkpoint, data.rows, self.counts, seed=seed)
            drawn = draw_rows(data.valid, seed=seed)
            held_out = drawn if tells_enough(drawn, checkpoint.link_function) else None
            if auto and held_out is None:
                progress.note("validation data hold too few rows of one label to price on them: by the expected loss")
        if auto:
            self.planner = Planner(
                self.checkpoint, self.counts, self.sensitivity, held_out, seed=seed, progress=progress
            )


class Quantization:
    """One quantization of a checkpoint: planned first, to the byte, and then carried out.

    Attributes:
        plan: the quantizer of each field, and the exact size of the artifact; None where a search is to find them.
        largest_bytes: size of the largest artifact that the method makes.
    """

    plan: Plan | None
    largest_bytes: int

    def __init__(
        self,
        checkpoint: FMCheckpoint,
        budget: str | int | None,
        data: TuningData | None = None,
        *,
        method: Method | None = None,
        seed: int = 0,
        progress: Progress = SILENT,
        groundwork: Groundwork | None = None,
        carry_vocabulary: bool = False,
    ) -> None:
        """Measure what errors cost, and plan.

        Args:
            checkpoint: the factorization machine.
            budget: the size that the artifact must not exceed, in bytes or as ``10MB``; None, which only LightFM
                allows, takes what its sizes need.
            data: rows to search and tune on.
            method: how to quantize.
            seed: of k-means, search, tuning and shuffling.
            progress: told of each step.
            groundwork: of the same checkpoint, data, method and seed, where it has been laid already.
            carry_vocabulary: whether the artifact carries the checkpoint's vocabulary; its bytes count in the budget.

        Raises:
            UsageError: the budget is no size, or is missing; there is no data to search on; the seed is negative;
                there is no vocabulary to carry.
            BudgetError: no artifact of this model fits the budget.
            DataError: the rows cannot be used.
        """
        if not 0 <= seed < 2**31:
            raise UsageError(f"seed is {seed}, expected 0 to {2**31 - 1}")
        self._method: Method = method or Auto()
        if budget is None and not isinstance(self._method, LightFM):
            raise UsageError(f"method {self._method.name} needs a budget", hint="--budget 10MB")
        if data is None and isinstance(self._method, XLightFM):
            raise UsageError("method xlightfm searches on data", hint="--train gives them; auto needs none")
        if carry_vocabulary and checkpoint.vocabulary is None:
            raise UsageError("the checkpoint has no vocabulary that the artifact could carry", hint="--vocab gives one")
        self._vocabulary = checkpoint.vocabulary if carry_vocabulary else None
        self._vocabulary_bytes = 0 if self._vocabulary is None else len(self._vocabulary.encode())
        self._checkpoint = checkpoint
        self._data = data
        self._progress = progress
        self._origin = origin_of(checkpoint, 0 if budget is None else parse_size(budget), self._method, seed, data)
        self._laid = groundwork
        self._plan()

    def _plan(self) -> None:
        """Count bytes first: a budget that the paper's methods cannot meet is refused before anything is computed."""
        checkpoint, method, carried = self._checkpoint, self._method, self._vocabulary_bytes
        if isinstance(method, XLightFM):
            self._space = SearchSpace(checkpoint, method.space, self._origin, vocabulary_bytes=carried)
            self.plan, self.largest_bytes = None, self._space.largest_bytes
            return
        if isinstance(method, LightFM):
            self.plan = plan_lightfm(checkpoint, method, self._origin, vocabulary_bytes=carried)
            self._origin = replace(self._origin, budget_bytes=self._origin.budget_bytes or self.plan.file_bytes)
        elif (planner := self._groundwork.planner) is not None:
            self.plan = planner.plan(self._origin, vocabulary_bytes=carried)
        else:
            raise UsageError("the groundwork was laid for another method")
        self.largest_bytes = self.plan.largest_bytes

    @property
    def _groundwork(self) -> Groundwork:
        """What does not depend on the budget, laid when it is first needed."""
        if self._laid is None:
            self._laid = Groundwork(
                self._checkpoint, self._data, method=self._method, seed=self._origin.seed, progress=self._progress
            )
        return self._laid

    def run(self, tuning: TuneOptions | None = None, journal: Journal | None = None) -> CompressedFM:
        """Return the compressed model, searched and tuned where there is data.

        Args:
            tuning: how to tune.
            journal: keeps the state and the history of the run; see ``open_journal``.

        Raises:
            UsageError: a setting makes no sense.
            DataError: the rows cannot be used.
            OutputError: the journal cannot be written.
            StateError: the journal's state cannot be gone on from.
        """
        tuning, journal = replace(tuning or TuneOptions(), seed=self._origin.seed), journal or Journal()
        counts = self._groundwork.counts
        if isinstance(self._method, XLightFM) and self._data is not None and counts is not None:
            self.plan = self._searched(self._data, counts, self._method.search, tuning, journal)
        if self.plan is None:
            raise UsageError(f"method {self._method.name} cannot do without data")
        model = pack_model(self._carried_out(self.plan), self._origin)
        if self._data is not None:
            model = self._tuned(model, self._data, tuning, journal)
        return with_vocabulary(model, self._vocabulary)

    def _carried_out(self, plan: Plan) -> QuantizedFM:
        """Make codebooks and codes; those of the paper's methods in its own metric."""
        return carry_out(
            self._groundwork.checkpoint,
            self._groundwork.sensitivity,
            plan.quantizers,
            seed=self._origin.seed,
            tiers=plan.tiers,
            metric=plan.metrics or "euclidean",
            prices=plan.prices,
            progress=self._progress,
        )

    def _searched(
        self,
        data: TuningData,
        counts: npt.NDArray[np.int64],
        options: SearchOptions,
        tuning: TuneOptions,
        journal: Journal,
    ) -> Plan:
        from fmcompress.methods.xlightfm.search import SearchStart, search

        space = self._space
        tiers = Tiers.none(self._checkpoint.schema)
        models = [self._carried_out(Plan(tiers, tuple(quantizers), 0, 0)) for quantizers in space.by_candidate()]
        start = SearchStart(self._checkpoint, counts, models, space, self._origin)
        choices = search(
            start,
            data.rows,
            data.valid,
            options,
            tuning=tuning,
            progress=self._progress,
            journal=journal,
        )
        file_bytes = space.file_bytes(choices)
        self._progress.note(f"searched: {space.described(choices)}, {file_bytes:,} bytes")
        return Plan(tiers, tuple(space.quantizers(choices)), file_bytes, self.largest_bytes)

    def _tuned(self, model: CompressedFM, data: TuningData, tuning: TuneOptions, journal: Journal) -> CompressedFM:
        from fmcompress.evaluation.scores import score_rows
        from fmcompress.finetune.tuner import tune

        source = score_rows(self._checkpoint, data.valid)
        untuned = score_rows(model, data.valid)
        self._progress.note(f"FM: validation {source}")
        self._progress.note(f"quantized: validation {untuned}")
        found = tune(
            model,
            data.rows,
            data.valid,
            teacher=self._groundwork.checkpoint,
            start=untuned,
            options=tuning,
            progress=self._progress,
            journal=journal,
            counts=self._groundwork.counts,
            sensitivity=self._groundwork.sensitivity,
        )
        journal.write(
            "end",
            {
                "bytes": found.state.file_bytes,
                "auc": found.scores.auc,
                "logloss": found.scores.logloss,
                "rmse": found.scores.rmse,
                "best_epoch": found.best_epoch,
                "epochs": found.epochs,
                "seconds": round(journal.seconds, 3),
            },
        )
        quality = {
            "source": _quality(source),
            "untuned": _quality(untuned),
            "artifact": _quality(found.scores),
        }
        header = replace(found.state.header, origin=replace(self._origin, quality=quality))
        return replace(found.state, header=header)


def _quality(scores: Scores) -> Quality:
    return Quality(scores.rows, scores.auc, scores.logloss, scores.rmse)
