"""``fmcompress quantize --tables``: embedding tables of any other model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from fmcompress.errors import UsageError

from .exits import interruptible

if TYPE_CHECKING:
    from fmcompress.progress import Progress


@dataclass(frozen=True)
class TablesGroup:
    """That a checkpoint is taken as tables, and what it does not tell of them."""

    PANEL: ClassVar[str] = "Embedding tables of any model"
    tables: Annotated[
        bool,
        typer.Option(
            "--tables",
            help="Take CHECKPOINT as the embedding tables of any model, of torch, safetensors or .npz; no data are "
            "needed.",
        ),
    ] = False
    tables_keys: Annotated[
        str | None,
        typer.Option(
            "--tables-keys",
            metavar="KEY,…",
            help="Which keys are tables, where that is not clear: KEY, NAME=KEY, or patterns such as 'emb.*' or "
            "'emb.{table}.weight'.",
        ),
    ] = None
    counts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="How often each row is looked up, a vector for each table by its name. Default: keys NAME.counts of "
            "CHECKPOINT.",
        ),
    ] = None

    def check(self, machine: Mapping[str, object]) -> None:
        """Raise where options do not fit together.

        Args:
            machine: options of factorization machines alone that are given, by name.
        """
        if self.tables:
            given = [name for name, value in machine.items() if value]
            if given:
                raise UsageError(f"{given[0]} is for factorization machines, not for --tables", hint="leave it out")
            return
        for name, value in (("--tables-keys", self.tables_keys), ("--counts", self.counts)):
            if value is not None:
                raise UsageError(f"{name} without --tables", hint="add --tables")


@dataclass(frozen=True)
class TablesRun:
    """One run of ``quantize --tables``.

    Attributes:
        checkpoint: the file that the tables are in.
        target: file to write.
        given: what is said of the tables.
        key: where they are in a file that holds several models.
        budget_bytes: size of the artifact at most; None where it is not given.
        seed: of k-means.
        dry_run: whether it only plans.
        force: whether an existing file is replaced.
    """

    checkpoint: Path
    target: Path
    given: TablesGroup
    key: str | None
    budget_bytes: int | None
    seed: int
    dry_run: bool
    force: bool

    def carry_out(self, progress: Progress) -> str:
        """Write the artifact, or only plan it, and return what to say of it."""
        from fmcompress.files import check_apart
        from fmcompress.sizes import format_size
        from fmcompress.tables.files import load_tables
        from fmcompress.tables.quantizing import TablesJob, make_plan, quantize

        if self.budget_bytes is None:
            raise UsageError("tables need a budget", hint="--budget 10MB")
        if self.given.counts is not None:
            check_apart(self.target, [self.given.counts])
        tables = load_tables(
            self.checkpoint, keys=self.given.tables_keys, key=self.key, counts=self.given.counts, progress=progress
        )
        job = TablesJob(tables, self.budget_bytes, self.seed, progress)
        with interruptible(lambda: None):
            plan = make_plan(job)
            if self.budget_bytes > plan.largest_bytes:
                largest = format_size(plan.largest_bytes)
                progress.note(f"the budget is larger than needed: the best artifact has {largest}")
            if self.dry_run:
                return f"{self.target} would have {self._size(plan.file_bytes, tables.fp32_bytes)}"
            found = quantize(job, plan)
            found.save(self.target, force=self.force)
        return f"{self.target} has {self._size(found.file_bytes, tables.fp32_bytes)}"

    @staticmethod
    def _size(file_bytes: int, fp32_bytes: int) -> str:
        from fmcompress.sizes import format_size

        return f"{format_size(file_bytes)}; the tables in fp32 have {fp32_bytes / file_bytes:.2f} times as much"
