"""Reads a pickle without running any of it.

A pickle is a program for a stack machine that may import and call whatever it names. Here is a machine of our
own for the harmless part: a name is only a ``Name``; calling one is a look-up in a table of stand-ins, and a
name outside the table is refused; an object of any other class becomes an inert ``Stub`` that keeps its
state. Nothing is imported, no attribute of a real object is read or set. Time and memory are in proportion to the
pickle's size: see ``docs/reading-checkpoints.md``.

Kept in place of ``pickle.Unpickler``, which calls whatever its ``find_class`` returns, hashes and nests without limits,
and takes the memory that a file claims.
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from fmcompress.checkpoints.pickle.opcodes import MAX_NAME, MAX_OPERATIONS, bytes_between, operations
from fmcompress.checkpoints.pickle.stubs import Buildable, Inline, Name, Stub, checked_key
from fmcompress.checkpoints.reading_errors import quoted
from fmcompress.errors import CheckpointError

_OLD_NAMES = {"__builtin__": "builtins", "copy_reg": "copyreg"}

JOBLIB_ARRAY = "joblib.numpy_pickle.NumpyArrayWrapper"
"""What stands for an array in joblib's pickles."""

_JOBLIB = "joblib.numpy_pickle"
_CONTAINERS = (str, bytes, list, tuple, dict)
_MAX_USES = 2
_MIN_WORK = 2**17

_ABSENT = object()


Call = Callable[[tuple[object, ...]], object]


def unpickle(
    data: bytes | BinaryIO,
    *,
    calls: Mapping[str, Call],
    persistent: Call,
    until: str | None = None,
    times: int = 1,
) -> object:
    """Return the object that a pickle describes, of plain values, stand-ins and stubs.

    Args:
        data: the pickle, of any protocol; of an open file no more is read than is needed.
        calls: stand-ins for the functions that the pickle may call, by dotted name.
        persistent: stand-in for the load of an object outside the pickle; it gets the persistent id.
        until: an attribute of the object before which reading ends, so that what follows costs nothing. It must be a
            name that stands nowhere before.
        times: how often ``MAX_OPERATIONS`` it may have, which others than those of tables of contents have not.

    Raises:
        CheckpointError: the pickle asks to call anything else.
        ValueError, TypeError, IndexError, KeyError: it is damaged.
    """
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    work = _MAX_USES * file.seek(0, io.SEEK_END) + _MIN_WORK
    machine = _Machine(calls, persistent, work, times * MAX_OPERATIONS)
    file.seek(0)
    for name, argument in operations(file, times):
        if name == "CONSTANT" and until is not None and argument == until and machine.is_at_attribute():
            return machine.object_so_far()
        _OPERATIONS[name](machine, argument)
        if name == "BUILD" and isinstance(machine.stack[-1], Inline):
            machine.stack[-1].read_from(bytes_between(file))
    return machine.pop()


