"""Fields as text, the way users write and tools ask for them: ``user:6040,clicked=user,price:numeric``."""

from collections.abc import Mapping, Sequence

from fmcompress.arguments import checked_arguments
from fmcompress.errors import UsageError
from fmcompress.fm.pooling import is_pooling, parse_pooling
from fmcompress.fm.schema import Field, NumericField, Schema, SharedField

Fields = Schema | str | Mapping[str, int | str] | Sequence[Field | SharedField | NumericField | tuple[str, int | str]]
"""The forms in which fields can be given."""

_MAX_DIGITS = 20
_HINT = (
    "user:6040,movie:3706 and so on; name:numeric for numbers, name=other for a shared table, "
    "name:size:mean for several values in a row"
)
_NUMERIC = {"numeric": False, "linear": True}
"""What stands in place of a size for numeric fields, and whether they enter the linear term alone."""


@checked_arguments
def parse_fields(text: str) -> Schema:
    """Return the schema that ``name:size,name:size,…`` describes, in the order of the model's rows.

    ``name:numeric`` is a numeric field, ``name:linear`` one that enters the linear term alone, and ``name=other`` a
    field that shares the table of ``other``. ``name:size:mean`` and ``name=other:mean`` are fields with several values
    in a row; see ``Pooling`` for what may stand in place of ``mean``.

    Raises:
        UsageError: a part is none of these, or the fields make no schema.
    """
    return Schema.in_order(_field(part.strip()) for part in text.split(","))


def as_fields(fields: Fields) -> Schema:
    """Return the schema of fields in any form in which they can be given.

    Args:
        fields: a schema; a text as ``parse_fields`` reads it; or sizes by name, as a dict or as pairs, in which a size
            may also be a text, ``numeric``, ``6040:mean`` or ``=other``.

    Raises:
        UsageError: it is none of these, or they make no schema.
    """
    if isinstance(fields, Schema):
        return fields
    if isinstance(fields, str):
        return parse_fields(fields)
    pairs = list(fields.items()) if isinstance(fields, Mapping) else fields
    if not isinstance(pairs, list | tuple):
        raise UsageError(
            f"fields are {type(fields).__name__}, expected a Schema, a text, a dict or pairs", hint=f"write {_HINT}"
        )
    return Schema.in_order(_field_of(pair) for pair in pairs)


def _field_of(pair: object) -> Field | SharedField | NumericField:
    if isinstance(pair, Field | SharedField | NumericField):
        return pair
    if isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str):
        name, size = pair
        if isinstance(size, int) and not isinstance(size, bool):
            return Field(name, size)
        if isinstance(size, str):
            return _field(f"{name}{size}" if size.startswith("=") else f"{name}:{size}")
    raise UsageError(f"field {pair!r} is no pair of a name and a size", hint=f"write {_HINT}")


def format_fields(schema: Schema) -> str:
    """Return the text that ``parse_fields`` reads as these fields, but for PAD."""
    return ",".join(map(_spec, schema.all_fields))


def _spec(field: Field | SharedField | NumericField) -> str:
    if isinstance(field, NumericField):
        return f"{field.name}:{'linear' if field.linear_only else 'numeric'}"
    pooling = "" if field.pooling is None else f":{field.pooling}"
    if isinstance(field, SharedField):
        return f"{field.name}={field.table}{pooling}"
    return f"{field.name}:{field.cardinality}{pooling}"


def _field(part: str) -> Field | SharedField | NumericField:
    name, colon, size = part.rpartition(":")
    if colon and size in _NUMERIC:
        return NumericField(name, _NUMERIC[size])
    pooling = None
    rest = part
    if colon and is_pooling(size):
        rest, pooling = name, parse_pooling(size)
        name, colon, size = rest.rpartition(":")
    if colon and size.isascii() and size.isdecimal() and len(size) <= _MAX_DIGITS:
        return Field(name, int(size), pooling=pooling)
    name, equals, table = rest.partition("=")
    if equals and not colon:
        return SharedField(name, table, pooling)
    raise UsageError(
        f"field {part!r} is not name:size",
        hint=f"write --fields {_HINT}",
    )
