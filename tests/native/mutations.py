"""Artifacts changed in some places, with a SHA-256 that is right again: what nobody but an attacker writes."""

import hashlib
import itertools
import json
import random
from dataclasses import dataclass, field

import numpy as np

from fmcompress.artifact import with_vocabulary
from fmcompress.artifact.header import tensors_of
from fmcompress.artifact.metadata import Frame
from fmcompress.fm.quantizer import parse_quantizer
from fmcompress.fm.schema import Field, Schema
from tests import networks
from tests.artifact.crafted import CODES, KINDS, METADATA, TIERED, VALUES, small_artifacts
from tests.mixed import LINKS, mixed, packed_mixed, vocabulary_of
from tests.models import origin, pack_model, packed

ITEM_BYTES = {"F32": 4, "F16": 2, "U8": 1}
DTYPES = {"bias": "F32", "numeric": "F32", "values": "F16", "codes": "U8", "network": "U8", "vocabulary": "U8"}
UNSEALED = "0" * 64

EMBEDDINGS = (
    "raw", "shared", "1x2", "2x3", "1x256", "4x4", "b10", "b31", "b012", "3,5", "4,2", "1x4096", "2x1", "3x7", "raw:8",
    "shared:8", "2x3:8", "b21:8", "1x5:8", "5,3,1:8", "1x1", "b11", "2x4097", "9x2", "", "8", "raw:8:8", "256x2",
)  # fmt: skip
LINEAR = ("raw", "shared", "2", "3", "4", "16", "4096", "1", "0", "4097", "", "2:8", "raw:8")
NUMBERS = (
    0,
    1,
    -1,
    2,
    3,
    4,
    5,
    8,
    9,
    255,
    2**16,
    2**31 - 1,
    2**31,
    2**32,
    2**63 - 1,
    2**63,
    2**64,
    1.0,
    1e300,
    None,
    True,
    "1",
)
HALVES = (
    0x0000,
    0x8000,
    0x0001,
    0x8001,
    0x03FF,
    0x3C00,
    0xBC00,
    0x7BFF,
    0xFBFF,
    0x7C00,
    0xFC00,
    0x7E00,
    0x7C01,
    0xFFFF,
)
SINGLES = (0.0, -0.0, 1e-45, 0.5, -2.0, 1e10, 3.4e38, np.nan, np.inf, -np.inf)


POOLED = (
    "cat:mean",
    "cat:each",
    "as:sum/mean",
    "as:sqrtn",
    "cat:",
    "cat:max",
    "num:sum",
    "as:mean/mean",
    "cat:each/sum",
)


