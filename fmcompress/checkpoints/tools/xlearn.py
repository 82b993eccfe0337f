"""Factorization machines of xLearn, in text (``setTXTModel``) or in its binary form.

Text:

bias: 0.5
i_0: one number per row
v_0: dim numbers per row

Binary, all little-endian:

u64 length, score function          "fm"; "ffm" and "linear" are other models
u64 length, loss function           "cross-entropy" or "squared"
4 × u32                             rows, fields (0 but for FFM), K, A: values per weight, the optimizer's among them
u32, u32                            rows · A and rows · K' · A, where K' is K, made a multiple of 4
f32 (rows, A)                       linear weights, and what the optimizer keeps for them
f32 (A,)                            bias, in the same way
f32 (rows, A, K')                   embeddings, in the same way

Neither form tells the fields, or whether instance-wise normalisation was on; the text does not tell the loss.
"""

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from fmcompress.checkpoints.checkpoint_file import CheckpointFile
from fmcompress.checkpoints.dialect import Given, agreed_fields, from_flat, given_link
from fmcompress.checkpoints.files.number_text import NumberedLines, checked_parts, read_rows
from fmcompress.checkpoints.reading_errors import damaged, quoted
from fmcompress.errors import CheckpointError
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.schema import Schema
from fmcompress.types import Float32Array

_TEXT_START = re.compile(rb"bias: [^\n]{1,20}\ni_0: ")
_FIELD_AWARE = re.compile(rb"v_\d+_\d+:")

_SCORES = ("fm", "ffm", "linear")
_BINARY_STARTS = tuple(len(score).to_bytes(8, "little") + score.encode() for score in _SCORES)
_LINKS = {"cross-entropy": "sigmoid", "squared": "identity"}
_SIZES = struct.Struct("<6I")
_LARGEST_NAME = 64
_BLOCK_VALUES = 2**20


class _Model(NamedTuple):
    """What a file holds: w_0, w, V, float32 (rows,) and (rows, dim), and the link of its loss if it says so."""

    bias: float
    linear: Float32Array
    embeddings: Float32Array
    link: str | None


def recognises(file: CheckpointFile) -> bool:
    """Return whether a file starts as one of xLearn's forms does."""
    return file.head.startswith(_BINARY_STARTS) or _TEXT_START.match(file.head) is not None


def read(file: CheckpointFile, given: Given) -> FMCheckpoint:
    """Read a model of xLearn; ``given`` must say its fields, its normalisation and, for a text, its link.

    Raises:
        CheckpointError: it is another model or damaged, or what ``given`` must say is missing.
    """
    read_form = _read_binary if file.head.startswith(_BINARY_STARTS) else _read_text
    bias, linear, embeddings, link = read_form(file.path)
    schema = agreed_fields(None, given.fields, len(embeddings))
    link = link or given_link(given)
    if _has_norm(schema, given.instance_norm):
        _fold_norm(len(schema.id_names), linear, embeddings)
    return from_flat(schema, bias, linear, embeddings, link)


def _has_norm(schema: Schema, given: bool | None) -> bool:
    """Return whether there is instance-wise normalisation, as the caller must say."""
    if given is None:
        raise CheckpointError(
            "it does not say whether it was trained with instance-wise normalisation, which is xLearn's default",
            hint="pass --instance-norm, or --no-instance-norm if it was turned off (disableNorm, --no-norm)",
        )
    if given and schema.numeric:
        raise CheckpointError(
            f"instance-wise normalisation depends on the value of numeric field {schema.numeric[0].name!r}, "
            "so that the model is no plain factorization machine",
            hint="train it with disableNorm, or with this field in buckets",
        )
    return given


