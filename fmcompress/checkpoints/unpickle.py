"""Reads a pickle without running any of it.

A pickle is a program for a stack machine that may import and call whatever it names. Here is a machine of our
own for the harmless part: a name is only a ``Name``; calling one is a look-up in a table of stand-ins, and a
name outside the table is refused; an object of any other class becomes an inert ``Stub`` that keeps its
state. Nothing is imported, no attribute of a real object is read or set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fmcompress.checkpoints.damage import quoted
from fmcompress.checkpoints.opcodes import operations
from fmcompress.errors import CheckpointError

_OLD_NAMES = {"__builtin__": "builtins", "copy_reg": "copyreg"}
_SCALARS = (str, int, float, bytes, type(None))


@dataclass(frozen=True)
class Name:
    """The dotted name of a class or a function that a pickle mentions."""

    dotted: str


@dataclass(eq=False)
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


class Buildable:
    """A stand-in that takes its state later, as numpy arrays and dtypes do."""

    def build(self, state: object) -> None:
        """Take the state.

        Raises:
            ValueError: it is none that this object can have.
        """
        raise NotImplementedError


Call = Callable[[tuple[object, ...]], object]


def unpickle(data: bytes, *, calls: Mapping[str, Call], persistent: Call) -> object:
    """Return the object that a pickle describes, of plain values, stand-ins and stubs.

    Args:
        data: the pickle, protocol 2 to 5.
        calls: stand-ins for the functions that the pickle may call, by dotted name.
        persistent: stand-in for the load of an object outside the pickle; it gets the persistent id.

    Raises:
        CheckpointError: the pickle asks to call anything else.
        ValueError, TypeError, IndexError, KeyError: it is damaged.
    """
    machine = _Machine(calls, persistent)
    for name, argument in operations(data):
        _OPERATIONS[name](machine, argument)
    return machine.pop()


class _Machine:
    """The stack, the stacks below the open marks, and the memo."""

    def __init__(self, calls: Mapping[str, Call], persistent: Call) -> None:
        self.calls = calls
        self.persistent = persistent
        self.stack: list[object] = []
        self.below: list[list[object]] = []
        self.memo: dict[object, object] = {}

    def push(self, value: object) -> None:
        self.stack.append(value)

    def pop(self) -> object:
        return self.stack.pop()

    def pop_tuple(self) -> tuple[object, ...]:
        value = self.pop()
        if not isinstance(value, tuple):
            raise TypeError("the arguments of a call are no tuple")
        return value

    def pop_to_mark(self) -> list[object]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def pop_many(self, count: int) -> tuple[object, ...]:
        if len(self.stack) < count:
            raise IndexError("the stack is empty")
        taken = tuple(self.stack[-count:])
        del self.stack[-count:]
        return taken

    def append(self, items: list[object]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif not isinstance(target, Stub):  # what a list of an unknown class holds is never looked at
            raise TypeError("an item is added to something that is no list")

    def add(self, items: list[object]) -> None:
        target = self.stack[-1]
        if not isinstance(target, set):
            raise TypeError("an item is added to something that is no set")
        target.update(checked_key(item) for item in items)

    def set_items(self, items: list[object]) -> None:
        target = self.stack[-1]
        if len(items) % 2:
            raise ValueError("a key has no value")
        if isinstance(target, dict):
            for key, value in zip(items[::2], items[1::2], strict=True):
                target[checked_key(key)] = value
        elif not isinstance(target, Stub):
            raise TypeError("a key is set on something that is no dict")

    def memoize(self, index: object) -> None:
        self.memo[index] = self.stack[-1]

    def name(self, module: object, name: object) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise TypeError("a name is no text")
        self.push(Name(f"{_OLD_NAMES.get(module, module)}.{name}"))

    def call(self) -> None:
        arguments, function = self.pop_tuple(), self.pop()
        if not isinstance(function, Name):
            raise TypeError("something is called that has no name")
        stand_in = self.calls.get(function.dotted)
        if stand_in is None:
            raise CheckpointError(
                f"it asks to call {quoted(function.dotted)}, which is refused; nothing was run",
                hint="if you trust the file, load it with the tool that wrote it and save model.state_dict()",
            )
        self.push(stand_in(arguments))

    def new_object(self, arguments: object) -> None:
        name = self.pop()
        if not isinstance(name, Name):
            raise TypeError("an object has no class")
        self.push(Stub(name.dotted, arguments))

    def build(self) -> None:
        state, target = self.pop(), self.stack[-1]
        if isinstance(target, Stub):
            target.state = state
        elif isinstance(target, Buildable):
            target.build(state)
        elif not isinstance(target, dict):  # an OrderedDict's state is version numbers of no use here
            raise TypeError("a state is given to something that can have none")


def checked_key(key: object) -> object:
    """Return a dict key or set item that is safe to hash.

    Python hashes nested tuples by recursion without a limit, which a hostile file could use for a crash.

    Raises:
        TypeError: it is neither a plain value, nor a tuple of those, nor a stub.
    """
    flat = isinstance(key, tuple) and all(isinstance(part, _SCALARS) for part in key)
    if flat or isinstance(key, (*_SCALARS, Name, Stub)):
        return key
    raise TypeError("a key is no plain value")


_OPERATIONS: dict[str, Callable[[_Machine, object], None]] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "STOP": lambda machine, _: None,
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "CONSTANT": _Machine.push,
    "MARK": lambda machine, _: machine.mark(),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_to_mark())),
    "TUPLE1": lambda machine, _: machine.push(machine.pop_many(1)),
    "TUPLE2": lambda machine, _: machine.push(machine.pop_many(2)),
    "TUPLE3": lambda machine, _: machine.push(machine.pop_many(3)),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "APPEND": lambda machine, _: machine.append([machine.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.pop_to_mark()),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "SETITEM": lambda machine, _: machine.set_items(list(machine.pop_many(2))),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_to_mark()),
    "EMPTY_SET": lambda machine, _: machine.push(set()),
    "ADDITEMS": lambda machine, _: machine.add(machine.pop_to_mark()),
    "PUT": _Machine.memoize,
    "MEMOIZE": lambda machine, _: machine.memoize(len(machine.memo)),
    "GET": lambda machine, index: machine.push(machine.memo[index]),
    "GLOBAL": lambda machine, names: machine.name(*names),  # type: ignore[misc]
    "STACK_GLOBAL": lambda machine, _: machine.name(*machine.pop_many(2)),
    "BINPERSID": lambda machine, _: machine.push(machine.persistent(machine.pop_tuple())),
    "REDUCE": lambda machine, _: machine.call(),
    "NEWOBJ": lambda machine, _: machine.new_object(machine.pop_tuple()),
    "NEWOBJ_EX": lambda machine, _: machine.new_object(machine.pop_many(2)),
    "BUILD": lambda machine, _: machine.build(),
}
