"""A reader of artifacts that was written from docs/format.md alone: slow, plain, and without fmcompress."""

import hashlib
import json
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
class Model:
    bias: float
    fields: list
    metadata: dict

    def logit(self, ids):
        pairs = [field.place(i) for field, i in zip(self.fields, ids, strict=True) if i != -1]
        total = self.bias + sum(part.weight(i) for part, i in pairs)
        vectors = [part.embedding(i) for part, i in pairs]
        return total + 0.5 * (np.sum(np.sum(vectors, axis=0) ** 2) - sum(np.sum(v**2) for v in vectors))

    def predict(self, rows):
        return np.array([1 / (1 + np.exp(-self.logit(ids))) for ids in rows])


def read(data):
    """Return the model that the bytes of a file hold; ValueError where they are none."""
    length = int.from_bytes(data[:8], "little")
    layout = json.loads(data[8 : 8 + length])
    metadata = json.loads(layout["__metadata__"]["fmcompress"])
    check(metadata["schema_version"] == 1, "version")
    check(metadata.get("link", "sigmoid") == "sigmoid", "link")
    seal = metadata["sha256"].encode()
    check(hashlib.sha256(data.replace(seal, b"0" * 64)).hexdigest().encode() == seal, "seal")

    payload = data[8 + length :]
    parts = {}
    for name, dtype in (("bias", "F32"), ("values", "F16"), ("codes", "U8")):
        check(layout[name]["dtype"] == dtype, "dtype")
        start, end = layout[name]["data_offsets"]
        parts[name] = payload[start:end]
        check(end - start == layout[name]["shape"][0] * int(dtype[1:]) // 8, "offsets")
    check(layout["codes"]["data_offsets"][1] == len(payload), "end")

    bias = float(np.frombuffer(parts["bias"], "<f4")[0])
    values = np.frombuffer(parts["values"], "<f2").astype(np.float64)
    streams = Stream(values, parts["codes"])
    fields = [streams.field(entry, metadata["dim"]) for entry in metadata["fields"]]
    check(streams.value == len(values) and streams.byte == len(parts["codes"]), "sizes")
    return Model(bias, fields, metadata)


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

    def field(self, entry, dim):
        name, kind, cardinality, *stored = entry
        check(kind == "cat", "kind")
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
        name = embedding.removesuffix(":8")
        take = self.take if name == embedding else self.take_int8
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
