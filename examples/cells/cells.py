"""Cells: what is made once and kept, each in a file of its own whose name tells all its settings apart."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fmcompress as fc

if TYPE_CHECKING:
    from work import Recipe

PARTS = ("train", "valid", "test")
_KEY_DIGITS = 12
_CHUNK_BYTES = 2**20


@dataclass(frozen=True)
class Cell:
    """One result.

    Attributes:
        data: name of the data set.
        label: what it is, for people and file names, such as ``lightfm-256``.
        recipe: how it is made.
        seed: of everything in it.
    """

    data: str
    label: str
    recipe: Recipe
    seed: int = 0

    @property
    def name(self) -> str:
        """Name for people, and to choose cells by; cells of other settings may have the same."""
        return f"{self.data}-{self.label}-seed{self.seed}"


@dataclass
class Place:
    """Where data are and results are kept.

    Attributes:
        data: folder of the sets, each a folder of ``train.parquet``, ``valid.parquet`` and ``test.parquet``.
        work: folder of results, checkpoints, artifacts, histories and states of what was broken off.
    """

    data: Path
    work: Path
    _digests: dict[Path, str] = field(default_factory=dict)
    _keys: dict[Cell, str] = field(default_factory=dict)

    def part(self, data: str, part: str) -> Path:
        """Return the file of a part of a set."""
        return self.data / data / f"{part}.parquet"

    def key(self, cell: Cell) -> str:
        """Return a digest of all that a cell's result depends on: data, seed, settings, cells that it starts from."""
        if cell not in self._keys:
            self._keys[cell] = hashlib.sha256(json.dumps(self.settings(cell), sort_keys=True).encode()).hexdigest()
        return self._keys[cell][:_KEY_DIGITS]

    def settings(self, cell: Cell) -> dict[str, Any]:
        """Return what the key of a cell is taken of; defaults that were not given are in it too."""
        return {
            "data": {part: self.digest(self.part(cell.data, part)) for part in PARTS},
            "fmcompress": fc.__version__,
            "seed": cell.seed,
            "recipe": self._described(cell.recipe),
        }

    def _described(self, value: Any) -> Any:
        if isinstance(value, Cell):
            return {"cell": value.name, "key": self.key(value)}
        if is_dataclass(value):
            own = {each.name: self._described(getattr(value, each.name)) for each in fields(value)}
            return {"kind": type(value).__name__, **own}
        return [self._described(each) for each in value] if isinstance(value, tuple) else value

    def digest(self, path: Path) -> str:
        """Return the SHA-256 of a file; each is read once."""
        if path not in self._digests:
            digest = hashlib.sha256()
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    digest.update(chunk)
            self._digests[path] = digest.hexdigest()
        return self._digests[path]

    def given(self, data: str, backbone: str, seed: int) -> Path | None:
        """Return a checkpoint that takes the place of one that would be trained, where there is one."""
        path = self.work / f"{data}-{backbone}-seed{seed}.pt"
        return path if path.exists() else None

    def file(self, cell: Cell, suffix: str) -> Path:
        """Return a file of a cell."""
        return self.work / f"{cell.name}-{self.key(cell)}{suffix}"

    def result(self, cell: Cell) -> dict[str, Any] | None:
        """Return the result of a cell, None where it is not there yet."""
        path = self.file(cell, ".json")
        found: dict[str, Any] | None = json.loads(path.read_text())["result"] if path.exists() else None
        return found

    def keep(self, cell: Cell, result: dict[str, Any]) -> None:
        """Keep the result of a cell, beside all its settings; a failure before is forgotten."""
        unfinished = self.file(cell, ".json.part")
        unfinished.write_text(
            json.dumps({"name": cell.name, "settings": self.settings(cell), "result": result}, indent=1)
        )
        unfinished.rename(self.file(cell, ".json"))
        self.file(cell, ".failed").unlink(missing_ok=True)

    def fail(self, cell: Cell, why: str) -> None:
        """Keep why a cell failed; it is tried again the next time."""
        self.file(cell, ".failed").write_text(why + "\n")

    def failure(self, cell: Cell) -> str | None:
        """Return why a cell failed when it was last tried, None where it did not."""
        path = self.file(cell, ".failed")
        return path.read_text().strip() if path.exists() and self.result(cell) is None else None
