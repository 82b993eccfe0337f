"""A reader of artifacts that was written from docs/format.md alone: slow, plain, and without fmcompress."""

import hashlib
import itertools
import json
import lzma
import math
from dataclasses import dataclass

import numpy as np


@dataclass
class Part:
    size: int
    tables: list  # float64 (K, size) each; raw embeddings are one table
    codes: list  # of each category, its codes; the linear weight's is the last one, where there is one
    linear: np.ndarray
    raw: bool
    raw_linear: bool

    def embedding(self, category):
        if self.raw:
            return self.tables[0][category]
        codes = self.codes[category][: len(self.tables)]
        return np.concatenate([table[code] for table, code in zip(self.tables, codes, strict=True)])

    def weight(self, category):
        return self.linear[category if self.raw_linear else self.codes[category][-1]]


@dataclass
class Field:
    name: str
    parts: list
    tiers: list  # of each category

    def place(self, category):
        """Return the part of a category, and its number there."""
        check(0 <= category < len(self.tiers), "id")
        tier = self.tiers[category]
        return self.parts[tier], self.tiers[:category].count(tier)


@dataclass
class Numeric:
    name: str
    weight: float
    embedding: np.ndarray  # zeros for a field that is linear only
    linear_only: bool


ACTIVATIONS = {
    "identity": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "sigmoid": lambda x: np.where(x < 0, np.exp(-np.abs(x)), 1) / (1 + np.exp(-np.abs(x))),
    "tanh": np.tanh,
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
}


@dataclass
class Network:
    kind: str
    layers: list  # of each: weights, float64 (out, in), biases, float64 (out,), and the name of its activation

    def logit(self, vectors, values):
        """Return what embeddings and values of a row come to, pairs of embeddings among it where they do."""
        pairs = 0.5 * (np.sum(vectors, axis=0) ** 2 - np.sum(np.square(vectors), axis=0))
        x = np.concatenate([*(vectors if self.kind == "deepfm" else [pairs]), values])
        for weight, bias, activation in self.layers:
            x = ACTIVATIONS[activation](weight @ x + bias)
        return x[0] + (np.sum(pairs) if self.kind == "deepfm" else 0)


@dataclass
class Model:
    bias: float
    tables: dict  # by name: the fields with tables of their own
    ids: list  # of each id of a row: name of the field, name of its table, PAD or -1
    numeric: list
    link: str
    metadata: dict
    vocabulary: dict  # by name: (ids by token, oov, missing)
    poolings: dict  # by name, of the fields that may have several values in a row
    network: Network | None

    def logit(self, ids, values=(), bags=None):
        """Return the logit of a row; ``bags`` are lists of (id, weight) by the names of fields."""
        check(len(ids) == len(self.ids) and len(values) == len(self.numeric), "columns")
        check(set(bags or {}) <= set(self.poolings), "bags")
        total, vectors, nothing = self.bias, [], np.zeros(self.metadata["dim"])
        for i, (name, table, pad) in zip(ids, self.ids, strict=True):
            check(name not in (bags or {}) or i in (-1, pad), "an id beside a bag")
            given = [pair for pair in (bags or {}).get(name, [(i, 1)]) if pair[0] not in (-1, pad)]
            terms = self.terms(name, table, given)
            total += sum(weight for weight, _ in terms)
            vectors += [vector for _, vector in terms] or [nothing]
        numeric = list(zip(values, self.numeric, strict=True))
        total += sum(x * field.weight for x, field in numeric)
        vectors += [x * field.embedding for x, field in numeric if not field.linear_only]
        if self.network:
            return total + self.network.logit(vectors, [x for x, field in numeric if field.linear_only])
        return total + 0.5 * (np.sum(np.sum(vectors, axis=0) ** 2) - sum(np.sum(v**2) for v in vectors))

    def terms(self, name, table, given):
        found = []
        for i, c in given:
            check(math.isfinite(c), "weight")
            part, row = self.tables[table].place(i)
            found.append((c * part.weight(row), c * part.embedding(row)))
        pooling = self.poolings.get(name, "each")
        if pooling == "each" or not found:
            return found
        embedding, _, linear = pooling.partition("/")
        s = {"sum": 1, "mean": 1 / len(found), "sqrtn": 1 / math.sqrt(len(found))}
        return [(s[linear or embedding] * sum(w for w, _ in found), s[embedding] * sum(v for _, v in found))]

    def predict(self, rows, values=None, bags=None):
        values = np.zeros((len(rows), 0)) if values is None else values
        own = [bags_of_row(bags or {}, row) for row in range(len(rows))]
        return np.array([self.predicted(self.logit(*row)) for row in zip(rows, values, own, strict=True)])

    def predicted(self, logit):
        name, *limits = self.link.split(":")
        if name == "sigmoid":
            return 1 / (1 + np.exp(-logit))
        if name == "probit":
            return 0.5 * math.erfc(-logit / math.sqrt(2))
        if name == "clip":
            low, high = map(float, limits)
            check(-math.inf < low < high < math.inf, "limits")
            return min(max(logit, low), high)
        check(name == "identity", "link")
        return logit


