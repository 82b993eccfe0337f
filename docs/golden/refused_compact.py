"""Compact files that a reader must refuse, though the seal of all but the first few fits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from docs.golden.models import Golden, Table
from fmcompress.artifact.io import sealed_bytes
from fmcompress.artifact.origin import COMPACT
from fmcompress.fm.schema import NumericField, SharedField

_SEAL = 32
_SOUND = Golden(
    "what the others were made of",
    2,
    (Table("a", "50 1x3:8 3 | 40 raw:4 raw | 3 raw raw", 2), SharedField("b", "a"), NumericField("n")),
)
Edit = Callable[[bytearray], None]
"""Changes what follows the seal in place."""


def refused_compact() -> dict[str, tuple[str, bytes]]:
    """Return why each file must be refused, and its bytes, by name; the first one, ``sound``, is sound."""
    sound = sealed_bytes(_SOUND.packed("refused", COMPACT))
    found = {"sound": (_SOUND.describes, sound)}
    found |= {name: (why, change(sound)) for name, (why, change) in _CHANGED.items()}
    return found | {name: (why, _edited(sound, edit)) for name, (why, edit) in _EDITED.items()}


def _edited(data: bytes, edit: Edit) -> bytes:
    """Return a file that was changed, its container's header and its seal set right."""
    body = bytearray(data[_start(data) + _SEAL :])
    edit(body)
    size = _SEAL + len(body)
    text = f'{{"fmc":{{"dtype":"U8","shape":[{size}],"data_offsets":[0,{size}]}}}}'.encode()
    head = len(text).to_bytes(8, "little") + text
    return head + hashlib.sha256(head + bytes(_SEAL) + body).digest() + body


def _start(data: bytes) -> int:
    """Return where the seal begins."""
    return 8 + int.from_bytes(data[:8], "little")


def _seal(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def _byte(at: int, value: int) -> Edit:
    def edit(body: bytearray) -> None:
        body[at] = value

    return edit


def _replaced(old: bytes, new: bytes) -> Edit:
    """Return what puts bytes in place of others, which occur once."""

    def edit(body: bytearray) -> None:
        if body.count(old) != 1:
            raise ValueError(f"{old!r} occurs {body.count(old)} times")
        body[:] = body.replace(old, new)

    return edit


def _appended(more: bytes) -> Edit:
    def edit(body: bytearray) -> None:
        body += more

    return edit


def _cut(body: bytearray) -> None:
    del body[-2:]


_A = b"\x01a\x64"
"""Name and kind of field a: three tiers, the stream of which is coded, and a PAD."""

_CHANGED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "cut-short": ("its last byte is missing", lambda data: data[:-1]),
    "one-more": ("it has one byte more", lambda data: data + b"\0"),
    "seal": ("a bit of its last byte was turned", _seal),
    "spaces": ("the header of the container has a space", lambda data: data.replace(b",", b", ", 1)),
}
_EDITED: dict[str, tuple[str, Edit]] = {
    "newer-version": ("the schema version is 4", _byte(0, 4)),
    "unknown-flag": ("a flag is set that there is not", _byte(1, 0x81)),
    "no-network": ("the flag of a network is set, and there is none", _byte(1, 3)),
    "unknown-link": ("there is no such link", _byte(2, 4)),
    "dim-zero": ("l is 0", _replaced(b"\x02\x03" + _A, b"\x00\x03" + _A)),
    "long-varint": ("a varint is longer than it needs to be", _replaced(b"\x02\x03" + _A, b"\x82\x00\x03" + _A)),
    "kind": ("bit 7 of a kind is set", _replaced(_A, b"\x01a\xe4")),
    "as-nothing": ("a field shares the table of none", _replaced(b"\x01b\x01\x00", b"\x01b\x01\x07")),
    "huge": (
        "a field has so many categories that the bytes cannot be theirs",
        _replaced(_A + b"\x5d", _A + b"\xff\xff\xff\xff\x07"),
    ),
    "stream-ends": ("the last word of what is entropy coded is missing", _cut),
    "stream-goes-on": ("what is entropy coded has a word more", _appended(b"\0\0")),
    "stream-state": (
        "what is entropy coded does not end as it must",
        lambda body: body.__setitem__(-1, body[-1] ^ 0x55),
    ),
}
