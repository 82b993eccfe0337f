"""The reference of the Python package: every public name, by what it is for."""

from __future__ import annotations

import inspect
from functools import cached_property

import fmcompress as fc
from docs.reference.docstrings import as_markdown, first_line
from docs.reference.signatures import method_signature, signature_of

GROUPS = {
    "Checkpoints": ("load_checkpoint", "save_checkpoint", "FMCheckpoint"),
    "Fields and vocabularies": (
        "parse_fields",
        "Schema",
        "Field",
        "SharedField",
        "NumericField",
        "NumericWeights",
        "read_vocabulary",
        "Vocabulary",
        "Pooling",
        "FieldVocabulary",
        "FieldKeys",
        "HashedKeys",
        "key_order",
    ),
    "Compressing": ("quantize", "sweep", "Curve"),
    "Embedding tables of other models": (
        "load_tables",
        "EmbeddingTables",
        "quantize_tables",
        "CompressedTables",
        "VectorTable",
        "TablesReport",
    ),
    "Artifacts": ("load", "CompressedFM", "Bag", "export_onnx"),
    "Size and quality": ("report", "Report", "compare", "Comparison", "evaluate", "Scores", "check", "Verdict"),
    "Settings of methods": ("Auto", "LightFM", "XLightFM", "SpaceOptions", "SearchOptions"),
    "Settings of the tuning": ("TuneOptions", "ReassignOptions", "MovingOptions"),
    "Errors": (
        "FMCompressError",
        "FMCompressWarning",
        "UsageError",
        "CheckpointError",
        "DataError",
        "ArtifactError",
        "OutputError",
        "StateError",
        "BudgetError",
        "DependencyError",
    ),
}
"""Where each public name stands in the reference; `__version__` stands above it."""


def python_reference() -> str:
    """Return the reference as Markdown.

    Raises:
        LookupError: the groups and the public names of the package differ.
    """
    grouped = {name for names in GROUPS.values() for name in names} | {"__version__"}
    if differing := sorted(grouped ^ set(fc.__all__)):
        raise LookupError(f"GROUPS in {__name__} and fmcompress.__all__ differ: {', '.join(differing)}")
    sections = [f"### {title}\n\n{_section(names)}" for title, names in GROUPS.items()]
    return "\n" + "\n\n".join(sections) + "\n"


def _section(names: tuple[str, ...]) -> str:
    found = [getattr(fc, name) for name in names]
    if all(inspect.isclass(public) and issubclass(public, Exception) for public in found):
        return "\n".join(_error(public) for public in found)
    return "\n\n".join(_entry(public) for public in found)


def _error(error: type[Exception]) -> str:
    line = f"- `{error.__name__}`: {first_line(error.__doc__)}"
    attributes = as_markdown(error.__doc__ or "").split("Attributes:\n\n")[1:]
    return line + "".join("\n" + "\n".join(f"  {row}" for row in text.splitlines()) for text in attributes)


def _entry(public: type) -> str:
    parts = [f"#### {public.__name__}", f"```py\n{signature_of(public)}\n```", as_markdown(public.__doc__ or "")]
    if inspect.isclass(public) and (members := _members(public)):
        parts.append("Methods and properties:\n\n" + "\n".join(members))
    return "\n\n".join(parts)


def _members(public: type) -> list[str]:
    """Return a line for each property and method, but those of an interface that the library calls."""
    called = {name for base in public.__mro__[1:] if inspect.isabstract(base) for name in vars(base)}
    members: dict[str, object] = {}
    for base in reversed(public.__mro__):
        if base.__module__.startswith("fmcompress"):
            members |= vars(base)
    lines = []
    for name, member in members.items():
        if name.startswith("_") or name in called:
            continue
        if isinstance(member, property):
            lines.append(f"- `{name}`: {first_line(member.fget.__doc__)}")
        elif isinstance(member, cached_property):
            lines.append(f"- `{name}`: {first_line(member.func.__doc__)}")
        elif isinstance(member, classmethod):
            function = member.__func__
            lines.append(f"- `{public.__name__}.{method_signature(function)}`: {first_line(function.__doc__)}")
        elif inspect.isfunction(member):
            lines.append(f"- `{method_signature(member)}`: {first_line(member.__doc__)}")
    return lines