def bags_of_row(bags, row):
    """Return (id, weight) of each value of a row, by the names of fields, out of those of all rows."""
    weights = {name: bag["weights"] or [[1] * len(ids) for ids in bag["ids"]] for name, bag in bags.items()}
    return {name: list(zip(bag["ids"][row], weights[name][row], strict=True)) for name, bag in bags.items()}


ITEM_BYTES = {"F32": 4, "F16": 2, "U8": 1}


def read(data):
    """Return the model that the bytes of a file hold; ValueError where they are none."""
    length = int.from_bytes(data[:8], "little")
    layout = json.loads(data[8 : 8 + length])
    metadata = json.loads(layout.pop("__metadata__")["fmcompress"])
    check(metadata["schema_version"] == (2 if metadata.get("network") else 1), "version")
    seal = metadata["sha256"].encode()
    check(hashlib.sha256(data.replace(seal, b"0" * 64)).hexdigest().encode() == seal, "seal")

    payload = data[8 + length :]
    parts = {"numeric": b"", "network": b"", "vocabulary": b""}
    at = 0
    dtypes = {"bias": "F32", "numeric": "F32", "values": "F16", "codes": "U8", "network": "U8", "vocabulary": "U8"}
    check(list(layout) == [name for name in dtypes if name in layout], "order")
    for name, tensor in layout.items():
        check(tensor["dtype"] == dtypes[name], "dtype")
        end = at + tensor["shape"][0] * ITEM_BYTES[dtypes[name]]
        check(tensor["data_offsets"] == [at, end], "offsets")
        parts[name] = payload[at:end]
        at = end
    check(at == len(payload), "end")

    bias = float(np.frombuffer(parts["bias"], "<f4")[0])
    values = np.frombuffer(parts["values"], "<f2").astype(np.float64)
    streams = Stream(values, parts["codes"])
    entries, poolings = split_kinds(metadata["fields"])
    tables = {entry[0]: streams.field(entry, metadata["dim"]) for entry in entries if entry[1] == "cat"}
    check(streams.value == len(values) and streams.byte == len(parts["codes"]), "sizes")
    pads = {entry[0]: entry[2][1] if isinstance(entry[2], list) else -1 for entry in entries if entry[1] == "cat"}
    ids = [(name, name, pads[name]) for name in tables]
    ids += [(name, *rest, pads[rest[0]]) for name, kind, *rest in entries if kind == "as"]
    numeric = read_numeric(np.frombuffer(parts["numeric"], "<f4").astype(np.float64), entries, metadata["dim"])
    check(len(ids) + len(numeric) == len({entry[0] for entry in entries}) == len(entries), "kinds")
    vocabulary = read_vocabulary(parts["vocabulary"]) if "vocabulary" in layout else {}
    link = metadata.get("link", "sigmoid")
    network = read_network(parts["network"], metadata, ids, numeric, poolings)
    return Model(bias, tables, ids, numeric, link, metadata, vocabulary, poolings, network)


def split_kinds(entries):
    """Return the entries without their poolings, and these by name."""
    scales = ("sum", "mean", "sqrtn")
    known = {"each", *scales, *(f"{one}/{other}" for one in scales for other in scales if one != other)}
    plain, poolings = [], {}
    for name, kind, *rest in entries:
        family, colon, pooling = kind.partition(":")
        if colon:
            check(family in ("cat", "as") and pooling in known, "pooling")
            poolings[name] = pooling
        plain.append([name, family, *rest])
    return plain, poolings


def read_numeric(numbers, entries, dim):
    fields, at = [], 0
    for name, kind, *_ in entries:
        if kind in ("num", "lin"):
            size = dim if kind == "num" else 0
            embedding = numbers[at + 1 : at + 1 + size] if size else np.zeros(dim)
            fields.append(Numeric(name, numbers[at], embedding, kind == "lin"))
            at += 1 + size
    check(at == len(numbers), "numeric")
    return fields


