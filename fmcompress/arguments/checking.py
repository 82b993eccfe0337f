"""Arguments held against the annotations of a function, before it begins.

Kept in place of a library such as beartype or pydantic, because it must import nothing and raise an error of ours; and
of types it needs a few only: plain values, paths, arrays, containers of them, and classes.
"""

from __future__ import annotations

import builtins
import inspect
import os
import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache, wraps
from itertools import islice
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from fmcompress.errors import UsageError

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])

_MOST_ITEMS = 1000
"""Items of a container that are looked at."""

_LONGEST_VALUE = 60
_WORDS: Mapping[object, str] = {
    str: "a text",
    bytes: "bytes",
    Path: "a path",
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    type(None): "None",
}
_KINDS_OF_NUMBERS = {"f": "f", "i": "iu", "u": "u", "b": "b"}
"""Which kinds of numpy's types may stand for one."""


def checked_arguments(decorated: _Decorated) -> _Decorated:
    """Let a function, or the constructor of a class, raise UsageError where an argument is of another type.

    Types are read from its annotations when it is first called. A name that is imported for type checkers alone stands
    for the classes of that name. What equals the default of a parameter is fine.
    """
    if isinstance(decorated, type):
        decorated.__init__ = _checked(decorated.__init__)  # type: ignore[misc]
        return decorated
    return _checked(decorated)


def _checked(function: _Decorated) -> _Decorated:
    @wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        kinds, order = _kinds(function)
        for name, value in (*zip(order, args, strict=False), *kwargs.items()):
            if name in kinds:
                kind, default = kinds[name]
                if value is not default and not _is(value, kind):
                    raise UsageError(f"{name} is {_shown(value)}, expected {_words(kind)}")
        return function(*args, **kwargs)

    return checked  # type: ignore[return-value]


@cache
def _kinds(function: Callable[..., Any]) -> tuple[dict[str, tuple[Any, Any]], tuple[str, ...]]:
    """Return type and default of each parameter that has a type, and the names of all in their order."""
    inner = inspect.unwrap(function)
    found = inspect.signature(inner, locals=_Names(inner.__globals__), eval_str=True).parameters
    return (
        {name: (one.annotation, one.default) for name, one in found.items() if one.annotation is not one.empty},
        tuple(found),
    )


class _ByName(type):
    """The type of classes that stand for all classes of their name, which need not be imported for that."""

    def __instancecheck__(cls, value: object) -> bool:
        return any(base.__name__ == cls.__name__ for base in type(value).__mro__)


class _Names(dict[str, Any]):
    """The names in annotations: those of a module, of Python, and those that only type checkers know."""

    def __init__(self, module: Mapping[str, Any]) -> None:
        super().__init__()
        self._module = module

    def __missing__(self, name: str) -> Any:
        if name in self._module:
            return self._module[name]
        return getattr(builtins, name) if hasattr(builtins, name) else _ByName(name, (), {})


_PLAIN: Mapping[object, Callable[[Any], bool]] = {
    None: lambda value: value is None,
    bool: lambda value: type(value).__name__ in ("bool", "bool_"),
    int: lambda value: isinstance(value, Integral) and not isinstance(value, bool),
    float: lambda value: isinstance(value, Real) and not isinstance(value, bool),
    Path: lambda value: isinstance(value, os.PathLike),
}
"""Types that stand for more or less than the classes of their names: numpy's numbers are numbers too."""


def _is(value: Any, kind: Any) -> bool:
    """Return whether a value is of a type, as annotations have it."""
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return any(_is(value, one) for one in get_args(kind))
    if origin is Literal:
        return isinstance(value, type(get_args(kind)[0]))
    if isinstance(origin, type):
        return _is_of(value, origin, get_args(kind))
    if kind in _PLAIN:
        return _PLAIN[kind](value)
    return kind is Any or not isinstance(kind, type) or isinstance(value, kind)


def _is_of(value: Any, origin: type, kinds: tuple[Any, ...]) -> bool:
    """Return whether a value is a container of items of types, an array of a type, or of a generic class."""
    if origin.__name__ == "ndarray":
        return type(value).__name__ in ("ndarray", "memmap") and _is_array(value, kinds)
    if issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(
            all(map(_is, item, kinds)) for item in islice(value.items(), _MOST_ITEMS)
        )
    if not issubclass(origin, Iterable):
        return isinstance(value, origin)
    return isinstance(value, Iterable) and not isinstance(value, str | bytes) and _is_list(value, origin, kinds)


def _is_list(value: Iterable[Any], origin: type, kinds: tuple[Any, ...]) -> bool:
    if hasattr(value, "dtype"):
        return False
    if not isinstance(value, Sequence):  # what it yields is looked at by whoever takes it
        return not issubclass(origin, Sequence) and not isinstance(value, Mapping)
    if issubclass(origin, tuple) and kinds[-1] is not Ellipsis:
        return len(value) == len(kinds) and all(map(_is, value, kinds))
    return all(_is(item, kinds[0]) for item in value[:_MOST_ITEMS])


def _is_array(value: Any, kinds: tuple[Any, ...]) -> bool:
    expected = next(iter(get_args(kinds[-1])), Any)
    if expected is Any:
        return True
    return any(value.dtype.kind in _KINDS_OF_NUMBERS.get(letter, letter) for letter in _letters(expected))


def _letters(number: type) -> Collection[str]:
    names = {base.__name__ for base in number.__mro__}
    return [letter for name, letter in _LETTERS.items() if name in names]


_LETTERS = {"floating": "f", "signedinteger": "i", "unsignedinteger": "u", "bool_": "b", "bool": "b"}


def _shown(value: Any) -> str:
    """Return a value for a message: itself where it is short, or its type."""
    name = type(value).__name__
    if not isinstance(value, str | bytes | bool | int | float | list | tuple | dict | None):
        return f"of type {name}"
    if len(value) > _LONGEST_VALUE if isinstance(value, str | bytes | list | tuple | dict) else False:
        return f"a {name}"
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE and text.isprintable() else f"a {name}"


def _words(kind: Any) -> str:
    """Return a type for a message."""
    options = list(dict.fromkeys(_word(one) for one in _flat(kind)))
    return ", ".join(options[:-1]) + (" or " if options[1:] else "") + options[-1]


def _flat(kind: Any) -> list[Any]:
    if get_origin(kind) in (Union, types.UnionType):
        return [one for each in get_args(kind) for one in _flat(each)]
    return [kind]


def _word(kind: Any) -> str:
    origin = get_origin(kind)
    if origin is Literal:
        return " or ".join(map(repr, get_args(kind)))
    if isinstance(origin, type):
        if origin.__name__ == "ndarray":
            number = next(iter(get_args(get_args(kind)[-1])), Any)
            return f"an array of {number.__name__}" if number is not Any else "an array"
        if issubclass(origin, Mapping):
            return "a dict"
        inner = [one for one in get_args(kind) if one is not Ellipsis]
        return f"a list of {' and '.join(map(_words, inner))}" if len(inner) == 1 else "pairs"
    return _WORDS.get(type(None) if kind is None else kind, getattr(kind, "__name__", str(kind)))