def _fold_norm(fields: int, linear: Float32Array, embeddings: Float32Array) -> None:
    """Bring the instance-wise normalisation into the weights, in place.

    With n = 1 / Σ x_i², a row's logit is

        w_0 + √n Σ_i w_i x_i + n² Σ_{i<j} ⟨v_i, v_j⟩ x_i x_j

    A row with F active categories has n = 1 / F, so that the weights are w / √F and V / F. A row where a value is
    missing would have another n in xLearn; here it keeps that of a whole row.
    """
    with np.errstate(invalid="ignore"):  # what is not finite is refused later, by name
        linear *= np.float32(fields**-0.5)
        embeddings *= np.float32(1 / fields)


def _read_text(path: Path) -> _Model:
    with path.open("rb") as file:
        lines = NumberedLines(file)
        bias = read_rows([(1, lines.take().removeprefix(b"bias:"))])
        linear = read_rows(_numbered(lines, b"i_"))
        if not lines.text:
            raise CheckpointError("it has no embeddings: it is a linear model of xLearn")
        if match := _FIELD_AWARE.match(lines.text):
            raise CheckpointError(f"it is a field-aware model (FFM): it also holds {match[0].decode()!r}")
        embeddings = read_rows(_numbered(lines, b"v_"))
        if lines.text:
            shown = quoted(lines.text.strip())
            raise CheckpointError(f"line {lines.number:,} is {shown}, expected 'v_{len(embeddings)}: …'")
    return _Model(*checked_parts(bias, linear, embeddings), link=None)


def _numbered(lines: NumberedLines, prefix: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the numbers of lines ``i_0: …``, ``i_1: …`` and so on."""
    for row, (number, text) in enumerate(lines.as_long_as(lambda text: text.startswith(prefix))):
        name, _, numbers = text.partition(b":")
        if name != b"%s%d" % (prefix, row):
            raise CheckpointError(f"line {number:,} is {quoted(name)}, expected '{prefix.decode()}{row}: …'")
        yield number, numbers


def _read_binary(path: Path) -> _Model:
    with path.open("rb") as file:
        score, loss = _read_name(file), _read_name(file)
        if score != "fm":
            what = "a field-aware model (FFM)" if score == "ffm" else "a linear model"
            raise CheckpointError(f"it is {what} of xLearn: its score function is {quoted(score)!r}")
        if loss not in _LINKS:
            raise CheckpointError(f"its loss is {quoted(loss)}, expected one of {', '.join(_LINKS)}")
        with damaged("its sizes cannot be read"):
            rows, _, dim, kept, linear_values, values = _SIZES.unpack(file.read(_SIZES.size))
        padded = dim + -dim % 4
        end = file.tell() + 4 * (linear_values + kept + values)
        if not rows * dim * kept or (linear_values, values) != (rows * kept, rows * padded * kept):
            raise CheckpointError(f"it claims {rows:,} rows of {dim} in {linear_values:,} and {values:,} values")
        if path.stat().st_size != end:
            raise CheckpointError(
                f"it has {path.stat().st_size:,} bytes, expected {end:,}", hint="the file was cut short: copy it again"
            )
        linear = _read_weights(file, rows, kept, 1)[:, 0]
        bias = _read_weights(file, 1, kept, 1)
        return _Model(float(bias[0, 0]), linear, _read_weights(file, rows, kept * padded, dim), _LINKS[loss])


def _read_name(file: BinaryIO) -> str:
    size = int.from_bytes(file.read(8), "little")
    name = file.read(min(size, _LARGEST_NAME))
    if len(name) != size:
        raise CheckpointError("its name of a score or a loss function cannot be read")
    return name.decode("ascii", errors="backslashreplace")


def _read_weights(file: BinaryIO, rows: int, width: int, dim: int) -> Float32Array:
    """Return the first ``dim`` values of each row of ``width``, float32 (rows, dim)."""
    weights = np.empty((rows, dim), np.float32)
    step = max(1, _BLOCK_VALUES // width)
    with damaged("its weights cannot be read"):
        for start in range(0, rows, step):
            block = weights[start : start + step]
            block[:] = np.fromfile(file, "<f4", len(block) * width).reshape(len(block), width)[:, :dim]
    return weights
