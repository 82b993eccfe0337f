"""The files that a sweep writes: an artifact for each budget, and a plot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fmcompress.files import check_apart, check_writable
from fmcompress.reporting.curve import Curve
from fmcompress.serve.compressed_fm import CompressedFM


@dataclass(frozen=True)
class CurveFiles:
    """Where a sweep writes to; all is checked before anything is computed, and written after all is.

    Attributes:
        folder: where the artifacts go, made if it is not there; None keeps none.
        stem: what their names begin with.
        plot: file of the plot; None draws none.
        force: replace files that exist.
    """

    folder: Path | None = None
    stem: str = "fm"
    plot: Path | None = None
    force: bool = False

    def artifact(self, folder: Path, budget_bytes: int) -> Path:
        """Return the file of the artifact for a budget."""
        return folder / f"{self.stem}-{budget_bytes}.safetensors"

    def check(self, budgets: Iterable[int], inputs: Iterable[str | Path]) -> None:
        """Raise what writing would raise at the end.

        Args:
            budgets: sizes that artifacts are made for, in bytes.
            inputs: files that the job reads, which none of these may be.

        Raises:
            UsageError: the name of the plot is none.
            DependencyError: there is nothing to draw with.
            OutputError: a file cannot be written, exists, or is an input.
        """
        inputs = list(inputs)
        if self.plot is not None:
            from fmcompress.reporting.plot import check_plot

            check_apart(self.plot, inputs)
            check_plot(self.plot, force=self.force)
        if self.folder is None:
            return
        if not self.folder.exists():
            check_writable(self.folder)  # it can be made
            return
        for path in (self.artifact(self.folder, budget_bytes) for budget_bytes in budgets):
            check_apart(path, inputs)
            check_writable(path, force=self.force)

    def write(self, curve: Curve, models: Mapping[int, CompressedFM]) -> None:
        """Write the artifacts, by their budgets, and the plot.

        Raises:
            OutputError: a file cannot be written.
        """
        if self.folder is not None:
            _make(self.folder)
            for budget_bytes, model in models.items():
                model.save(self.artifact(self.folder, budget_bytes), force=self.force)
        if self.plot is not None:
            from fmcompress.reporting.plot import save_plot

            save_plot(curve, self.plot, force=self.force)


def _make(folder: Path) -> None:
    if not folder.exists():
        check_writable(folder)
        folder.mkdir()
