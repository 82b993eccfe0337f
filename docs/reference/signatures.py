"""Signatures as the source has them: with the names of types, and of the defaults."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import is_dataclass

_LINE = 100


def signature_of(public: type | Callable[..., object]) -> str:
    """Return how a function is called, or an object of a dataclass is made.

    Args:
        public: the function, or the class.
    """
    tree = _definition(public)
    if isinstance(tree, ast.FunctionDef):
        return _written(tree.name, _parameters(tree.args), f" -> {ast.unparse(tree.returns)}" if tree.returns else "")
    if isinstance(tree, ast.ClassDef):
        return _written(tree.name, [field for one in _with_bases(public) for field in _fields(one)], "")
    raise TypeError(f"{public!r} is neither a function nor a class")


def method_signature(method: Callable[..., object]) -> str:
    """Return how a method is called, without its types.

    Args:
        method: a function of a class.
    """
    tree = _definition(method)
    if not isinstance(tree, ast.FunctionDef):
        raise TypeError(f"{method!r} is no method")
    for arg in (*tree.args.args, *tree.args.kwonlyargs):
        arg.annotation = None
    return _written(tree.name, _parameters(tree.args)[1:], "")


def _definition(public: type | Callable[..., object]) -> ast.stmt:
    return ast.parse(textwrap.dedent(inspect.getsource(public))).body[0]


def _written(name: str, parameters: Sequence[str], result: str) -> str:
    line = f"{name}({', '.join(parameters)}){result}"
    if len(line) <= _LINE:
        return line
    return f"{name}(\n" + "".join(f"    {text},\n" for text in parameters) + f"){result}"


def _parameters(args: ast.arguments) -> list[str]:
    """Return the parameters as they are written, ``*`` where the rest has to be named."""
    required = len(args.args) - len(args.defaults)
    defaults = [*[None] * required, *args.defaults]
    plain = [_declared(arg.arg, arg.annotation, value) for arg, value in zip(args.args, defaults, strict=True)]
    pairs = zip(args.kwonlyargs, args.kw_defaults, strict=True)
    named = [_declared(arg.arg, arg.annotation, value) for arg, value in pairs]
    return [*plain, "*", *named] if named else plain


def _with_bases(public: object) -> list[ast.ClassDef]:
    """Return a class behind those dataclasses that it inherits fields from."""
    bases = [base for base in reversed(inspect.getmro(public)) if is_dataclass(base)] if inspect.isclass(public) else []
    trees = [_definition(base) for base in bases or [public]]  # type: ignore[list-item]
    return [tree for tree in trees if isinstance(tree, ast.ClassDef)]


def _fields(tree: ast.ClassDef) -> list[str]:
    """Return the fields of a dataclass; what belongs to the class is none."""
    found = [node for node in tree.body if isinstance(node, ast.AnnAssign)]
    return [
        _declared(ast.unparse(node.target), node.annotation, node.value)
        for node in found
        if not ast.unparse(node.annotation).startswith("ClassVar")
    ]


def _declared(name: str, annotation: ast.expr | None, value: ast.expr | None) -> str:
    typed, equals = (f"{name}: {ast.unparse(annotation)}", " = ") if annotation else (name, "=")
    return typed if value is None else f"{typed}{equals}{_value(value)}"


def _value(node: ast.expr) -> str:
    """Return a default as it is written; that of a factory is what it makes, and texts have the quotes of the code."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "field":
        made = {word.arg: word.value for word in node.keywords}
        return f"{ast.unparse(made['default_factory'])}()"
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return f'"{node.value}"'
    return ast.unparse(node)
