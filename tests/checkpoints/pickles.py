"""Writes genuine pickles of models anew, though their tools are not installed."""

import pickle
import sys
import types
from contextlib import contextmanager


class _Object:
    """An object with a state of any kind."""

    def __setstate__(self, state):
        self.__dict__["state"] = state

    def __getstate__(self):
        return self.__dict__["state"]


@contextmanager
def stood_in(class_names):
    """Make classes importable while the block runs."""
    modules = {}
    for dotted in class_names:
        *parts, name = dotted.split(".")
        for count in range(1, len(parts) + 1):
            part = ".".join(parts[:count])
            modules.setdefault(part, types.ModuleType(part))
        made = type(name, (_Object,), {"__module__": ".".join(parts)})
        setattr(modules[".".join(parts)], name, made)
    before = {name: sys.modules[name] for name in modules if name in sys.modules}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]
        sys.modules.update(before)


def rewritten_pickle(source, target, class_names, change=lambda model: None, protocol=4):
    """Write the object of a pickle anew, with another state or class or in another protocol.

    Args:
        source: the genuine pickle.
        target: the new one.
        class_names: dotted names of all classes in either of them.
        change: changes the object; what the pickle says about it is its ``state``.
        protocol: protocol of the new one.
    """
    with stood_in(class_names):
        model = pickle.loads(source.read_bytes())
        change(model)
        target.write_bytes(pickle.dumps(model, protocol))
    return target


def become(model, class_name):
    """Make an object one of another class."""
    module, _, name = class_name.rpartition(".")
    model.__class__ = getattr(sys.modules[module], name)