def read_network(data, metadata, ids, numeric, poolings):
    kind, *layers = metadata.get("network") or [None]
    if kind is None:
        check(not data, "network")
        return None
    check(kind in ("deepfm", "nfm") and 1 <= len(layers) <= 64 and layers[-1][0] == 1, "network")
    check("each" not in poolings.values(), "values that are terms of their own")
    linear_only = sum(field.linear_only for field in numeric)
    vectors = len(ids) + len(numeric) - linear_only if kind == "deepfm" else 1
    inputs, at, found = vectors * metadata["dim"] + linear_only, 0, []

    def take(count, dtype):
        nonlocal at
        start, at = at, at + count * np.dtype(dtype).itemsize
        check(at <= len(data), "network")
        numbers = np.frombuffer(data[start:at], dtype).astype(np.float64)
        check(np.isfinite(numbers).all(), "network")
        return numbers

    for outputs, activation, bits in layers:
        check(activation in ACTIVATIONS and 1 <= outputs <= 2**20, "layer")
        bias = take(outputs, "<f4")
        scales = take(outputs, "<f2") if bits == 8 else np.ones(outputs)
        check(not np.signbit(scales).any(), "scale")
        weights = take(outputs * inputs, {8: "i1", 16: "<f2", 32: "<f4"}[bits])
        check(bits != 8 or (weights >= -127).all(), "int8")
        found.append((weights.reshape(outputs, inputs) * scales[:, None], bias, activation))
        inputs = outputs
    check(at == len(data), "network")
    return Network(kind, found)


def mix(key):
    key ^= key >> 30
    key = key * 0xBF58476D1CE4E5B9 % 2**64
    key ^= key >> 27
    key = key * 0x94D049BB133111EB % 2**64
    return key ^ (key >> 31)


