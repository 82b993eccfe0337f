"""What a checkpoint holds, as text, JSON and Markdown."""

from dataclasses import asdict

from fmcompress.checkpoints.inspection import InspectedField, Inspection
from fmcompress.checkpoints.reading_errors import listed_all
from fmcompress.reporting.document import (
    NOTHING,
    Block,
    Table,
    facts_table,
    json_document,
    markdown_document,
    plain_document,
)
from fmcompress.sizes import format_size


def to_json(found: Inspection) -> str:
    """Return what a checkpoint holds as JSON, two spaces a level."""
    return json_document("inspect", asdict(found))


def to_text(found: Inspection) -> str:
    """Return what a checkpoint holds as plain text."""
    return plain_document(_blocks(found))


def to_markdown(found: Inspection) -> str:
    """Return what a checkpoint holds as Markdown."""
    return markdown_document(_blocks(found))


def _blocks(found: Inspection) -> list[Block]:
    facts = [
        ("tool", found.tool),
        ("file", f"{found.name}, {format_size(found.file_bytes)}, SHA-256 {found.sha256}"),
        *([("container", found.container)] if found.container else []),
        ("fields", f"{len(found.fields)}, with {found.categories:,} categories"),
        ("embedding size", str(found.dim)),
        ("weights", f"{found.parameters:,}, in fp32 {format_size(found.fp32_bytes)}"),
        *([("network", found.network)] if found.network else []),
        ("link", found.link),
        ("vocabulary", _vocabulary(found)),
        ("counts", "yes" if found.counts else "no: without --train all categories count the same"),
    ]
    if found.also:
        facts.append(("also in it", listed_all(found.also)))
    head = ("field", "kind", "categories", "PAD", "tokens", "unknown token", "null")
    return [facts_table(facts), Table(head, [_row(field) for field in found.fields], left=2)]


def _vocabulary(found: Inspection) -> str:
    if not found.vocabulary:
        return "no: data must hold category ids, or --vocab gives one"
    own = [field for field in found.fields if field.table is None]
    tokens, keys = (sum(getattr(field, name) or 0 for field in own) for name in ("tokens", "keys"))
    sizes = sum(field.key_bytes or 0 for field in own)
    parts = [f"{tokens:,} tokens"] if tokens or not keys else []
    if keys:
        parts.append(f"{keys:,} keys, which take {format_size(sizes)} in a file, {8 * sizes / keys:.1f} bits each")
    return f"yes: {' and '.join(parts)}"


def _row(field: InspectedField) -> tuple[str, ...]:
    return (
        field.name,
        (field.kind if field.table is None else f"shares {field.table}")
        + (f", {field.pooling}" if field.pooling else ""),
        NOTHING if field.cardinality is None else f"{field.cardinality:,}",
        NOTHING if field.pad is None else f"id {field.pad}",
        _known(field),
        NOTHING if _known(field) == NOTHING else "error" if field.oov is None else f"id {field.oov}",
        "nothing" if field.null is None else f"id {field.null}",
    )


def _known(field: InspectedField) -> str:
    return (
        f"{field.keys:,} keys" if field.keys is not None else NOTHING if field.tokens is None else f"{field.tokens:,}"
    )
