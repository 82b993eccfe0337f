"""A reader of compact artifacts that was written from docs/format.md alone: slow, plain, and without fmcompress."""

import hashlib
import itertools
import json
import struct
from bisect import bisect_right

import numpy as np

from tests.format_reader import (
    Field,
    Model,
    Numeric,
    Part,
    check,
    read_network,
    read_vocabulary,
    sizes,
)

POOLINGS = ("sum", "mean", "sqrtn")
ACTIVATIONS = ("identity", "relu", "leaky_relu", "sigmoid", "tanh", "elu")
WORDS = (
    *("auto", "lightfm", "xlightfm", "source", "untuned", "artifact", "fmcompress", "numpy", "faiss", "torch"),
    *("fuxictr", "torchfm", "recbole", "deepctr-torch", "scipy", "xlearn", "libfm"),
)
BITS = (2, 3, 4, 5, 6, 8, 16, 32)
COSTS = (
    *(32768, 31379, 30048, 28774, 27554, 26386, 25268, 24196, 23170, 22188, 21247, 20347, 19484, 18658, 17867, 17109),
)


class Bytes:
    """Takes one thing after the other."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, size):
        check(self.at + size <= len(self.data), "end")
        self.at += size
        return self.data[self.at - size : self.at]

    def byte(self):
        return self.take(1)[0]

    def varint(self):
        number, place = 0, 0
        while True:
            byte = self.byte()
            number |= (byte & 127) << place
            place += 7
            if byte < 128:
                check(byte or place == 7, "varint")
                return number

    def text(self):
        size, kind = divmod(self.varint(), 4)
        if kind == 2:
            return WORDS[size]
        if kind == 3:
            return ".".join(str(self.varint()) for _ in range(size))
        return self.take(size).hex() if kind == 1 else self.take(size).decode()

    def array(self, count, dtype):
        found = np.frombuffer(self.take(count * np.dtype(dtype).itemsize), dtype).astype(np.float64)
        check(np.isfinite(found).all(), "numbers")
        return found

    def stream(self, rows, widths):
        """Return rows of numbers of so many bits."""
        bits = int.from_bytes(self.take(-(-rows * sum(widths) // 8)), "little")
        found = []
        for _ in range(rows):
            row = []
            for width in widths:
                row.append(bits & ((1 << width) - 1))
                bits >>= width
            found.append(row)
        check(bits == 0, "filling")
        return found


def read(data):
    """Return the model that the bytes of a file hold; ValueError where they are none."""
    length = int.from_bytes(data[:8], "little")
    head, payload = data[8 : 8 + length], data[8 + length :]
    size = len(payload)
    check(json.loads(head) == {"fmc": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}, "header")
    seal = hashlib.sha256(data[: 8 + length] + bytes(32) + payload[32:]).digest()
    check(seal == payload[:32], "seal")
    source = Bytes(payload)
    source.take(32)
    version, flags, link = source.take(3)
    check(version == 3 and flags < 8, "version")
    link = ("sigmoid", "probit", "identity", "clip")[link]
    if link == "clip":
        link += ":" + ":".join(repr(limit).removesuffix(".0") for limit in struct.unpack("<dd", source.take(16)))
    (bias,) = source.array(1, "<f4").tolist()
    dim = source.varint()
    entries = [read_entry(source) for _ in range(source.varint())]
    network, coded_layers = read_layers(source) if flags & 2 else (None, [])
    tiers = [tier for entry in entries for tier in entry.get("stored", [])]
    told = Bytes(source.take(source.varint())) if flags & 1 else None
    metadata = {"dim": dim, "network": network}
    if told:
        metadata |= read_provenance(told, len(tiers), regression=link[:2] in ("id", "cl"))
    vocabulary = source.varint() if flags & 4 else 0
    return Parts(source, entries, dim, coded_layers, vocabulary).model(bias, link, metadata)


def read_entry(source):
    found = {"name": source.take(source.varint()).decode()}
    kind = source.byte()
    found["kind"] = ("cat", "as", "num", "lin")[kind & 3]
    check(not kind & 128 and (kind < 4 or found["kind"] in ("cat", "as")), "kind")
    if kind & 8:
        pooling = source.byte()
        if pooling == 0x33:
            found["pooling"] = "each"
        else:
            embedding, linear = POOLINGS[pooling & 15], POOLINGS[pooling >> 4]
            found["pooling"] = embedding if embedding == linear else f"{embedding}/{linear}"
    if found["kind"] == "as":
        found["table"] = source.varint()
    if found["kind"] == "cat":
        found["cardinality"] = source.varint()
        found["pad"] = source.varint() if kind & 4 else -1
        own = [source.varint() for _ in range(kind >> 4 & 3)]
        found["sizes"] = [*own, found["cardinality"] - sum(own)]
        check(min(found["sizes"]) >= 1, "sizes")
        found["coded"] = bool(kind & 64)
        found["stored"] = [read_quantizer(source) for _ in found["sizes"]]
    return found


def read_quantizer(source):
    first = source.byte()
    form, linear = first >> 3 & 3, source.varint()
    codewords = []
    if form:
        count = source.varint()
        if form == 1:
            codewords = [2 ** source.byte()] * count
        elif form == 2:
            digits = iter(())
            while len(codewords) < count:
                digit = next(digits, None)
                if digit is None:
                    byte = source.byte()
                    digits = iter((byte & 15, byte >> 4))
                elif digit == 15:
                    codewords += [1] * (count - len(codewords))
                else:
                    codewords.append(2**digit)
        else:
            while len(codewords) < count:
                codewords += [source.varint() or 1] if source.data[source.at] else [1] * (count - len(codewords))
    check(all(1 <= k <= 4096 for k in codewords), "codewords")
    return BITS[first & 7], codewords, linear, [bool(first >> bit & 1) for bit in (5, 6, 7)]


def read_layers(source):
    kind, layers, coded = ("deepfm", "nfm")[source.byte()], [], []
    for _ in range(source.varint()):
        outputs, byte = source.varint(), source.byte()
        layers.append([outputs, ACTIVATIONS[byte & 15], (8, 16, 32)[byte >> 4 & 3]])
        coded.append(bool(byte & 64))
    return [kind, *layers], coded


def read_provenance(source, tiers, regression):
    found = {"budget": int.from_bytes(source.take(5), "little"), "method": source.text()}
    seed = source.varint()
    found["seed"] = -(seed + 1) // 2 if seed % 2 else seed // 2
    found["source"] = [source.text() for _ in range(source.varint())]
    found["libraries"] = {source.text(): source.text() for _ in range(source.varint())}
    found["warnings"] = [source.text() for _ in range(source.varint())]
    if source.byte():
        found["sampled"] = [digits * 10.0 ** (power - 128) for digits, power in pairs(source.take(6))]
    found["quality"] = {}
    for _ in range(source.varint()):
        name, rows = source.text(), source.varint()
        if regression:
            figures = list(struct.unpack("<d", source.take(8)))
        else:
            units = [int.from_bytes(source.take(3), "little") for _ in range(2 + source.byte())]
            figures = [(unit - 1) / 1e5 if unit else None for unit in units]
        found["quality"][name] = [rows, *figures]
    (largest,) = struct.unpack("<f", source.take(4))
    steps = source.take(tiers)
    sizes_ = [(byte & 127) and largest * 1.1 ** (1 - (byte & 127)) for byte in steps]
    found["errors"] = [None if byte == 128 else -e if byte > 128 else e for byte, e in zip(steps, sizes_, strict=True)]
    check(source.at == len(source.data), "provenance")
    return found


def pairs(data):
    return zip(data[::2], data[1::2], strict=True)


class Parts:
    """Takes models first, then what is as it is, then symbols."""

    def __init__(self, source, entries, dim, coded_layers, vocabulary):
        self.source, self.entries, self.dim, self.coded_layers = source, entries, dim, coded_layers
        self.vocabulary = vocabulary
        self.plan = []  # of each part its key, its bytes where it is as it is, and else the parts of the stream
        self.found = {}  # what it holds: bytes, or symbols

    def model(self, bias, link, metadata):
        tables = [entry for entry in self.entries if entry["kind"] == "cat"]
        numeric = [entry for entry in self.entries if entry["kind"] in ("num", "lin")]
        ids = [(entry["name"], entry["name"], entry["pad"]) for entry in tables]
        for entry in self.entries:
            if entry["kind"] == "as":
                table = self.entries[entry["table"]]
                ids.append((entry["name"], table["name"], table["pad"]))
        poolings = {entry["name"]: entry["pooling"] for entry in self.entries if "pooling" in entry}
        for entry in tables:
            self.plan_field(entry)
        self.plan_layers(metadata["network"], len(ids), numeric)
        weights = [self.numeric(entry) for entry in numeric]
        end = len(self.source.data) - self.vocabulary
        self.take(end)
        fields = {entry["name"]: self.field(entry) for entry in tables}
        network = b"".join(self.layer(number) for number in range(len(self.coded_layers)))
        words = read_vocabulary(self.source.data[end:]) if self.vocabulary else {}
        layers = read_network(network, metadata, ids, weights, poolings)
        return Model(bias, fields, ids, weights, link, metadata, words, poolings, layers)

    def numeric(self, entry):
        linear_only = entry["kind"] == "lin"
        weight, *embedding = self.source.array(1 if linear_only else 1 + self.dim, "<f4")
        return Numeric(entry["name"], weight, np.array(embedding or np.zeros(self.dim)), linear_only)

    def plan_field(self, entry):
        name, cardinality, count = entry["name"], entry["cardinality"], len(entry["sizes"])
        if entry["coded"]:
            self.plan.append(((name, "tiers"), None, [(cardinality, from_weights(entry["sizes"]))]))
        elif count > 1:
            self.plan.append(((name, "tiers"), -(-cardinality * (1 if count == 2 else 2) // 8), None))
        for tier, (size, stored) in enumerate(zip(entry["sizes"], entry["stored"], strict=True)):
            self.plan_tier(name, tier, size, *stored)

    def plan_tier(self, name, tier, size, bits, codewords, linear, coded):
        shapes, columns = self.shapes(size, codewords), [*codewords, *([linear] if linear else [])]
        numbers = sum(rows * width for rows, width in shapes)
        scales = 0 if bits > 8 else len(shapes) + 1 if bits == 8 else 2
        self.plan.append(((name, tier, "scales"), 2 * scales, None))
        runs = None
        if coded[1]:
            groups = {
                0: [numbers],
                1: [rows for rows, width in shapes for _ in range(width)],
                2: [rows * width for rows, width in shapes],
            }[self.source.byte()]
            runs = [(count, integers(self.source.byte(), 2 ** (bits - 1) - 1)) for count in groups]
        self.plan.append(((name, tier, "tables"), -(-bits * numbers // 8), runs))
        runs = [(linear or size, integers(self.source.byte(), 127))] if coded[2] else None
        self.plan.append(((name, tier, "linear"), max(1, bits // 8) * (linear or size), runs))
        runs = [(size, codes_model(self.source, k)) for k in columns if k > 1] if coded[0] else None
        check(runs != [], "codes")
        self.plan.append(((name, tier, "codes"), -(-size * sum(map(width_of, columns)) // 8), runs))

    def shapes(self, size, codewords):
        return list(zip(codewords, sizes(self.dim, len(codewords)), strict=True)) if codewords else [(size, self.dim)]

    def plan_layers(self, network, ids, numeric):
        if not network:
            return
        kind, *layers = network
        linear_only = sum(entry["kind"] == "lin" for entry in numeric)
        vectors = ids + len(numeric) - linear_only if kind == "deepfm" else 1
        inputs = vectors * self.dim + linear_only
        for number, ((outputs, _, bits), coded) in enumerate(zip(layers, self.coded_layers, strict=True)):
            self.plan.append(((number, "head"), (6 if bits == 8 else 4) * outputs, None))
            runs = [(outputs * inputs, integers(self.source.byte(), 127))] if coded else None
            self.plan.append(((number, "weights"), bits // 8 * outputs * inputs, runs))
            inputs = outputs

    def take(self, end):
        """Take what is as it is, and then all symbols."""
        for key, size, runs in self.plan:
            if runs is None:
                self.found[key] = self.source.take(size)
        symbols = iter(
            decode(self.source.data[self.source.at : end], [run for *_, own in self.plan for run in own or []])
        )
        for key, _, runs in self.plan:
            if runs is not None:
                self.found[key] = [next(symbols) for _ in runs]

    def layer(self, number):
        weights = self.found[number, "weights"]
        if not isinstance(weights, bytes):
            weights = bytes((symbol - 127) % 256 for symbol in weights[0])
        return self.found[number, "head"] + weights

    def field(self, entry):
        name, count = entry["name"], len(entry["sizes"])
        tiers = [0] * entry["cardinality"]
        if count > 1:
            tiers = self.found[name, "tiers"]
            tiers = rows_of(tiers, entry["cardinality"], [1 if count == 2 else 2], entry["coded"])
            tiers = [tier for (tier,) in tiers]
            check([tiers.count(tier) for tier in range(count)] == entry["sizes"], "tiers")
        stored = zip(entry["sizes"], entry["stored"], strict=True)
        parts = [self.part(name, tier, size, *own) for tier, (size, own) in enumerate(stored)]
        return Field(name, parts, tiers)

    def part(self, name, tier, size, bits, codewords, linear, coded):
        found = {kind: self.found[name, tier, kind] for kind in ("scales", "tables", "linear", "codes")}
        scales = Bytes(found["scales"]).array(len(found["scales"]) // 2, "<f2").tolist()
        check(not any(np.signbit(scales)), "scale")
        shapes = self.shapes(size, codewords)
        own = [scales[0]] * len(shapes) + scales[1:] if bits < 8 else scales
        numbers = self.tables(found["tables"], shapes, bits)
        weights = self.linear(found["linear"], linear or size, bits)
        if own:
            numbers = [table * scale for table, scale in zip(numbers, own, strict=False)]
            weights = weights * own[-1]
        columns = [*codewords, *([linear] if linear else [])]
        if coded[0]:
            runs = iter(found["codes"])
            codes = list(zip(*(next(runs) if k > 1 else [0] * size for k in columns), strict=True))
        else:
            codes = rows_of(found["codes"], size, list(map(width_of, columns)), coded=False)
        check(all(code < k for row in codes for code, k in zip(row, columns, strict=True)), "code")
        return Part(size, numbers, codes, weights, not codewords, not linear)

    def tables(self, found, shapes, bits):
        counts = [rows * width for rows, width in shapes]
        if isinstance(found, bytes):
            every = plain_numbers(found, sum(counts), bits)
            cut = np.split(every, np.cumsum(counts)[:-1])
            return [numbers.reshape(shape) for numbers, shape in zip(cut, shapes, strict=True)]
        every = np.array(list(itertools.chain.from_iterable(found)), np.float64) - (2 ** (bits - 1) - 1)
        cut = np.split(every, np.cumsum(counts)[:-1])
        return [numbers.reshape(width, rows).T for numbers, (rows, width) in zip(cut, shapes, strict=True)]

    def linear(self, found, count, bits):
        if isinstance(found, bytes):
            return plain_numbers(found, count, max(bits, 8))
        return np.array(found[0], np.float64) - 127


def plain_numbers(data, count, bits):
    if bits < 8:
        largest = 2 ** (bits - 1) - 1
        found = np.array([number for (number,) in Bytes(data).stream(count, [bits])], np.float64) - largest
    else:
        found = Bytes(data).array(count, {8: "i1", 16: "<f2", 32: "<f4"}[bits])
        largest = 127 if bits == 8 else np.inf
    check((np.abs(found) <= largest).all(), "numbers")
    return found


def rows_of(found, rows, widths, coded):
    return [(symbol,) for symbol in found[0]] if coded else Bytes(found).stream(rows, widths)


def width_of(k):
    return (k - 1).bit_length()


def from_weights(weights):
    total = sum(weights)
    rare = [2**15 * weight < 3 * total for weight in weights]
    upto = list(itertools.accumulate(0 if own else weight for own, weight in zip(rare, weights, strict=True)))
    ends = [0, *(end * (2**14 - sum(rare)) // upto[-1] for end in upto)]
    found = [1 if own else end - start for own, (start, end) in zip(rare, itertools.pairwise(ends), strict=True)]
    top = found.index(max(found))
    above = found[top] - (2**14 - 2**8)
    if above > 0:
        found[top] -= above
        found[top + 1 if top + 1 < len(found) else top - 1] += above
    check(sum(found) == 2**14, "frequencies")
    return found


def weight_of(cost):
    return COSTS[cost % 16] >> cost // 16 if cost < 256 else 0


def codes_model(source, k):
    first = source.byte()
    ranks, rises = [k - 1], [first]
    if first >= 240:
        check(1 <= first - 240 <= 7, "model")
        ranks = [max(1, k // part) for bit, part in enumerate((16, 4, 2)) if first - 240 >> bit & 1] + [k - 1]
        rises = list(source.take(len(ranks)))
    costs, at = [0] * k, 0
    for rank, rise in zip(ranks, rises, strict=True):
        before = costs[at]
        for r in range(at + 1, rank + 1):
            costs[r] = before + rise * (r - at) // (rank - at)
        if rank == at:
            costs[at] += rise
        at = rank
    return from_weights([weight_of(cost) for cost in costs])


def integers(byte, largest):
    q = COSTS[2 * (byte % 8)] >> byte % 128 // 8
    sizes_ = [abs(m) for m in range(-largest, largest + 1)]
    return from_weights([weight_of(q * m >> 8 if byte < 128 else q * m * m >> 10) for m in sizes_])


def decode(data, runs):
    """Return the symbols of each part of a stream."""
    if not runs:
        check(not data, "stream")
        return []
    source = Bytes(data)
    lanes = source.byte()
    check(lanes <= 13, "lanes")
    states = list(struct.unpack(f"<{2**lanes}I", source.take(4 << lanes)))
    check(min(states) >= 2**16, "states")
    found = []
    for count, frequencies in runs:
        starts = [0, *itertools.accumulate(frequencies)]
        symbols = []
        for i in range(count):
            x = states[i % 2**lanes]
            slot = x % 2**14
            s = bisect_right(starts, slot) - 1
            x = frequencies[s] * (x >> 14) + slot - starts[s]
            if x < 2**16:
                x = x << 16 | int.from_bytes(source.take(2), "little")
            states[i % 2**lanes] = x
            symbols.append(s)
        found.append(symbols)
    check(source.at == len(data) and set(states) == {2**16}, "end")
    return found
