"""What a checkpoint holds: which tool wrote it, its fields and sizes, and what it does not tell."""

from dataclasses import dataclass

from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.field_keys import FieldKeys
from fmcompress.fm.field_vocabulary import FieldVocabulary
from fmcompress.fm.quantizer import FLOAT
from fmcompress.fm.schema import Field, NumericField, SharedField


@dataclass(frozen=True)
class InspectedField:
    """One field of a checkpoint.

    Attributes:
        name: its name.
        kind: ``categorical``; ``shared``, with the table of another field; ``numeric``, in both terms; or ``linear``, a
            number in the linear term alone.
        cardinality: its number of categories; None of a number.
        pad: id that stands for no value, or None.
        table: field whose table it shares, or None.
        tokens: how many tokens its vocabulary has; None where there is none, or one of keys.
        oov: id of a token or a key that its vocabulary has not; None where that is an error, or there is no vocabulary.
        null: id of a null; None where it contributes nothing.
        pooling: what becomes of several values in a row; None where there is one at most.
        keys: how many 64-bit keys its vocabulary has; None where there is none, or one of tokens.
        key_bytes: what these take in a file.
    """

    name: str
    kind: str
    cardinality: int | None = None
    pad: int | None = None
    table: str | None = None
    tokens: int | None = None
    oov: int | None = None
    null: int | None = None
    pooling: str | None = None
    keys: int | None = None
    key_bytes: int | None = None


@dataclass(frozen=True)
class Inspection:
    """What a checkpoint holds.

    Attributes:
        tool: the tool that wrote it.
        name: its file name.
        sha256: SHA-256 of its bytes, in hex.
        file_bytes: size of the file, or of all files of a directory.
        dim: embedding size.
        link: from logit to prediction.
        bias: w_0.
        categories: number of categories of all fields.
        parameters: number of weights, with the bias.
        fp32_bytes: bytes of embeddings, linear weights and dense layers in fp32: what ratios are taken of.
        vocabulary: whether it has the tokens or the keys of its categories.
        counts: whether it has counts of its categories.
        missing: what it has not, but could have: ``vocabulary``, ``counts``.
        fields: its fields, in the order in which its tool takes them.
        also: what else the file holds, by name, such as ``optimizer``, ``epoch`` or ``criterion.pos_weight``.
        network: its dense layers, such as ``DeepFM 320-64-32-1, relu``; None where there are none.
        container: what its files are, and how many, such as ``safetensors, 2 shards``; None where it is a single file.
    """

    tool: str
    name: str
    sha256: str
    file_bytes: int
    dim: int
    link: str
    bias: float
    categories: int
    parameters: int
    fp32_bytes: int
    vocabulary: bool
    counts: bool
    missing: tuple[str, ...]
    fields: tuple[InspectedField, ...]
    also: tuple[str, ...] = ()
    network: str | None = None
    container: str | None = None


def inspect(checkpoint: FMCheckpoint, file_bytes: int, container: str | None = None) -> Inspection:
    """Return what a checkpoint holds.

    Args:
        checkpoint: the checkpoint, read from a file.
        file_bytes: size of that file.
        container: what its files are, where it consists of several.
    """
    schema, source = checkpoint.schema, checkpoint.source
    has = {"vocabulary": checkpoint.vocabulary is not None, "counts": checkpoint.counts is not None}
    return Inspection(
        tool=source.tool if source else "",
        name=source.name if source else "",
        sha256=source.sha256 if source else "",
        file_bytes=file_bytes,
        dim=checkpoint.dim,
        link=checkpoint.link,
        bias=checkpoint.bias,
        categories=schema.categories,
        parameters=checkpoint.fp32_bytes // FLOAT + 1,
        fp32_bytes=checkpoint.fp32_bytes,
        **has,
        missing=tuple(name for name, there in has.items() if not there),
        fields=tuple(_field(field, checkpoint) for field in schema.all_fields),
        also=source.also if source else (),
        network=None if checkpoint.network is None else checkpoint.network.described,
        container=container,
    )


def _field(field: Field | SharedField | NumericField, checkpoint: FMCheckpoint) -> InspectedField:
    if isinstance(field, NumericField):
        return InspectedField(field.name, "linear" if field.linear_only else "numeric")
    schema = checkpoint.schema
    table = field.table if isinstance(field, SharedField) else None
    own = schema.fields[schema.names.index(table or field.name)]
    vocabulary = checkpoint.vocabulary.of(field.name, schema) if checkpoint.vocabulary else None
    keys = vocabulary if isinstance(vocabulary, FieldKeys) else None
    return InspectedField(
        field.name,
        "categorical" if table is None else "shared",
        cardinality=own.cardinality,
        pad=own.pad,
        table=table,
        tokens=len(vocabulary.tokens) if isinstance(vocabulary, FieldVocabulary) else None,
        oov=None if vocabulary is None else vocabulary.oov,
        null=None if vocabulary is None else vocabulary.missing,
        pooling=None if field.pooling is None else str(field.pooling),
        keys=None if keys is None else keys.count,
        key_bytes=None if keys is None else keys.nbytes,
    )