@dataclass
class Parts:
    """What a file is made of, before it is written.

    Attributes:
        metadata: of the artifact; its text where it is one.
        tensors: their bytes, in their order.
        claims: entries of the header that are replaced, by tensor.
        edits: what becomes of the text of the header: (place, letters less, text more), the place from 0 to 1.
        more: what follows the last tensor; a number of bytes less where it is one.
    """

    metadata: dict | str
    tensors: dict[str, bytes]
    claims: dict[str, dict] = field(default_factory=dict)
    edits: list[tuple[float, int, str]] = field(default_factory=list)
    more: bytes | int = b""

    def sealed(self):
        """Return the file's bytes."""
        text = self.metadata if isinstance(self.metadata, str) else json.dumps(self.metadata, ensure_ascii=False)
        header, start = {"__metadata__": {"fmcompress": text}}, 0
        for name, data in self.tensors.items():
            dtype, end = DTYPES.get(name, "U8"), start + len(data)
            header[name] = {"dtype": dtype, "shape": [len(data) // ITEM_BYTES[dtype]], "data_offsets": [start, end]}
            header[name] |= self.claims.get(name, {})
            start = end
        head = edited(json.dumps(header), self.edits).encode("utf-8", "surrogatepass")
        head = len(head).to_bytes(8, "little") + head
        payload = b"".join(self.tensors.values())
        payload = payload[: -self.more or None] if isinstance(self.more, int) else payload + self.more
        digest = hashlib.sha256(head + payload).hexdigest()
        return head.replace(UNSEALED.encode(), digest.encode()) + payload


def edited(text, edits):
    """Return a text with changes at places from 0 to 1; never in the middle of a seal."""
    for place, less, more in edits:
        at, seal = int(place * len(text)), text.find(UNSEALED)
        if seal - less < at < seal + len(UNSEALED):
            at = seal + len(UNSEALED)
        text = text[:at] + more + text[at + less :]
    return text


def parts_of(data):
    """Return the parts of a file."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    metadata = json.loads(header.pop("__metadata__")["fmcompress"]) | {"sha256": UNSEALED}
    tensors = {name: data[8 + length :][slice(*entry["data_offsets"])] for name, entry in header.items()}
    return Parts(metadata, tensors)


def crafted(metadata, values=VALUES, codes=CODES, **tensors):
    found = {"bias": b"\0" * 4, "values": b"\0\0" * values, "codes": b"\0" * codes} | tensors
    return Parts(METADATA | metadata, {name: found[name] for name in DTYPES if name in found})


def bases(folder):
    """Return the parts of small artifacts of every kind."""
    described = (
        (8, "30 1x16 4", "9 raw raw", "12 shared 2"),
        (16, "40 2x8:8 3", "17 2x5 raw | 6 raw:8 raw | 5 shared shared", "3 raw raw"),
        (3, "20 3x300 5", "6 b210 raw", "5 3,1 2"),
        (24, "11 3x4 2 | 9 raw raw", "70 b321 16 | 60 1x2 raw", "2 raw:8 2"),
        (1, "33 1x1100 600", "5 raw shared"),
        (8, "30 1x16:32 4", "9 raw:32 raw | 4 raw:8 raw", "12 5x3:32 raw"),
    )
    found = {"crafted": crafted({}), "tiered": crafted(TIERED, 11, 8)}
    found["fields"] = crafted({"fields": list(KINDS)}, numeric=np.arange(6, dtype="<f4").tobytes())
    models = dict(small_artifacts())
    for number, (dim, *fields) in enumerate(described):
        models[f"packed {number}"] = packed(dim, *fields, seed=number, quality=False)
    for number, link in enumerate(LINKS):
        fields = ("7 2x4 2", "9 3x3 raw | 8 raw:8 4", "4 raw raw")
        models[link] = packed_mixed(
            (6, 8, 17)[number % 3], *fields,
            pads=(0, None, 3), shared=(1, 0), numeric=(True, False), link=link, seed=number, vocabulary=number % 2 == 1,
        )  # fmt: skip
    for number, pooling in enumerate(("mean", "each", "sqrtn/sum")):
        models[pooling] = packed_mixed(
            (8, 5, 16)[number], "7 2x4 2", "9 3x3 raw | 8 raw:8 4", "4 raw:32 raw",
            pads=(0, None, 3), shared=(1, 0), numeric=(False,), seed=number,
            poolings={"f0": pooling, "f1": "each", "s0": pooling, "s1": "sum"},
        )  # fmt: skip
    for number, kind in enumerate(networks.KINDS):
        machine = mixed(
            (8, 5)[number], "7 2x4 2", "9 3x3 raw | 8 raw:8 4", "4 raw:32 raw",
            pads=(0, None, 3), shared=(1, 0), numeric=(False, True), poolings={"f0": "mean", "s1": "sum"}, seed=number,
        )  # fmt: skip
        stored = ((1, 2, 4), (1, 1, 1))[number]
        model = networks.quantized_with(machine, kind, stored, hidden=(9, 3), activation=("relu", "tanh")[number])
        models[kind] = pack_model(model, origin(quality=False))
    wide = packed(521, "5 2x2 2", "3 raw:8 raw", "4 256x3 2", seed=9, quality=False)
    models["wide"] = with_vocabulary(wide, vocabulary_of(wide.schema))
    for name, model in models.items():
        path = folder / "base"
        model.save(path, force=True)
        found[name] = parts_of(path.read_bytes())
    return found


def copied(parts):
    return Parts(json.loads(json.dumps(parts.metadata)), dict(parts.tensors))


# Changes. Each takes a random generator and parts, which it changes.


def edit_metadata(rng, parts):
    """Change letters of the metadata's text."""
    text = json.dumps(parts.metadata, ensure_ascii=False)
    parts.metadata = edited(text, [noise(rng) for _ in range(rng.randint(1, 2))])


def edit_header(rng, parts):
    """Change letters of the container's text."""
    parts.edits = [noise(rng) for _ in range(rng.randint(1, 2))]


def noise(rng):
    return rng.random(), rng.randint(0, 2), rng.choice(["", "", *'019-.e",[]{}: \\éx\n', "\\u00"])


def tables(parts):
    """Return the lists that hold two quantizers next to each other, and the place of the first."""
    entries = [entry for entry in parts.metadata["fields"] if str(entry[1:2]).startswith("['cat")]
    found = [(entry, 3) for entry in entries if len(entry) == 6]
    return found + [(tier, 1) for entry in entries if len(entry) == 4 for tier in entry[3]]


def swap_quantizers(rng, parts):
    """Name another quantizer; the tensors are what they were, or what it needs."""
    entry, at = rng.choice(tables(parts))
    other, there = rng.choice(tables(parts))
    which = rng.randrange(3)
    if which == 0:
        entry[at : at + 2], other[there : there + 2] = other[there : there + 2], entry[at : at + 2]
    elif which == 1:
        entry[at] = rng.choice(EMBEDDINGS)
    else:
        entry[at + 1] = rng.choice(LINEAR)
    if rng.random() < 0.7:
        refit(rng, parts)


def refit(rng, parts):
    """Give values and codes the sizes that the fields need, where they can be told."""
    try:
        quantizers = [parse_quantizer(*entry[at : at + 2]) for entry, at in tables(parts)]
        sizes = [
            [entry[2] if type(entry[2]) is int else entry[2][0]] if len(entry) == 6 else [tier[0] for tier in entry[3]]
            for entry in parts.metadata["fields"] if str(entry[1]).startswith("cat")
        ]  # fmt: skip
        frame = Frame(Schema((Field("a", 1),)), parts.metadata["dim"], "sigmoid")
        needed = {tensor.name: tensor.nbytes for tensor in tensors_of(frame, quantizers, sizes)}
    except Exception:  # noqa: BLE001: whatever it is that makes no sense, the file is to hold it
        return
    if max(needed.values()) > MOST_BYTES:
        return
    if "network" in parts.tensors:
        refit_network(parts)
    for name in ("values", "codes"):
        parts.tensors[name] = (parts.tensors[name] + some_bytes(rng, name, needed[name]))[: needed[name]]


def some_bytes(rng, name, count):
    """Return bytes for a tensor; values are moderate, but for a few that are odd."""
    at = rng.randrange(POOL // 4) * 2
    return (VALUE_POOL if name == "values" else rng.choice(CODE_POOLS))[at : at + count]


def pools():
    rng = np.random.default_rng(14)
    halves = np.where(rng.random(POOL) < 0.05, rng.choice(HALVES[:6], POOL), rng.integers(0x2C00, 0x3800, POOL))
    return halves.astype("<u2").tobytes(), (rng.bytes(2 * POOL), bytes(2 * POOL))


MOST_BYTES = 100_000
POOL = 2 * MOST_BYTES
VALUE_POOL, CODE_POOLS = pools()


def change_number(rng, parts):
    """Change a number of the metadata: a size, PAD, an error, dim."""
    holders = [(parts.metadata, key) for key in ("dim", "schema_version", "budget", "seed")]
    stack = list(parts.metadata["fields"])
    while stack:
        item = stack.pop()
        for at, value in enumerate(item):
            if isinstance(value, list):
                stack.append(value)
            elif not isinstance(value, str):
                holders.append((item, at))
    holder, key = rng.choice(holders)
    near = holder[key] + rng.choice((-1, 1)) if type(holder[key]) is int else 0
    holder[key] = near if rng.random() < 0.5 else rng.choice(NUMBERS)
    if rng.random() < 0.5:
        refit(rng, parts)


def move_categories(rng, parts):
    """Change the sizes of tiers and cardinalities so that they add up."""
    entry = rng.choice([entry for entry in parts.metadata["fields"] if str(entry[1]).startswith("cat")])
    pair = entry[2] if isinstance(entry[2], list) else entry
    step = rng.choice((-2, -1, 1, 2, 7))
    pair[2 if pair is entry else 0] += step
    if len(entry) == 4:
        rng.choice(entry[3])[0] += step
    refit(rng, parts)


def change_fields(rng, parts):
    """Repeat, drop, move or rename a field, or change its kind."""
    fields = parts.metadata["fields"]
    at, change = rng.randrange(len(fields)), rng.randrange(6)
    if change == 0:
        fields.insert(rng.randrange(len(fields) + 1), [f"{fields[at][0]}2", *fields[at][1:]])
    elif change == 1:
        fields.append(fields[at])
    elif change == 2:
        del fields[at]
    elif change == 3:
        rng.shuffle(fields)
    elif change == 4:
        fields[at][0] = rng.choice(["", "\0", "a", "\ud800", "größe" * 30, 1, None, fields[0][0]])
    else:
        fields[at][1] = rng.choice(["cat", "as", "num", "lin", "", None, ["cat"], *POOLED])
    if rng.random() < 0.7:
        refit(rng, parts)


def change_link(rng, parts):
    limits = ("0", "1", "-1", "0.5", "1e+30", "1e-05", "1.0", "01", "inf", "nan", "-0", "", "5e-324", "1e400")
    parts.metadata["link"] = rng.choice([*LINKS, "clip", "", 1, f"clip:{rng.choice(limits)}:{rng.choice(limits)}"])


def change_origin(rng, parts):
    key = rng.choice(["budget", "method", "seed", "source", "libraries", "quality", "sha256", "fields", "dim"])
    if rng.random() < 0.3:
        parts.metadata.pop(key, None)
    else:
        odd = ([], {}, ["a"], "a b", "a", {"a": "b"}, [1, None, [0.5, 0.5], None], {"a": [1, 2]})
        parts.metadata[key] = rng.choice([*NUMBERS, *odd])


def change_network(rng, parts):
    """Change an entry of the network's layers, or the kind; the tensor is what it was, or what they need."""
    layers = parts.metadata["network"]
    at, change = rng.randrange(1, len(layers)), rng.randrange(6)
    if change == 0:
        layers[0] = rng.choice(["deepfm", "nfm", "dnn", "", None, 1, ["nfm"]])
    elif change == 1:
        layers[at][0] = rng.choice([1, 2, 3, 5, 8, 15, 16, 17, 40, *NUMBERS])
    elif change == 2:
        layers[at][1] = rng.choice(["identity", "relu", "leaky_relu", "sigmoid", "tanh", "elu", "gelu", "", None])
    elif change == 3:
        layers[at][2] = rng.choice([8, 16, 32, 4, 64, *NUMBERS])
    elif change == 4:
        layers.insert(at, [rng.choice((1, 4, 12)), "relu", rng.choice((8, 16, 32))])
    else:
        parts.metadata["network"] = rng.choice([None, {}, [], layers[:1], layers[:-1], [*layers, 1], layers[1:], "nfm"])
    if rng.random() < 0.8:
        refit_network(parts)


def refit_network(parts):
    """Give the tensor of the network the size that its layers need, where it can be told."""
    kinds = [str(entry[1]).partition(":")[0] for entry in parts.metadata["fields"]]
    try:
        kind, *layers = parts.metadata["network"]
        vectors = len(kinds) - kinds.count("lin") if kind == "deepfm" else 1
        inputs, needed = vectors * parts.metadata["dim"] + kinds.count("lin"), 0
        for outputs, _, bits in layers:
            needed += outputs * (4 + 2 * (bits == 8) + inputs * bits // 8)
            inputs = outputs
    except (TypeError, ValueError):
        return
    if 0 <= needed <= MOST_BYTES:
        data = parts.tensors["network"]
        parts.tensors["network"] = (data * (needed // max(1, len(data)) + 1))[:needed]


def change_bytes(rng, parts):
    """Change some bytes of a tensor."""
    name = rng.choice([name for name, data in parts.tensors.items() if data])
    data = bytearray(parts.tensors[name])
    for _ in range(rng.randint(1, 4)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    parts.tensors[name] = bytes(data)


def change_values(rng, parts):
    """Put odd numbers into values, the bias or the numeric weights."""
    name = rng.choice([name for name in ("bias", "numeric", "values", "values") if parts.tensors.get(name)])
    numbers = np.frombuffer(parts.tensors[name], "<u2" if name == "values" else "<f4").copy()
    for _ in range(rng.randint(1, 3)):
        odd = HALVES[: rng.choice((9, 14))] if name == "values" else SINGLES[: rng.choice((7, 10))]
        numbers[rng.randrange(len(numbers))] = rng.choice(odd)
    parts.tensors[name] = numbers.tobytes()


def change_codes(rng, parts):
    """Set all bits of some bytes of the codes, or fill them with noise."""
    codes = bytearray(parts.tensors["codes"])
    if codes:
        at = rng.randrange(len(codes))
        size = rng.choice((1, 2, 3, len(codes) - at))
        codes[at : at + size] = rng.choice((b"\xff", b"\x80", b"\x7f", rng.randbytes(1))) * len(codes[at : at + size])
    parts.tensors["codes"] = bytes(codes)


def resize_tensor(rng, parts):
    """Cut or lengthen a tensor, and say so."""
    name = rng.choice(list(parts.tensors))
    item = ITEM_BYTES[DTYPES[name]]
    step = rng.choice((-8, -2, -1, 1, 2, 8, 100)) * item
    data = parts.tensors[name]
    parts.tensors[name] = data[:step] if step < 0 else data + bytes(step)


def change_claims(rng, parts):
    """Say what is not so of a tensor's place, size or type."""
    name = rng.choice(list(parts.tensors))
    before = list(parts.tensors)[: list(parts.tensors).index(name)]
    start = sum(len(parts.tensors[other]) for other in before)
    end = start + len(parts.tensors[name])
    size = len(parts.tensors[name]) // ITEM_BYTES[DTYPES[name]]
    offsets = [start + rng.choice((-1, 0, 1, 2**63)), end + rng.choice((-1, 0, 1, 2**62))]
    parts.claims[name] = rng.choice([
        {"data_offsets": offsets}, {"data_offsets": [end, start]}, {"data_offsets": [start]}, {"data_offsets": None},
        {"data_offsets": [start, end, end]}, {"data_offsets": [float(start), end]},
        {"shape": [size + rng.choice((-1, 1, 2**40))]},
        {"shape": []}, {"shape": [size, 1]}, {"shape": [float(size)]}, {"shape": size}, {"shape": [-size]},
        {"shape": [2**63]},
        {"dtype": rng.choice(["F32", "F16", "U8", "I8", "", None, 4])}, {"more": 1},
    ])  # fmt: skip


def change_tensors(rng, parts):
    """Drop, add, rename or reorder tensors."""
    names, change = list(parts.tensors), rng.randrange(4)
    name = rng.choice(names)
    if change == 0:
        del parts.tensors[name]
    elif change == 1:
        parts.tensors[rng.choice(["numeric", "vocabulary", "more"])] = bytes(rng.choice((0, 4, 8)))
    elif change == 2:
        parts.tensors = {(f"{other}s" if other == name else other): data for other, data in parts.tensors.items()}
    else:
        rng.shuffle(names)
        parts.tensors = {name: parts.tensors[name] for name in names}


def change_end(rng, parts):
    parts.more = rng.choice([b"\0", b"\0" * 9, 1, 2, 7])


def change_dim(rng, parts):
    """Give the embeddings another size, and the tensors what that needs."""
    parts.metadata["dim"] = rng.choice([1, 2, 4, 5, 7, 8, 9, 15, 16, 17, 24, 32, 33, 64, 513, 65_536, 65_537])
    refit(rng, parts)
    kinds = [entry[1] for entry in parts.metadata["fields"]]
    weights = sum(kind in ("num", "lin") for kind in kinds) + kinds.count("num") * parts.metadata["dim"]
    if weights and weights < 10_000:
        numbers = [rng.gauss(0, 0.3) for _ in range(weights)]
        parts.tensors["numeric"] = np.array(numbers, dtype="<f4").tobytes()


CHANGES = (
    edit_metadata, edit_header, swap_quantizers, swap_quantizers, swap_quantizers, change_number, move_categories,
    move_categories, change_fields, change_link, change_origin, change_bytes, change_bytes, change_values,
    change_values, change_codes, change_codes, resize_tensor, change_claims, change_tensors, change_end, change_dim,
    change_dim, change_network, change_network, change_network, change_network,
)  # fmt: skip
LAST = (edit_metadata,)
"""Changes after which the metadata are a text, that no other change understands."""


def mutations(sources, count):
    """Yield the name of a change, or of several, and the bytes of a file: none twice, and the same ones each time."""
    rng = random.Random(14)
    seen = {source.sealed() for source in sources.values()}
    known = len(seen)
    names = list(sources)
    for number in itertools.count():
        if len(seen) == known + count:
            return
        parts = copied(sources[names[number % len(names)]])
        changes = [rng.choice(CHANGES) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
        changes.sort(key=lambda change: change in LAST)
        try:
            for change in changes:
                change(rng, parts)
            data = parts.sealed()
        except (TypeError, KeyError, IndexError, AttributeError, ValueError):
            continue  # what one change has left is nothing that the next one can be made to
        if data not in seen:
            seen.add(data)
            yield "+".join(change.__name__ for change in changes), data
