"""The memory report of an artifact that holds tables of vectors: their bytes, and what was lost of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from fmcompress.arguments import checked_arguments
from fmcompress.artifact import Header
from fmcompress.artifact.file_sizes import FileSizes
from fmcompress.errors import UsageError
from fmcompress.fm.quantizer import HALF
from fmcompress.fm.schema import VectorField
from fmcompress.reporting.document import (
    NOTHING,
    Block,
    Paragraph,
    Table,
    facts_table,
    json_document,
    markdown_document,
    plain_document,
    workflow_command,
)
from fmcompress.reporting.report_data import FLOAT_BYTES, PARTS, FieldReport, field_reports
from fmcompress.reporting.sections import LONGEST_NAME, TOP, Options, largest, limited, source
from fmcompress.sizes import format_size
from fmcompress.text import shortened

_PARTS = ("codes_bytes", "codebook_bytes", "raw_bytes")
_HEAD = ("table", "stored as", "vectors", "size", "bits/row", "codes", "codebooks", "raw", "axes", "bytes", "share")
_HEAD_OF_LOSSES = ("RMS error", "cosine")


@dataclass(frozen=True)
class TableReport:
    """One table of an artifact, or one of its tiers.

    Attributes:
        name: its name.
        vectors: how many vectors it has.
        dim: size of its vectors.
        quantizer: how they are stored: ``raw``, ``shared``, or subspaces x codewords, with ``:8`` for int8 and ``:32``
            for fp32; of several tiers the names joined by ``+``.
        code_bits: bits of a vector's codes; of several tiers the most.
        codes_bytes: bytes of codes, and of the stream that tells the tiers.
        codebook_bytes: bytes of codebooks, and of their scales.
        raw_bytes: bytes of raw vectors, and of their scales.
        bytes: all of these, and of its axes.
        share: their share of the file.
        relative_error: root of the mean squared error over the root mean square of the table's vectors, each counted
            as often as it is looked up; of a tier, its part of the table's.
        cosine: mean cosine of vectors and their originals, counted so; None of a tier, and where it is not known.
        source_fp32_bytes: what it takes in fp32.
        axes_bytes: bytes of its own axes, along which its vectors are stored; 0 where it has none.
        table: the table that it is a copy of, and whose bytes are counted there; None for all others.
        zeros: ids of vectors that are zeros to the last bit, where they are listed.
        tiers: its tiers, with the same figures; empty where it is stored as a whole.
    """

    name: str
    vectors: int
    dim: int
    quantizer: str
    code_bits: int
    codes_bytes: int
    codebook_bytes: int
    raw_bytes: int
    bytes: int
    share: float
    relative_error: float
    cosine: float | None
    source_fp32_bytes: int
    axes_bytes: int = 0
    table: str | None = None
    zeros: tuple[int, ...] = ()
    tiers: tuple[TableReport, ...] = ()


@checked_arguments
@dataclass(frozen=True)
class TablesReport:
    """The memory report of an artifact that holds tables of vectors.

    Attributes:
        file_bytes: size of the file.
        budget_bytes: size that was asked for.
        header_bytes: of the file, the header.
        codes_bytes: of the file, the codes.
        codebook_bytes: of the file, the codebooks.
        raw_bytes: of the file, raw vectors.
        axes_bytes: of the file, the tables' own axes.
        source_fp32_bytes: the tables in fp32, copies left out.
        ratio: source_fp32_bytes over file_bytes.
        bits_per_weight: bits of the file per number of the tables.
        method: how the artifact was made.
        seed: its seed.
        source: tool, file name and SHA-256 of the model's file.
        libraries: versions of what made it.
        tables: the tables, in the order in which they were given.
    """

    file_bytes: int
    budget_bytes: int
    header_bytes: int
    codes_bytes: int
    codebook_bytes: int
    raw_bytes: int
    axes_bytes: int
    source_fp32_bytes: int
    ratio: float
    bits_per_weight: float
    method: str
    seed: int
    source: tuple[str, ...]
    libraries: dict[str, str]
    tables: tuple[TableReport, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data, ready for JSON."""
        return asdict(self)

    def to_json(self) -> str:
        """Return the report as JSON."""
        return self.shown("json")

    @checked_arguments
    def to_markdown(self, *, top: int | None = TOP) -> str:
        """Return the report as Markdown, with the ``top`` largest tables; None shows all."""
        return self.shown("markdown", Options(top=top))

    def to_text(self) -> str:
        """Return the report as plain text."""
        return self.shown("text")

    @checked_arguments
    def to_github(self, *, name: str = "") -> str:
        """Return the report as a workflow command of GitHub, which shows it as an annotation.

        Args:
            name: what the artifact is called.
        """
        return self.shown("github", Options(name=name))

    def shown(self, name: str, options: Options | None = None) -> str:
        """Return the report in a format.

        Args:
            name: of the format.
            options: what is asked for.

        Raises:
            UsageError: there is no such format of tables.
        """
        if name not in _FORMATS:
            raise UsageError(f"a report of tables cannot be a {name}", hint=f"expected {', '.join(_FORMATS)}")
        return _FORMATS[name](self, options or Options())


