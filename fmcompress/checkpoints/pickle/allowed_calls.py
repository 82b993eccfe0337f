"""The functions that a pickle may call, and what stands in for them; all others are refused.

Each row of ``CALLS`` takes the arguments of the real function and checks all of them.
"""

from fmcompress.checkpoints.pickle import arrays
from fmcompress.checkpoints.pickle.stubs import Name, Stub, checked_key
from fmcompress.checkpoints.pickle.unpickle import Call, refusal

_ENCODING = "latin1"


def _encode(args: tuple[object, ...]) -> bytes:
    text, encoding = args
    if not isinstance(text, str) or encoding != _ENCODING:
        raise ValueError("bytes are encoded in a way that they never are")
    return text.encode(_ENCODING)


def _no_bytes(args: tuple[object, ...]) -> bytes:
    if args:  # bytes(2**40) would take a terabyte
        raise ValueError("bytes are made in a way that they never are")
    return b""


def _set(args: tuple[object, ...]) -> set[object]:
    (items,) = args
    if not isinstance(items, list | tuple):
        raise TypeError("a set is made of something that is no list")
    return {checked_key(item) for item in items}


def _ordered_dict(args: tuple[object, ...]) -> object:
    pairs = args[0] if args else []
    if not isinstance(pairs, list) or not all(isinstance(pair, list | tuple) for pair in pairs):
        raise TypeError("a dict is made of something that is no list of pairs")
    return {checked_key(key): value for key, value in pairs}


def _reconstructor(args: tuple[object, ...]) -> object:
    if not isinstance(args[0], Name):
        raise TypeError("an object has no class")
    return Stub(args[0].dotted, args[1:])


def _default_dict(args: tuple[object, ...]) -> object:
    if len(args) > 1 or not all(isinstance(arg, Name) for arg in args):
        raise TypeError("a dict is made of something that is no name of a default")
    return {}


def _bound_method(args: tuple[object, ...]) -> object:
    """Stand for a method of an object, as an optimizer's loss: nothing is looked up, nothing can be called."""
    owner, name = args
    if not isinstance(name, str):
        raise refusal("builtins.getattr")
    if isinstance(owner, Name) and owner.dotted in (
        *_ENUMS,
        *_MEMORY_FORMATS,
    ):  # how Python 3.11.0 to 3.11.3 have members of an Enum
        return Stub(owner.dotted, (name,))
    if not isinstance(owner, Stub):
        raise refusal("builtins.getattr")
    return Stub("builtins.getattr", args)


_ENUMS = tuple(
    f"recbole.utils.enum_type.{name}"
    for name in ("ModelType", "InputType", "EvaluatorType", "FeatureType", "FeatureSource")
)
_MEMORY_FORMATS = (
    "torch.distributed.checkpoint.metadata._MEM_FORMAT_ENCODING",
    "torch.distributed._shard.sharded_tensor.metadata.MEM_FORMAT_ENCODING",
)
_FLAVOURS = ("Posix", "Windows", "PurePosix", "PureWindows")
_INERT = (
    *("torch.device", "logging.getLogger", "functools.partial", "uuid.UUID", "decimal.Decimal", "builtins.complex"),
    *(f"datetime.{name}" for name in ("datetime", "date", "time", "timedelta", "timezone")),
    *(f"pathlib.{home}{name}Path" for home in ("", "_local.") for name in ("", "Pure", *_FLAVOURS)),
    *_ENUMS,
    *("torch.serialization._get_layout", *_MEMORY_FORMATS),
)
"""Calls whose results nobody looks into, as settings hold them: each becomes a stub that keeps its arguments."""


def _inert(dotted: str) -> Call:
    return lambda args: Stub(dotted, args)


CALLS: dict[str, Call] = {
    **arrays.CALLS,
    **{dotted: _inert(dotted) for dotted in _INERT},
    "_codecs.encode": _encode,
    "collections.OrderedDict": _ordered_dict,
    "collections.defaultdict": _default_dict,
    "builtins.getattr": _bound_method,
    "builtins.bytes": _no_bytes,  # how protocol 2 spells b""
    "builtins.set": _set,
    "builtins.frozenset": lambda args: frozenset(_set(args)),
    "copyreg._reconstructor": _reconstructor,
    "copyreg.__newobj__": _reconstructor,
}
"""Stand-ins by the dotted name of what they stand for; everything else that a pickle calls is refused."""
