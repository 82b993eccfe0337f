"""Our own checkpoints: a torch file (``.pt``) or a safetensors file, with the same tensors in it.

embeddings           float32 (categories, dim)
linear               float32 (categories,)
bias                 float32 ()
counts               int64 (categories,), optional
numeric_embeddings   float32 (numeric fields, dim), where there are some
numeric_linear       float32 (numeric fields,), where there are some
vocabulary           uint8 (bytes,), as ``Vocabulary.encode`` makes them, optional
network.N.weight     float32 (out, in), of dense layer N from 0 on, where there are some
network.N.bias       float32 (out,)
fmcompress           {"version": 1, "fields": [[name, cardinality], …], "link": "sigmoid"} as text

With dense layers the text has ``"network": ["deepfm", "relu", …, "identity"]`` too: their kind, and the activation of
each layer. In place of a cardinality a field has [cardinality, PAD], "=" and the name of the field whose table it
shares, "numeric", or "linear" where it enters the linear term alone. Where it may have several values in a row its
pooling follows: [name, cardinality, "mean"].
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fmcompress.arguments import checked_arguments
from fmcompress.artifact.compact import TENSOR
from fmcompress.checkpoints.checkpoint_file import CheckpointFile
from fmcompress.checkpoints.dialect import Given, agreed_fields, claim
from fmcompress.checkpoints.files.safetensors_file import write_safetensors
from fmcompress.checkpoints.files.tensor import FileTensor
from fmcompress.checkpoints.large_tables import left_in_file, stays_on_disk
from fmcompress.checkpoints.reading_errors import damaged
from fmcompress.errors import CheckpointError, OutputError, UsageError, missing_packages_named
from fmcompress.files import check_writable, replacing
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.disk_table import DiskTable, Table
from fmcompress.fm.network import DenseLayer, Network
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.fm.pooling import parse_pooling
from fmcompress.fm.schema import Field, NumericField, Schema, SharedField
from fmcompress.fm.vocabulary import Vocabulary
from fmcompress.types import AnyArray, UInt8Array

VERSION = 1
_LABEL = "fmcompress"
_NEEDED = ("embeddings", "linear", "bias")
_COUNTS = "counts"
_NUMERIC = ("numeric_linear", "numeric_embeddings")
_VOCABULARY = "vocabulary"
_NETWORK = "network"


def check_saveable(path: Path, *, force: bool = False) -> None:
    """Raise now what ``save_checkpoint`` would raise for this path after a long training.

    Raises:
        OutputError: the suffix is neither .pt nor .safetensors, or the file cannot be written.
    """
    if path.suffix not in _WRITERS:
        raise OutputError(
            f"{path} has suffix {path.suffix!r}, expected {' or '.join(_WRITERS)}", hint="name it fm.pt, for instance"
        )
    check_writable(path, force=force)


@missing_packages_named()
@checked_arguments
def save_checkpoint(ckpt: FMCheckpoint, path: str | Path, *, force: bool = False) -> None:
    """Write a checkpoint that ``load_checkpoint`` reads back bit by bit, but for ``source``.

    Args:
        ckpt: the model; its bias is rounded to float32.
        path: where to; the suffix chooses the container: ``.pt`` for one that ``torch.load`` reads, with
            ``weights_only`` too, or ``.safetensors``.
        force: replace a file that exists.

    Raises:
        OutputError: it exists and ``force`` is not set, the suffix is another one, the system refuses.
        CheckpointError: the bias is too large for float32.
    """
    path = Path(path)
    check_saveable(path, force=force)
    if abs(ckpt.bias) > float(np.finfo(np.float32).max):
        raise CheckpointError(f"bias {ckpt.bias} is too large for float32")
    # The int64 counts stand first, so that every tensor of a safetensors file is aligned.
    arrays: dict[str, AnyArray | DiskTable] = {} if ckpt.counts is None else {_COUNTS: ckpt.counts}
    arrays |= {"embeddings": ckpt.embeddings, "linear": ckpt.linear, "bias": np.array(ckpt.bias)}
    if len(ckpt.numeric):
        arrays |= dict(zip(_NUMERIC, (ckpt.numeric.linear, ckpt.numeric.embeddings), strict=True))
    if ckpt.vocabulary is not None:
        arrays[_VOCABULARY] = np.frombuffer(ckpt.vocabulary.encode(), np.uint8)
    described: dict[str, object] = {"version": VERSION, "fields": _entries(ckpt.schema), "link": ckpt.link}
    if ckpt.network is not None:
        arrays |= _network_arrays(ckpt.network)
        described[_NETWORK] = [ckpt.network.kind, *(layer.activation for layer in ckpt.network.layers)]
    label = json.dumps(described, separators=(",", ":"))
    stored = {key: np.asarray(values, _dtype(key), order="C") for key, values in arrays.items()}
    with replacing(path, force=force) as file:
        _WRITERS[path.suffix](file, stored, {_LABEL: label})


def _network_arrays(network: Network) -> dict[str, AnyArray]:
    arrays: dict[str, AnyArray] = {}
    for number, layer in enumerate(network.layers):
        arrays |= dict(zip(_layer_keys(number), (layer.weight, layer.bias), strict=True))
    return arrays


def _layer_keys(number: int) -> tuple[str, str]:
    return f"{_NETWORK}.{number}.weight", f"{_NETWORK}.{number}.bias"


def _entries(schema: Schema) -> list[list[object]]:
    return [[field.name, _kind(field), *_pooling(field)] for field in schema.all_fields]


def _dtype(key: str) -> np.dtype[Any]:
    return np.dtype({_COUNTS: np.int64, _VOCABULARY: np.uint8}.get(key, np.float32))


def _kind(field: Field | SharedField | NumericField) -> object:
    """Return what stands for a field beside its name; the inverse of ``_field``."""
    if isinstance(field, NumericField):
        return "linear" if field.linear_only else "numeric"
    if isinstance(field, SharedField):
        return f"={field.table}"
    return field.cardinality if field.pad is None else [field.cardinality, field.pad]


def _pooling(field: Field | SharedField | NumericField) -> list[str]:
    pooling = None if isinstance(field, NumericField) else field.pooling
    return [] if pooling is None else [str(pooling)]


def _field(name: object, kind: object, *pooled: object) -> Field | SharedField | NumericField:
    if not isinstance(name, str):
        raise TypeError("the name of a field is no text")
    if len(pooled) > 1 or not all(isinstance(text, str) for text in pooled):
        raise ValueError("a field has a pooling that is no text")
    pooling = parse_pooling(str(*pooled)) if pooled else None
    if kind in ("numeric", "linear") and not pooled:
        return NumericField(name, linear_only=kind == "linear")
    if isinstance(kind, str) and kind.startswith("="):
        return SharedField(name, kind[1:], pooling)
    cardinality, pad = kind if isinstance(kind, list) else (kind, None)
    if type(cardinality) is not int or cardinality >= 2**31 or type(pad) not in (int, type(None)):
        raise ValueError("a field is no pair of a name and a size")
    return Field(name, cardinality, pad, pooling)


def _write_torch(file: BinaryIO, arrays: Mapping[str, AnyArray], texts: Mapping[str, str]) -> None:
    import torch

    # torch warns of arrays that it could write to by accident, such as memory-mapped ones.
    tensors = {
        name: torch.from_numpy(values if values.flags.writeable else values.copy()) for name, values in arrays.items()
    }
    try:
        torch.save({**tensors, **texts}, file)
    except RuntimeError as error:
        # After a failed write torch still tries to end the archive, and fails again with an error of its own.
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


_WRITERS = {".pt": _write_torch, ".safetensors": write_safetensors}


def recognises(file: CheckpointFile) -> bool:
    """Return whether a file is ours: a checkpoint, or an artifact given by mistake."""
    return file.text(_LABEL) is not None or _compact(file)


def _compact(file: CheckpointFile) -> bool:
    """Return whether a file is a compact artifact."""
    return set(file.weights.tensors) == {TENSOR}


def read(file: CheckpointFile, given: Given) -> FMCheckpoint:
    """Read a checkpoint of ours; names in ``given.fields`` replace its own.

    Raises:
        CheckpointError: it is damaged, of a newer version, or an artifact; the fields given have other sizes.
    """
    if _compact(file):
        raise _an_artifact()
    own, link, network = _read_label(file.text(_LABEL) or "")
    numeric = _NUMERIC if own.numeric else ()
    layers = [key for number in range(len(network) - 1) for key in _layer_keys(number)]
    weights = claim(file.weights.tensors, (*_NEEDED, *numeric, *layers), (_COUNTS, _VOCABULARY))
    embeddings = _embeddings(weights)
    bias = _values(weights, "bias")
    if embeddings.ndim != 2 or bias.shape != ():
        raise CheckpointError(
            f"embeddings have shape {embeddings.shape} and bias {bias.shape}, expected (categories, dim) and ()"
        )
    return FMCheckpoint(
        schema=_renamed(own, given.fields, len(embeddings)),
        bias=float(bias),
        linear=_values(weights, "linear"),
        embeddings=embeddings,
        link=link,
        counts=_values(weights, _COUNTS) if _COUNTS in weights else None,
        numeric=NumericWeights(*(_values(weights, key) for key in numeric)) if numeric else None,  # type: ignore[arg-type]
        vocabulary=_vocabulary(_values(weights, _VOCABULARY)) if _VOCABULARY in weights else None,
        network=_network(weights, *network) if network else None,
    )


def _network(weights: Mapping[str, FileTensor], kind: str, *activations: str) -> Network:
    layers = []
    for number, activation in enumerate(activations):
        weight, bias = (_values(weights, key) for key in _layer_keys(number))
        layers.append(DenseLayer(weight, bias, activation))
    return Network(kind, tuple(layers))


def _renamed(own: Schema, given: Schema | None, categories: int) -> Schema:
    """Return the file's fields, with other names where some are given; PAD and shared tables stay the file's."""
    agreed = agreed_fields(own, given, rows=categories + len(own.numeric))
    if given is None:
        return own
    if len(own.shared) != len(agreed.shared):
        raise CheckpointError("its fields share tables in another way than --fields says", hint="leave --fields out")
    names = dict(zip(own.order, agreed.order, strict=True))
    return Schema.in_order(
        replace(field, name=names[field.name], table=names[field.table])
        if isinstance(field, SharedField)
        else replace(field, name=names[field.name])
        for field in own.all_fields
    )


def _vocabulary(data: UInt8Array) -> Vocabulary:
    with damaged("its vocabulary cannot be read"):
        return Vocabulary.decode(np.ascontiguousarray(data).data)


def _an_artifact() -> CheckpointError:
    return CheckpointError(
        "it is an artifact of fmcompress, which is compressed already; expected a checkpoint",
        hint="give the checkpoint that it was made from; report, evaluate and score read artifacts",
    )


def _read_label(text: str) -> tuple[Schema, str, list[str]]:
    """Return fields, link, and of a network its kind and the activations of its layers; else nothing."""
    with damaged("its description cannot be read"):
        label = json.loads(text)
        if not isinstance(label, dict):
            raise TypeError("it is no JSON object")
    if "schema_version" in label:
        raise _an_artifact()
    version = label.get("version")
    if type(version) is int and version > VERSION:
        raise CheckpointError(
            f"it is a checkpoint of version {version}, this fmcompress reads version {VERSION}",
            hint="upgrade fmcompress",
        )
    with damaged("its description cannot be read"):
        if version != VERSION or not isinstance(label.get("link"), str):
            raise ValueError("it has no version or no link")
        network = label.get(_NETWORK, [])
        if not isinstance(network, list) or not all(isinstance(name, str) for name in network):
            raise ValueError("its network is no list of texts")
        return _fields(label["fields"]), label["link"], network


def _fields(entries: list[list[object]]) -> Schema:
    try:
        return Schema.in_order([_field(*entry) for entry in entries])
    except UsageError as error:
        raise CheckpointError(f"its description makes no sense: {error}") from error


def _embeddings(weights: Mapping[str, FileTensor]) -> Table:
    """Return the embeddings, float32 (categories, dim), which stay in the file where they are large."""
    tensor = weights["embeddings"]
    if len(tensor.shape) != 2 or not stays_on_disk(*tensor.shape):
        return _values(weights, "embeddings")
    _check_type(tensor.read_rows(0, 0), "embeddings")
    return left_in_file(weights, ["embeddings"], tensor.shape[1])


def _values(weights: Mapping[str, FileTensor], key: str) -> AnyArray:
    values = weights[key].read()
    _check_type(values, key)
    return values


def _check_type(values: AnyArray, key: str) -> None:
    if values.dtype != _dtype(key):
        raise CheckpointError(f"{key!r} has type {values.dtype}, expected {_dtype(key)}")
