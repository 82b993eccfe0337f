"""The models of the golden vectors, each with what a reader may get wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from docs.golden.drawn import Drawn
from fmcompress.artifact import Origin, PackedFM, pack_model, with_vocabulary
from fmcompress.artifact.numbers import as_stored
from fmcompress.artifact.origin import PLAIN, Layout
from fmcompress.fm.field_keys import FieldKeys
from fmcompress.fm.field_vocabulary import FieldVocabulary
from fmcompress.fm.network import DenseLayer, Network, input_size
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.fm.pooling import parse_pooling
from fmcompress.fm.quantized_fm import QuantizedField, QuantizedFM
from fmcompress.fm.quantizer import parse_quantizer
from fmcompress.fm.schema import Field, NumericField, Schema, SharedField
from fmcompress.fm.tiers import Tiers
from fmcompress.fm.vocabulary import Vocabulary
from fmcompress.types import Float32Array


@dataclass(frozen=True)
class Table:
    """A field with a table of its own.

    Attributes:
        name: its name.
        tiers: categories, quantizer of the embeddings and quantizer of the linear weights of each tier, between bars.
        pad: id of PAD.
        pooling: name of the pooling, where a row may have several values.
    """

    name: str
    tiers: str
    pad: int | None = None
    pooling: str | None = None

    def field(self, cardinality: int) -> Field:
        """Return the field of a schema."""
        return Field(self.name, cardinality, self.pad, parse_pooling(self.pooling) if self.pooling else None)


@dataclass(frozen=True)
class Golden:
    """A model of the golden vectors.

    Attributes:
        describes: what it is there for.
        dim: embedding size.
        fields: the fields.
        link: from logit to prediction.
        scale: what all numbers of its tables are multiplied by.
        vocabulary: of its fields.
        keys: of fields with keys those that are looked up, known and unknown ones.
        bags: names of the fields whose rows have bags, and whether these have weights; a pooled one that is not
            there has one value in a row at most.
        network: kind of the network on top, then outputs, activation and bits of each layer, between bars.
    """

    describes: str
    dim: int
    fields: tuple[Table | SharedField | NumericField, ...]
    link: str = "sigmoid"
    scale: float = 1.0
    vocabulary: Mapping[str, FieldVocabulary | FieldKeys] = field(default_factory=dict)
    keys: Mapping[str, Sequence[int]] = field(default_factory=dict)
    bags: Mapping[str, bool] = field(default_factory=dict)
    network: str = ""

    def packed(self, name: str, layout: Layout = PLAIN) -> PackedFM:
        """Return the model as an artifact of a layout holds it; its numbers are drawn by its name."""
        drawn = Drawn(name)
        tables = [own for own in self.fields if isinstance(own, Table)]
        tiers = [[tier.split() for tier in own.tiers.split("|")] for own in tables]
        sizes = {own.name: [int(tier[0]) for tier in split] for own, split in zip(tables, tiers, strict=True)}
        schema = Schema.in_order(
            own.field(sum(sizes[own.name])) if isinstance(own, Table) else own for own in self.fields
        )
        parts = tuple(self._part(drawn, *tier) for split in tiers for tier in split)
        of = [drawn.shuffled(np.repeat(np.arange(len(own)), own)) for own in sizes.values()]
        split = Tiers(schema, np.concatenate(of).astype(np.uint8))
        numeric = _numeric(drawn, schema, self.dim)
        bias = float(drawn.numbers(1)[0])
        model = QuantizedFM(schema, self.dim, self.link, bias, parts, split, numeric)
        if self.network:
            model = self._with_network(drawn, model)
        packed = pack_model(model, Origin(budget_bytes=0, method="golden", seed=0, layout=layout))
        return with_vocabulary(packed, Vocabulary(self.vocabulary)) if self.vocabulary else packed

    def _part(self, drawn: Drawn, size: str, embedding: str, linear: str) -> QuantizedField:
        quantizer, cardinality = parse_quantizer(embedding, linear), int(size)

        def table(*shape: int) -> Float32Array:
            numbers = drawn.numbers(*shape) * np.float32(self.scale)
            return as_stored(numbers, quantizer.value_bytes) if quantizer.integer_bits == 8 else numbers

        codes = np.array([drawn.whole(k, cardinality) for k in quantizer.codewords], dtype=np.uint16)
        of_linear = drawn.whole(max(1, quantizer.linear_codewords), 0 if quantizer.linear_raw else cardinality)
        return QuantizedField(
            quantizer,
            tuple(table(*shape) for shape in quantizer.table_shapes(cardinality, self.dim)),
            codes.reshape(len(quantizer.codewords), cardinality).T,
            table(quantizer.linear_values(cardinality)),
            of_linear.astype(np.uint16),
            error=1e-4,
        )

    def _with_network(self, drawn: Drawn, model: QuantizedFM) -> QuantizedFM:
        kind, *described = self.network.split(" | ")
        inputs, layers, value_bytes = input_size(kind, model.schema, self.dim), [], []
        for outputs, activation, bits in (layer.split() for layer in described):
            weight, bias = drawn.numbers(int(outputs), inputs), drawn.numbers(int(outputs))
            layers.append(DenseLayer(weight, bias, activation))
            value_bytes.append(int(bits) // 8)
            inputs = int(outputs)
        return replace(model, network=Network(kind, tuple(layers)), network_bytes=tuple(value_bytes))


def _numeric(drawn: Drawn, schema: Schema, dim: int) -> NumericWeights:
    embeddings = drawn.numbers(len(schema.numeric), dim)
    embeddings[[own.linear_only for own in schema.numeric]] = 0
    return NumericWeights(drawn.numbers(len(schema.numeric)), embeddings)


def _tables(*tiers: str) -> tuple[Table, ...]:
    return tuple(Table(f"f{number}", own) for number, own in enumerate(tiers))


def _of_every_kind() -> tuple[Table | SharedField | NumericField, ...]:
    return (
        NumericField("price"),
        SharedField("seen", "item"),
        Table("user", "11 2x4 4 | 5 raw:8 raw", pad=3),
        NumericField("age", linear_only=True),
        Table("item", "9 raw raw"),
        SharedField("friend", "user"),
        NumericField("distance"),
    )


def _numbers(of: str, ids: Sequence[int]) -> dict[str, int]:
    return {f"{of}{number}": number for number in ids}


_VOCABULARY = {
    "user": FieldVocabulary.of({**_numbers("u", range(12)), "größe": 12, "🛒": 12, "": 15}, oov=0, missing=3),
    "item": FieldVocabulary.of(_numbers("i", [8, 0, 4])),
    "seen": FieldVocabulary.of({"a longer token, with a\nline": 2}, missing=1),
}

_HASHES = [0, 1, 2**63 - 1, 2**63, 2**64 - 1, *(number * 0x9E3779B97F4A7C15 % 2**64 for number in range(2, 72))]

GOLDEN = {
    "raw": Golden(
        "raw embeddings and linear weights in fp16, also of one category", 3, _tables("9 raw raw", "1 raw raw")
    ),
    "raw-int8": Golden(
        "raw tables in int8, each with its scale", 4, _tables("21 raw:8 raw", "5 raw:8 3", "6 raw:8 shared")
    ),
    "shared": Golden(
        "one embedding for all categories, in fp16 and int8, with linear weights of each kind",
        5,
        _tables(
            "7 shared raw", "9 shared shared", "12 shared 4", "6 shared:8 raw", "3 shared:8 shared", "8 shared:8 2"
        ),
    ),
    "codes": Golden(
        "equal powers of two, rows of many widths", 8, _tables("40 4x16 4", "33 2x64 raw", "20 8x2 16", "9 1x8 shared")
    ),
    "codes-int8": Golden("the same with codebooks in int8", 8, _tables("40 4x16:8 4", "33 2x64:8 raw", "20 8x2:8 16")),
    "raw-fp32": Golden(
        "raw tables in fp32; numbers that fp16 does not hold",
        4,
        _tables("21 raw:32 raw", "5 raw:32 4", "6 raw:32 shared", "3 raw raw"),
        scale=1 / 3,
    ),
    "codes-fp32": Golden(
        "codebooks in fp32, in fields of their own and beside others in tiers",
        8,
        _tables(
            "40 4x16:32 4",
            "21 b21:32 raw",
            "9 1x4:32 2",
            "4 shared:32 shared",
            "5 raw:32 raw | 30 2x8 4 | 12 8x2:8 2",
            "20 8x2:32 3 | 7 raw:8 raw",
        ),
        scale=1 / 3,
    ),
    "uneven-fp32": Golden(
        "D does not divide l, in fp32", 7, _tables("25 2x4:32 2", "25 3x4:32 raw", "9 raw:32 raw"), scale=1 / 3
    ),
    "unequal-codes": Golden(
        "a digit for each subspace, b…, with codes of 0 to 7 bits", 6, _tables("50 b705 8", "21 b0123 2", "9 b10:8 raw")
    ),
    "no-powers-of-two": Golden(
        "codebooks of any size: 3, 5, 17, 100", 6, _tables("40 3x7 5", "33 100,3 3", "25 17,1,5 raw", "9 1x3 9")
    ),
    "one-codeword": Golden(
        "codebooks of one codeword, whose codes take no bits", 4, _tables("9 2x1 raw", "8 4x1 4", "7 1,3 shared")
    ),
    "uneven-subspaces": Golden(
        "D does not divide l: the first subspaces are one larger",
        7,
        _tables("25 2x4 2", "25 3x4 4", "25 4x4 raw", "25 5x2:8 2", "25 7x2 2"),
    ),
    "wide-rows": Golden(
        "rows of more than 64 bits", 32, _tables("40 32x16 16", "21 16x8 4", "30 b123456789a:8 raw"), scale=0.25
    ),
    "widest-codes": Golden("codes of 12 bits", 2, _tables("50 2x4096 4096"), scale=0.5),
    "one-dimension": Golden("l = 1", 1, _tables("9 1x4 2", "5 raw 2", "6 shared raw")),
    "two-tiers": Golden(
        "a bit for each category tells its tier; 150 of them",
        4,
        _tables("100 2x8 4 | 50 raw:8 raw", "1 raw raw | 30 shared 2"),
    ),
    "three-tiers": Golden("two bits for each category", 4, _tables("30 4x4:8 4 | 40 raw raw | 70 1x16 2", "9 raw raw")),
    "four-tiers": Golden(
        "four tiers, some of one category, some without codes",
        3,
        _tables("60 3x2 raw | 1 raw raw | 12 raw:8 3 | 1 shared shared"),
    ),
    "every-kind": Golden(
        "PAD, shared tables, numeric fields, linear ones, in an order of their own", 4, _of_every_kind()
    ),
    "pad": Golden(
        "PAD contributes nothing, though its row is not zero; it is PAD of the field that shares the table too",
        2,
        (Table("a", "5 raw raw", 4), SharedField("b", "a"), Table("c", "3 2x2 2", 0)),
    ),
    "numeric": Golden(
        "numeric fields beside one category; values of some size",
        3,
        (NumericField("n0"), NumericField("n1"), Table("c", "2 raw raw"), NumericField("n2", linear_only=True)),
        link="identity",
    ),
    "sigmoid": Golden("sigmoid, of logits far from 0", 4, _tables("30 raw raw", "30 raw raw"), scale=8),
    "probit": Golden("probit", 4, _tables("30 raw raw", "30 raw raw"), link="probit", scale=2),
    "identity": Golden("the logit itself", 4, _tables("30 raw raw", "30 raw raw"), link="identity", scale=8),
    "clip": Golden(
        "a clip of limits that are no whole numbers",
        4,
        _tables("30 raw raw", "30 raw raw"),
        link="clip:-0.75:1.5",
        scale=2,
    ),
    "vocabulary": Golden(
        "tokens of three fields; several with one id, an empty one, one with a line feed",
        4,
        _of_every_kind(),
        vocabulary=_VOCABULARY,
    ),
    "keys": Golden(
        "64-bit keys of two fields, once with ids that are ranks, once with two check bits and ids; and tokens",
        3,
        (Table("user", "40 1x4 raw"), Table("item", "31 raw raw"), Table("day", "3 raw raw")),
        vocabulary={
            "user": FieldKeys.of(np.array(_HASHES[:40], np.uint64)),
            "item": FieldKeys.of(np.array(_HASHES[5:35], np.uint64), np.arange(30)[::-1], oov=30, check_bits=2),
            "day": FieldVocabulary.of(_numbers("d", range(3)), missing=0),
        },
        keys={"user": _HASHES, "item": _HASHES},
    ),
    "names": Golden(
        "names of any Unicode, quoted as JSON inside JSON",
        2,
        (Table("größe", "4 raw raw"), Table('a "quoted" \\ name\n', "3 raw raw"), Table("🛒", "2 shared raw")),
    ),
    "subnormal": Golden(
        "numbers of fp16 below 2⁻¹⁴, and a scale of 0",
        2,
        _tables("30 raw raw", "9 raw:8 raw"),
        link="identity",
        scale=2**-14,
    ),
    "zero-scale": Golden("a table in int8 of zeros: its scale is 0", 2, _tables("9 raw:8 raw", "4 raw raw"), scale=0.0),
    "several-values": Golden(
        "several values in a row, pooled in each way; with weights, PAD, a shared table, and one value in a column",
        5,
        (
            Table("user", "12 2x4 4"),
            Table("tags", "15 raw raw", 0, "mean"),
            Table("words", "20 5x3:8 raw", pooling="each"),
            Table("genres", "7 1x4 2 | 5 raw:8 raw", 4, "sqrtn/sum"),
            SharedField("seen", "words", parse_pooling("sum")),
            Table("shop", "9 raw 3", pooling="mean/sqrtn"),
            SharedField("friends", "user", parse_pooling("sqrtn")),
            NumericField("price"),
        ),
        bags={"tags": False, "words": True, "genres": True, "seen": True, "friends": False},
    ),
    "each-value": Golden(
        "values that are a term each, as tools without fields have them; weights of some size",
        8,
        (Table("features", "60 4x8 8 | 30 raw raw", pooling="each"),),
        link="identity",
        bags={"features": True},
    ),
    "deepfm": Golden(
        "a DeepFM: dense layers in int8 that take fields of every kind, pairs of these beside them",
        4,
        (*_of_every_kind(), Table("tags", "15 raw raw", 0, "mean")),
        bags={"tags": True},
        network="deepfm | 17 relu 8 | 9 leaky_relu 8 | 5 elu 8 | 1 identity 8",
    ),
    "nfm": Golden(
        "an NFM: dense layers in fp32, fp16 and int8; the last one has an activation too",
        7,
        (Table("a", "25 3x4 4"), *_of_every_kind(), SharedField("b", "a", parse_pooling("sqrtn/sum"))),
        link="identity",
        bags={"b": False},
        network="nfm | 20 sigmoid 32 | 6 tanh 16 | 1 elu 8",
    ),
    "few-bits": Golden(
        "whole numbers of 2 to 6 bits in a compact file, which are in int8 in a plain one",
        8,
        _tables("50 raw:4 raw | 70 2x8:3 4", "9 raw:2 raw", "30 1x5:6 shared", "40 4x3:5 3"),
    ),
    "odd-start": Golden("tensors that begin at an odd byte", 2, (Table("f", "5 1x4 2"), Table("gh", "4 raw raw"))),
}
"""By the names of their files."""
