"""Checks JSON against the schemas in ``docs``, closed: a key that a schema does not tell of is an error, too."""

import json
from pathlib import Path

from jsonschema import Draft202012Validator

DOCS = Path(__file__).parents[1] / "docs"

_KEYWORDS = {*Draft202012Validator.VALIDATORS, "$schema", "$defs", "title", "description"}


def schema(kind):
    """Return the schema of a command's JSON."""
    return json.loads((DOCS / f"{kind}.schema.json").read_text(encoding="utf-8"))


def problems(value, rules):
    """Return what is wrong with a value: what its schema forbids, and keys that the schema does not tell of."""
    Draft202012Validator.check_schema(rules)
    errors = Draft202012Validator(_closed(rules)).iter_errors(value)
    return [f"{error.json_path}: {error.message}" for each in errors for error in (each, *each.context)]


def _closed(rules):
    """Return a schema whose objects have no other keys; a keyword that JSON Schema does not have is a slip of ours."""
    assert rules.keys() <= _KEYWORDS, rules.keys() - _KEYWORDS
    found = {"additionalProperties": False} | rules if "properties" in rules else dict(rules)
    for key, value in rules.items():
        if key in ("properties", "$defs"):
            found[key] = {name: _closed(each) for name, each in value.items()}
        elif key == "anyOf":
            found[key] = [_closed(each) for each in value]
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            found[key] = _closed(value)
    return found