def tables_report(header: Header, sizes: FileSizes) -> TablesReport:
    """Return the report of an artifact that holds tables, from its header."""
    origin = header.origin
    file_bytes = sizes.file_bytes
    found = list(field_reports(header, sizes))
    sums = {name: sum(getattr(field, name) for field in found) for name in (*_PARTS, "source_fp32_bytes")}
    fp32_bytes = sums["source_fp32_bytes"]
    return TablesReport(
        file_bytes=file_bytes,
        budget_bytes=origin.budget_bytes,
        header_bytes=header.header_bytes,
        **sums,
        axes_bytes=sum(_axes_bytes(header).values()),
        ratio=fp32_bytes / file_bytes,
        bits_per_weight=8 * file_bytes / (fp32_bytes // FLOAT_BYTES),
        method=origin.method,
        seed=origin.seed,
        source=origin.source,
        libraries=dict(origin.libraries),
        tables=tuple(_tables(header, found, file_bytes)),
    )


def _axes_bytes(header: Header) -> dict[str, int]:
    """Return the bytes of the axes of each table that has any."""
    fields = zip(header.schema.fields, header.frame.vector_sizes, strict=True)
    return {field.name: HALF * size * size for field, size in fields if isinstance(field, VectorField) and field.axes}


def _tables(header: Header, found: Sequence[FieldReport], file_bytes: int) -> Iterator[TableReport]:
    schema = header.schema
    sizes = dict(zip(schema.names, header.frame.vector_sizes, strict=True))
    zeros = {field.name: field.zero_ids for field in schema.fields}
    known = header.origin.cosines
    cosines = dict(zip(schema.names, known, strict=True)) if len(known) == len(schema.names) else {}
    errors = {field.name: field.error for field in found}
    axes = _axes_bytes(header)
    for field in found:
        own = field.table or field.name
        figures = {"dim": sizes[own], "zeros": zeros[own], "relative_error": max(errors[own], 0.0) ** 0.5}
        more = axes.get(field.name, 0)
        figures |= {"axes_bytes": more, "bytes": field.bytes + more, "share": (field.bytes + more) / file_bytes}
        tiers = tuple(_table(tier, dim=sizes[own]) for tier in field.tiers)
        yield _table(field, **figures, cosine=cosines.get(own), table=field.table, tiers=tiers)


def _table(field: FieldReport, **figures: Any) -> TableReport:
    """Return the report of a table, or of a tier of it, of its figures as those of a field."""
    same = {one.name for one in fields(FieldReport)} & {one.name for one in fields(TableReport)}
    plain = {name: getattr(field, name) for name in same}
    usual = {"vectors": field.cardinality, "relative_error": max(field.error, 0.0) ** 0.5, "cosine": None}
    return TableReport(**{**plain, **usual, **figures})


def _blocks(report: TablesReport, *, top: int | None = None, longest: int | None = None) -> list[Block]:
    shown, left = largest(report.tables, top)
    more = f"and {len(left):,} more, {sum(table.bytes for table in left):,} bytes"
    return [
        facts_table(_facts(report)),
        _parts_table(report),
        _tables_table(shown, longest=longest),
        *([Paragraph([more])] if left else []),
    ]


def _facts(report: TablesReport) -> list[tuple[str, str]]:
    slack = report.budget_bytes - report.file_bytes
    return [
        ("file", format_size(report.file_bytes)),
        ("budget", f"{format_size(report.budget_bytes)}, {slack:,} left"),
        ("tables in fp32", f"{format_size(report.source_fp32_bytes)}, {report.ratio:.2f} times the file"),
        ("bits per number", f"{report.bits_per_weight:.3f}"),
        ("method", f"{report.method}, seed {report.seed}"),
        ("source", source(report.source)),
        ("made with", ", ".join(f"{name} {version}" for name, version in sorted(report.libraries.items()))),
    ]


def _parts_table(report: TablesReport) -> Table:
    sizes = {name: getattr(report, name) for name in (*_PARTS, "axes_bytes", "header_bytes")}
    names = {**PARTS, "raw_bytes": "raw vectors", "axes_bytes": "axes"}
    rows = [(names[name], f"{size:,}", f"{size / report.file_bytes:.1%}") for name, size in sizes.items()]
    return Table(("part", "bytes", "share"), [*rows, ("total", f"{report.file_bytes:,}", "100.0%")])


def _tables_table(tables: Sequence[TableReport], *, longest: int | None) -> Table:
    rows = [_cells(part, longest) for table in tables for part in (table, *table.tiers)]
    return Table((*_HEAD, *_HEAD_OF_LOSSES), rows, left=2)


def _cells(part: TableReport, longest: int | None) -> tuple[str, ...]:
    return (
        limited(part.name, longest),
        part.quantizer if part.table is None else f"copy of {limited(part.table, longest)}",
        f"{part.vectors:,}",
        str(part.dim),
        str(part.code_bits),
        *(f"{getattr(part, name):,}" for name in (*_PARTS, "axes_bytes", "bytes")),
        f"{part.share:.1%}",
        f"{part.relative_error:.2%}",
        NOTHING if part.cosine is None else f"{part.cosine:.4f}",
    )


def _to_json(report: TablesReport, options: Options) -> str:
    return json_document("tables", asdict(report))


def _to_text(report: TablesReport, options: Options) -> str:
    return plain_document(_blocks(report)) + "\n"


def _to_markdown(report: TablesReport, options: Options) -> str:
    return markdown_document(_blocks(report, top=options.top, longest=LONGEST_NAME), "Memory report") + "\n"


def _to_github(report: TablesReport, options: Options) -> str:
    left = report.budget_bytes - report.file_bytes
    title = f"Memory report of {shortened(options.name, 200)}" if options.name else "Memory report"
    worst = max(report.tables, key=lambda table: table.relative_error)
    lost = f"largest RMS error {worst.relative_error:.2%}, of {shortened(worst.name, 200)}"
    size = f"{format_size(report.file_bytes)}, {left:,} bytes left of the budget"
    return workflow_command("notice", title, f"{size}; {report.ratio:.2f} times smaller than in fp32; {lost}")


_FORMATS: dict[str, Callable[[TablesReport, Options], str]] = {
    "text": _to_text,
    "json": _to_json,
    "markdown": _to_markdown,
    "github": _to_github,
}
