"""The table of baselines, and running them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from fmcompress.baselines.binary_codes import binary_code_fms
from fmcompress.baselines.contrastive_codes import contrastive_code_fms
from fmcompress.baselines.deep_hash import deep_hash_fms
from fmcompress.baselines.integers import INT4, INT8
from fmcompress.baselines.mixed_dimensions import mixed_dimension_fms
from fmcompress.baselines.mixed_precision import mixed_precision_fms
from fmcompress.baselines.product_quantization import equal_codebooks, searched_codebooks, untuned_codebooks
from fmcompress.baselines.quotient_remainder import quotient_remainder_fms
from fmcompress.baselines.rowwise import rowwise_int4
from fmcompress.baselines.shared_tail import shared_tail_fms
from fmcompress.baselines.shaver import shaved_fms
from fmcompress.baselines.smaller import integer_fms, pruned_fms, smaller_fms
from fmcompress.baselines.task import BaselineOptions, BaselinePoint, Task
from fmcompress.data.rows import TuningData
from fmcompress.errors import UsageError
from fmcompress.evaluation.calibrating import calibrated_on
from fmcompress.finetune.options import MovingOptions
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.progress import SILENT, Progress
from fmcompress.sizes import format_size


@dataclass(frozen=True)
class Baseline:
    """One row of the table of baselines.

    Attributes:
        key: its name on the way in.
        points: makes its points of its key and a task.
        sized: whether it makes a point for each budget; the others come in the sizes that they have.
    """

    key: str
    points: Callable[[str, Task], Iterator[BaselinePoint]]
    sized: bool


BASELINES = (
    Baseline("smaller-fm", smaller_fms, sized=False),
    Baseline("smaller-fm-int8", partial(integer_fms, integers=INT8), sized=False),
    Baseline("smaller-fm-int4", partial(integer_fms, integers=INT4), sized=False),
    Baseline("rowwise-int4", rowwise_int4, sized=False),
    Baseline("pruning", pruned_fms, sized=True),
    Baseline("shared-tail", shared_tail_fms, sized=True),
    Baseline("mpe", mixed_precision_fms, sized=True),
    Baseline("mec", contrastive_code_fms, sized=True),
    Baseline("shaver", shaved_fms, sized=True),
    Baseline("dfm", binary_code_fms, sized=True),
    Baseline("qr", quotient_remainder_fms, sized=True),
    Baseline("md", mixed_dimension_fms, sized=True),
    Baseline("dhe", deep_hash_fms, sized=True),
    Baseline("uniform-pq", untuned_codebooks, sized=True),
    Baseline("authors", partial(equal_codebooks, moving=None), sized=True),
    Baseline("lightfm", partial(equal_codebooks, moving=MovingOptions()), sized=True),
    Baseline("xlightfm", searched_codebooks, sized=True),
)
"""One row per baseline."""


def run_baselines(
    names: Sequence[str],
    source: FMCheckpoint,
    data: TuningData,
    budgets: Sequence[int],
    options: BaselineOptions | None = None,
    progress: Progress = SILENT,
) -> Iterator[BaselinePoint]:
    """Return the points of baselines, each made when it is asked for; smaller FMs are trained once for all.

    Args:
        names: keys of the table.
        source: the factorization machine that is compressed.
        data: rows to train and tune on.
        budgets: sizes that files must not exceed, in bytes; those that a baseline cannot meet are left out.
        options: how to train and tune.
        progress: told of each step.

    Raises:
        UsageError: there is no such baseline.
        DataError: the rows cannot be used.
    """
    table = {baseline.key: baseline for baseline in BASELINES}
    for name in names:
        if name not in table:
            raise UsageError(f"baseline is {name!r}, expected {', '.join(table)}")
    task = Task(source, data, tuple(budgets), options or BaselineOptions(), progress)
    return _points([table[name] for name in names], task)


def _points(baselines: Sequence[Baseline], task: Task) -> Iterator[BaselinePoint]:
    for baseline in baselines:
        for point in baseline.points(baseline.key, task):
            task.progress.note(f"{point.baseline}: {point.name}, {format_size(point.file_bytes)}")
            yield _calibrated(point, task)


def _calibrated(point: BaselinePoint, task: Task) -> BaselinePoint:
    """Return a point with the two numbers that calibrate its logits on validation data: steps and the bias hold them.

    A compressed factorization machine is calibrated where it is made.
    """
    model = point.model
    return replace(point, model=calibrated_on(model, task.data.valid)) if isinstance(model, FMCheckpoint) else point