class Keys:
    """The keys of a field, found one by one."""

    def __init__(self, data, ids):
        self.count, self.width, in_full = (int.from_bytes(data[at : at + 8], "little") for at in (0, 8, 16))
        check(
            self.count < 2**31 and 1 <= self.width <= (64 if self.count < 2 else 65 - self.count.bit_length()), "keys"
        )
        at = 24

        def take(size):
            nonlocal at
            start, at = at, at + size
            return data[start:at]

        bits = int.from_bytes(take((2 * self.count + 63) // 64 * 8), "little")
        self.checks = int.from_bytes(take((self.width * self.count + 63) // 64 * 8), "little")
        self.whole = [int.from_bytes(take(8), "little") for _ in range(in_full)]
        self.ranks = [int.from_bytes(take(4), "little") for _ in range(in_full)]
        check(take(16) == bytes(16) and at == len(data), "size of keys")
        check(bits >> 2 * self.count == 0 and self.checks >> self.width * self.count == 0, "filling")
        sizes = [len(run) for run in f"{bits:0{2 * self.count}b}"[::-1].split("0")] if self.count else [0]
        check(len(sizes) == self.count + 1 and sizes[-1] == 0 and max(sizes) < 64, "buckets")
        self.starts = np.cumsum([0, *sizes]).tolist()
        for numbers in (self.whole, self.ranks):
            check(all(one < other for one, other in itertools.pairwise(numbers)), "order")
        check(all(rank < self.count for rank in self.ranks), "ranks")
        self.ids = self._ids(ids) if ids else range(self.count)

    def _ids(self, data):
        width, stream = int.from_bytes(data[:8], "little"), int.from_bytes(data[8:], "little")
        check(1 <= width <= 31 and len(data) == 8 + (width * self.count + 63) // 64 * 8 + 16, "size of ids")
        check(stream >> width * self.count == 0, "filling")
        return [stream >> width * rank & (1 << width) - 1 for rank in range(self.count)]

    def find(self, key):
        """Return the id of a key, None where it is unknown."""
        if not self.count:
            return None
        mixed, mask = mix(key), (1 << self.width) - 1
        bucket = mixed * self.count >> 64
        ranks = range(self.starts[bucket], self.starts[bucket + 1])
        hits = [rank for rank in ranks if (self.checks >> self.width * rank ^ mixed) & mask == 0]
        if len(hits) > 1:
            hits = [rank for whole, rank in zip(self.whole, self.ranks, strict=True) if whole == mixed]
        return self.ids[hits[0]] if hits else None


def read_vocabulary(data):
    if data[:8] != b"\xff" * 8:
        return read_tokens(data)
    at = 16 + int.from_bytes(data[8:16], "little")
    found = {}
    for name, oov, missing, keys, ids in json.loads(data[16:at]):
        found[name] = Keys(data[at : at + keys], data[at + keys : at + keys + ids]), oov, missing
        at += keys + ids
    tokens = read_tokens(data[at:]) if at < len(data) else {}
    check(at <= len(data) and found and not found.keys() & tokens, "keys")
    return found | tokens


def read_tokens(data):
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 2**23}]
    unpacked = lzma.decompress(data[8:], format=lzma.FORMAT_RAW, filters=filters)
    check(len(unpacked) == int.from_bytes(data[:8], "little"), "vocabulary size")
    at = 4 + int.from_bytes(unpacked[:4], "little")
    found = {}
    for name, oov, missing, tokens, a, b, c in json.loads(unpacked[4:at]):
        columns = [unpacked[at : at + tokens * a], unpacked[at + tokens * a : at + tokens * (a + b)]]
        text = unpacked[at + tokens * (a + b) : at + tokens * (a + b) + c].decode("utf-8", errors="surrogatepass")
        steps, lengths = (
            [int.from_bytes(column[k * w : (k + 1) * w], "little") for k in range(tokens)]
            for column, w in zip(columns, (a, b), strict=True)
        )
        ends = np.cumsum([0, *lengths]).tolist()
        check(ends[-1] == len(text), "lengths")
        cut = [text[start:end] for start, end in itertools.pairwise(ends)]
        found[name] = dict(zip(cut, np.cumsum(steps).tolist(), strict=True)), oov, missing
        at += tokens * (a + b) + c
    check(at == len(unpacked), "columns")
    return found


class Stream:
    """Takes one field after the other."""

    def __init__(self, values, codes):
        self.values, self.codes = values, codes
        self.value = self.byte = 0

    def take(self, *shape):
        start, self.value = self.value, self.value + int(np.prod(shape))
        return self.values[start : self.value].reshape(shape)

    def take_int8(self, *shape):
        scale = self.take(1)
        check(scale[0] >= 0 and not np.signbit(scale[0]), "scale")
        start, self.byte = self.byte, self.byte + int(np.prod(shape))
        numbers = np.frombuffer(self.codes[start : self.byte], np.int8)
        check((numbers >= -127).all(), "int8")
        return numbers.reshape(shape) * scale

    def take_fp32(self, *shape):
        start, self.byte = self.byte, self.byte + 4 * int(np.prod(shape))
        numbers = np.frombuffer(self.codes[start : self.byte], "<f4")
        check(np.isfinite(numbers).all(), "fp32")
        return numbers.reshape(shape).astype(np.float64)

    def field(self, entry, dim):
        name, _, cardinality, *stored = entry
        cardinality, *_ = cardinality if isinstance(cardinality, list) else [cardinality]
        tiers = [[0] * cardinality]
        if len(stored) == 1:
            (stored,) = stored
            check(2 <= len(stored) <= 4, "tiers")
            bits = 1 if len(stored) == 2 else 2
            tiers = list(zip(*self.rows(cardinality, [bits]), strict=True))
            check([tiers[0].count(tier) for tier in range(len(stored))] == [size for size, *_ in stored], "sizes")
        else:
            stored = [[cardinality, *stored]]
        check(sum(size for size, *_ in stored) == cardinality, "cardinality")
        return Field(name, [self.part(*tier, dim) for tier in stored], list(tiers[0]))

    def part(self, size, embedding, linear, _, dim):
        name, _, suffix = embedding.partition(":")
        take = {"": self.take, "8": self.take_int8, "32": self.take_fp32}[suffix]
        codewords = embedding_codewords(name)
        shapes = [(size, dim)] if name == "raw" else zip(codewords, sizes(dim, len(codewords)), strict=True)
        tables = [take(*shape) for shape in shapes]
        linear_codewords = {"raw": 0, "shared": 1}.get(linear) if linear in ("raw", "shared") else int(linear)
        weights = take(linear_codewords or size)
        coded = [*codewords, *([linear_codewords] if linear_codewords else [])]
        codes = self.rows(size, [int(np.ceil(np.log2(k))) for k in coded])
        check(all(code < k for row in codes for code, k in zip(row, coded, strict=True)), "code")
        return Part(size, tables, codes, weights, name == "raw", linear == "raw")

    def rows(self, cardinality, widths):
        size = -(-cardinality * sum(widths) // 8)
        bits = int.from_bytes(self.codes[self.byte : self.byte + size], "little")
        self.byte += size
        found = []
        for _ in range(cardinality):
            row = bits & ((1 << sum(widths)) - 1)
            bits >>= sum(widths)
            codes = []
            for width in widths:
                codes.append(row & ((1 << width) - 1))
                row >>= width
            found.append(codes)
        return found


def embedding_codewords(name):
    if name == "raw":
        return []
    if name == "shared":
        return [1]
    if name[0] == "b":
        return [2 ** int(digit, 16) for digit in name[1:]]
    if "x" in name:
        subspaces, codewords = name.split("x")
        return [int(codewords)] * int(subspaces)
    return [int(k) for k in name.split(",")]


def sizes(dim, subspaces):
    size, larger = divmod(dim, subspaces)
    return [size + 1] * larger + [size] * (subspaces - larger)


def check(fits, what):
    if not fits:
        raise ValueError(what)