@dataclass(eq=False)
class _Machine:
    """The stack, the stacks below the open marks, and the memo.

    Attributes:
        work: how much the stand-ins may still be given. A few bytes can call one on the same long list again and again,
            each time for a copy of it; in a pickle that is no attack nearly all is given once.
        most_parts: how many operations it may have, none of which makes more than one part.
    """

    calls: Mapping[str, Call]
    persistent: Call
    work: int
    most_parts: int
    stack: list[object] = field(default_factory=list)
    below: list[list[object]] = field(default_factory=list)
    memo: list[object] = field(default_factory=list)

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

    def push_dict(self, items: list[object]) -> None:
        self.push({})
        self.set_items(items)

    def drop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.drop_to_mark()

    def drop_to_mark(self) -> None:
        self.stack = self.below.pop()

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
        target.update(map(checked_key, items))

    def set_items(self, items: list[object]) -> None:
        target = self.stack[-1]
        if len(items) % 2:
            raise ValueError("a key has no value")
        if isinstance(target, dict):
            for key, value in zip(items[::2], items[1::2], strict=True):
                target[checked_key(key)] = value
        elif not isinstance(target, Stub):
            raise TypeError("a key is set on something that is no dict")

    def memoize(self, index: int) -> None:
        if index >= self.most_parts:
            raise ValueError("the pickle numbers its parts higher than it can have any")
        if index >= len(self.memo):
            self.memo.extend([_ABSENT] * (index + 1 - len(self.memo)))
        self.memo[index] = self.stack[-1]

    def recall(self, index: int) -> None:
        value = self.memo[index]
        if value is _ABSENT:
            raise IndexError("the pickle recalls what it never had")
        self.push(value)

    def name(self, module: object, name: object) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise TypeError("a name is no text")
        if len(module) + len(name) > MAX_NAME:  # checked before they are joined: both may be used again and again
            raise ValueError("a name is longer than any is")
        self.push(Name(f"{_OLD_NAMES.get(module, module)}.{name}"))

    def call(self) -> None:
        arguments, function = self.pop_tuple(), self.pop()
        if not isinstance(function, Name):
            raise TypeError("something is called that has no name")
        stand_in = self.calls.get(function.dotted)
        if stand_in is None:
            raise refusal(function.dotted)
        self.spend(arguments)
        self.push(stand_in(arguments))

    def spend(self, given: object) -> None:
        """Count what a stand-in is given: the parts, and the length of each."""
        parts = given if isinstance(given, tuple) else ()
        self.work -= len(parts)
        if self.work >= 0:
            self.work -= sum(len(part) for part in parts if isinstance(part, _CONTAINERS))
        if self.work < 0:
            raise ValueError("the pickle uses its parts again and again")

    def new_object(self, arguments: object) -> None:
        name = self.pop()
        if not isinstance(name, Name):
            raise TypeError("an object has no class")
        if name.dotted == JOBLIB_ARRAY:
            self.push(self.calls[JOBLIB_ARRAY](()))
        elif name.dotted.startswith(_JOBLIB):
            raise CheckpointError(
                "it was written with a joblib of before version 0.10, which has other forms of arrays",
                hint="load it with joblib and save it again with pickle.dump",
            )
        else:
            self.push(Stub(name.dotted, arguments))

    def build(self) -> None:
        state, target = self.pop(), self.stack[-1]
        if isinstance(target, Stub):
            target.state = state
        elif isinstance(target, Buildable):
            self.spend(state)
            target.build(state)
        elif not isinstance(target, dict):  # an OrderedDict's state is version numbers of no use here
            raise TypeError("a state is given to something that can have none")

    def is_at_attribute(self) -> bool:
        """Return whether the name of an attribute of the outermost object comes next."""
        return len(self.below) == 1 and len(self.stack) % 2 == 0

    def object_so_far(self) -> object:
        """Return the outermost object with the attributes that are complete."""
        self.set_items(self.pop_to_mark())
        self.build()
        return self.pop()


class RefusedCallError(CheckpointError):
    """A pickle asks to call what has no stand-in."""


def refusal(dotted: str) -> RefusedCallError:
    """Return the error for a pickle that asks to call what has no stand-in."""
    return RefusedCallError(
        f"it asks to call {quoted(dotted)}, which is refused; nothing was run",
        hint="if you trust the file, load it with the tool that wrote it and save model.state_dict() with torch.save",
    )


_OPERATIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "STOP": lambda machine, _: None,
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "CONSTANT": _Machine.push,
    "MARK": lambda machine, _: machine.mark(),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "POP": lambda machine, _: machine.drop(),
    "POP_MARK": lambda machine, _: machine.drop_to_mark(),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_to_mark())),
    "TUPLE1": lambda machine, _: machine.push(machine.pop_many(1)),
    "TUPLE2": lambda machine, _: machine.push(machine.pop_many(2)),
    "TUPLE3": lambda machine, _: machine.push(machine.pop_many(3)),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "LIST": lambda machine, _: machine.push(machine.pop_to_mark()),
    "APPEND": lambda machine, _: machine.append([machine.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.pop_to_mark()),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "DICT": lambda machine, _: machine.push_dict(machine.pop_to_mark()),
    "SETITEM": lambda machine, _: machine.set_items(list(machine.pop_many(2))),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_to_mark()),
    "EMPTY_SET": lambda machine, _: machine.push(set()),
    "ADDITEMS": lambda machine, _: machine.add(machine.pop_to_mark()),
    "FROZENSET": lambda machine, _: machine.push(frozenset(map(checked_key, machine.pop_to_mark()))),
    "PUT": _Machine.memoize,
    "MEMOIZE": lambda machine, _: machine.memo.append(machine.stack[-1]),
    "GET": _Machine.recall,
    "GLOBAL": lambda machine, names: machine.name(*names),
    "STACK_GLOBAL": lambda machine, _: machine.name(*machine.pop_many(2)),
    "BINPERSID": lambda machine, _: machine.push(machine.persistent(machine.pop_tuple())),
    "REDUCE": lambda machine, _: machine.call(),
    "NEWOBJ": lambda machine, _: machine.new_object(machine.pop_tuple()),
    "NEWOBJ_EX": lambda machine, _: machine.new_object(machine.pop_many(2)),
    "BUILD": lambda machine, _: machine.build(),
}
