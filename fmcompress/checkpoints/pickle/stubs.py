"""What the objects of a pickle become: nothing here does anything."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

_MAX_PARTS_OF_KEY = 4
_MAX_INT_KEY = 2**60
_MAX_INT_IN_KEY = 2**31


@dataclass(frozen=True)
class Name:
    """The dotted name of a class or a function that a pickle mentions."""

    dotted: str


@dataclass(eq=False, slots=True)
class Stub:
    """An object of a class that was never imported.

    Attributes:
        class_name: its dotted name.
        args: what its constructor was given.
        state: what the pickle says about it, mostly a dict of its attributes.
    """

    class_name: str
    args: object = ()
    state: object = None

    @property
    def attributes(self) -> Mapping[object, object]:
        """Its attributes; empty where the state is no dict."""
        state = self.state[0] if isinstance(self.state, tuple) and self.state else self.state
        return state if isinstance(state, dict) else {}


class Unique:
    """A stand-in that is equal to itself alone, so that it may be a key: an optimizer keeps its state by parameter."""


class Buildable:
    """A stand-in that takes its state later, as numpy arrays and dtypes do."""

    def build(self, state: object) -> None:
        """Take the state.

        Raises:
            ValueError: it is none that this object can have.
        """
        raise NotImplementedError


class Inline(Buildable):
    """A stand-in whose bytes stand between the operations of the pickle, behind the one that gives it its state."""

    def read_from(self, take: Callable[[int], bytes]) -> None:
        """Take the bytes.

        Args:
            take: returns so many next bytes of the pickle, or raises ValueError where it has fewer.
        """
        raise NotImplementedError


def checked_key(key: object) -> object:
    """Return a dict key or set item that is safe to hash.

    Python hashes nested tuples by recursion without a limit, which a hostile file could use for a crash; and it is easy
    to find large integers, or long tuples of integers, that all have one hash, and make a dict as slow as a list.

    Raises:
        TypeError: it is neither a plain value, nor a few of those in a tuple, nor equal to itself alone.
    """
    if isinstance(key, tuple) and len(key) <= _MAX_PARTS_OF_KEY:
        safe = all(isinstance(part, (str, bytes, type(None))) or _is_small(part, _MAX_INT_IN_KEY) for part in key)
    else:
        plain = isinstance(key, (str, bytes, float, Name, Stub, Unique, type(None)))
        safe = plain or _is_small(key, _MAX_INT_KEY)
    if not safe:
        raise TypeError("a key is no plain value")
    return key


def _is_small(value: object, limit: int) -> bool:
    return isinstance(value, int) and -limit < value < limit
