"""As much of JSON Schema as the schemas in ``docs`` use; an unknown keyword is an error of theirs."""

import json
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"

_TYPES = {
    "object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "integer": int,
    "number": (int, float),
}  # fmt: skip
_KNOWN = {
    "$schema", "title", "description", "$defs", "$ref", "type", "required", "properties", "additionalProperties",
    "items", "enum", "const", "minimum", "anyOf",
}  # fmt: skip


def schema(kind):
    """Return the schema of a command's JSON."""
    return json.loads((DOCS / f"{kind}.schema.json").read_text(encoding="utf-8"))


def problems(value, rules, root=None, at="$"):
    """Return what is wrong with a value: what its schema forbids, and keys that the schema does not tell of."""
    root = root or rules
    assert rules.keys() <= _KNOWN, rules.keys() - _KNOWN
    if "$ref" in rules:
        return problems(value, root["$defs"][rules["$ref"].removeprefix("#/$defs/")], root, at)
    if "anyOf" in rules:
        every = [problems(value, each, root, at) for each in rules["anyOf"]]
        return [] if [] in every else every[0]
    wrong = list(_plain_problems(value, rules, at))
    if wrong or not isinstance(value, list | dict):
        return wrong
    if isinstance(value, dict):
        return _object_problems(value, rules, root, at)
    return [problem for n, item in enumerate(value) for problem in problems(item, rules["items"], root, f"{at}[{n}]")]


def _plain_problems(value, rules, at):
    if "const" in rules and value != rules["const"]:
        yield f"{at}: {value!r} is not {rules['const']!r}"
    elif "enum" in rules and value not in rules["enum"]:
        yield f"{at}: {value!r} is none of {rules['enum']}"
    elif "type" in rules and not _is(value, rules["type"]):
        yield f"{at}: {value!r} is no {rules['type']}"
    elif "minimum" in rules and value < rules["minimum"]:
        yield f"{at}: {value} is below {rules['minimum']}"


def _object_problems(value, rules, root, at):
    known, others = rules.get("properties", {}), rules.get("additionalProperties")
    found = [f"{at}: no {key}" for key in rules.get("required", ()) if key not in value]
    for key, item in value.items():
        if key in known:
            found += problems(item, known[key], root, f"{at}.{key}")
        elif others is None:
            found.append(f"{at}: {key} is not told of")
        else:
            found += problems(item, others, root, f"{at}.{key}")
    return found


def _is(value, types):
    types = types if isinstance(types, list) else [types]
    if isinstance(value, bool):
        return "boolean" in types
    return any(isinstance(value, _TYPES[name]) for name in types)
