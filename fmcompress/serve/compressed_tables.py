"""Tables of vectors of any model, compressed, as users have them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from fmcompress.arguments import checked_arguments
from fmcompress.artifact.header import NO_MACHINE
from fmcompress.artifact.io import save
from fmcompress.artifact.packed import PackedTables
from fmcompress.errors import UsageError
from fmcompress.serve.vector_table import WithTables


@dataclass(frozen=True, eq=False)
class CompressedTables(WithTables, PackedTables):
    """Tables of vectors within a byte budget: ``tables.table("user")[ids]``.

    Attributes:
        header: tables, tiers, quantizers and origin.
        values: codebooks and raw vectors in fp16, scales of those in int8, tier by tier, float16 (values,).
        codes: tiers, what is stored in int8 and fp32, and bit streams of codes, tier by tier, uint8 (bytes,).
        axes: of the tables that have any, one after the other, float16 (numbers,).
    """

    @classmethod
    @checked_arguments
    def of(cls, packed: PackedTables) -> CompressedTables:
        """Return packed tables that can be looked up; the arrays are shared."""
        return cls(packed.header, packed.values, packed.codes, packed.axes)

    @checked_arguments
    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write the artifact; see ``fmcompress.artifact.save``."""
        save(self, path, force=force)

    def predict(self, *_: Any, **__: Any) -> NoReturn:
        """Raise UsageError: a factorization machine predicts, tables do not."""
        raise UsageError(f"the artifact {NO_MACHINE}", hint="table(name)[ids] returns vectors")
