"""Reads a checkpoint of any tool that the table of dialects knows."""

import re
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from fmcompress.arguments import checked_arguments
from fmcompress.checkpoints.checkpoint_file import CheckpointFile
from fmcompress.checkpoints.choosing import choose, only_view, what_else
from fmcompress.checkpoints.dialect import Dialect, Given
from fmcompress.checkpoints.files.state_dict import keys_of
from fmcompress.checkpoints.reading_errors import listed, quoted
from fmcompress.checkpoints.tools import (
    by_keys,
    deepctr_torch,
    fastfm,
    fuxictr,
    libfm,
    myfm,
    native,
    parquet_table,
    pytorch_fm,
    recbole,
    spark,
    torch_rechub,
    xlearn,
)
from fmcompress.checkpoints.tools.by_keys import parse_keys
from fmcompress.checkpoints.tools.dense_layers import of_each, parse_activations
from fmcompress.errors import CheckpointError, missing_packages_named
from fmcompress.files import local_path
from fmcompress.fm.checkpoint import FMCheckpoint, Source, state_of
from fmcompress.fm.field_specs import Fields, as_fields
from fmcompress.fm.vocabulary import Vocabulary

_TABLE = "Parquet table"

DIALECTS = (
    Dialect("fmcompress", native.recognises, native.read),
    Dialect("torch-rechub", torch_rechub.recognises, torch_rechub.read),
    Dialect("pytorch-fm", pytorch_fm.recognises, pytorch_fm.read),
    Dialect("RecBole", recbole.recognises, recbole.read),
    Dialect("FuxiCTR", fuxictr.recognises, fuxictr.read),
    Dialect("DeepCTR-Torch", deepctr_torch.recognises, deepctr_torch.read),
    Dialect("fastFM", fastfm.recognises, fastfm.read),
    Dialect("myFM", myfm.recognises, myfm.read),
    Dialect("libFM", libfm.recognises, libfm.read),
    Dialect("xLearn", xlearn.recognises, xlearn.read),
    Dialect("Spark MLlib", spark.recognises, spark.read),
    Dialect(_TABLE, parquet_table.recognises, parquet_table.read),
)
"""One row per tool, with the two functions of its module in ``tools``; the first that recognises a file reads it."""

_OWN = "own model"


@missing_packages_named()
@checked_arguments
def load_checkpoint(
    path: str | Path,
    *,
    fields: Fields | None = None,
    link: str | None = None,
    key: str | None = None,
    keys: Mapping[str, str] | str | None = None,
    vocabulary: Vocabulary | None = None,
    instance_norm: bool | None = None,
    dataset: str | Path | None = None,
    activation: str | None = None,
) -> FMCheckpoint:
    """Read a trained factorization machine, DeepFM or NFM, whatever tool wrote it.

    The tool is found by the file's content, never by its name. No code of the file or of the tool runs, and
    torch is not imported.

    Args:
        path: the checkpoint.
        fields: names and sizes of its fields, in the order of its rows. Needed where the file does not tell
            them; elsewhere its sizes must be the file's, and its names replace the file's. A ``Schema``, or what
            makes one: ``"user:200,item:90"``, a dict ``{"user": 200, "item": 90}``, or a list of such pairs.
        link: from logit to prediction, ``sigmoid``, ``probit``, ``identity`` or ``clip:LOW:HIGH``. Needed where the
            file does not tell it; elsewhere it replaces the file's.
        key: where the weights are, if the file holds several models: the key of a dict such as ``ema``, or a prefix.
        keys: names of embeddings ``v``, linear weights ``w`` and bias ``b`` in a model of your own; ``{field}`` in one
            stands for the name of each field, and weights named ``ignore`` are no part of the model. Of a Parquet table
            names of its columns, ``field``, ``key`` and ``count`` too. A text is read as ``--map`` is:
            ``"v=emb.weight,w=lin.weight,b=bias"``.
        vocabulary: tokens of its categories, in place of the file's.
        instance_norm: whether an xLearn model was trained with instance-wise normalisation, which is its default.
        dataset: the file that tells the fields of RecBole's and FuxiCTR's models, where it does not lie beside the
            checkpoint.
        activation: of the hidden dense layers of a DeepFM or an NFM, where the file does not tell it; ``relu`` if it is
            left out. One of each layer, with commas between, or one of all: ``identity``, ``relu``, ``leaky_relu``,
            ``sigmoid``, ``tanh``, ``elu``.

    Raises:
        CheckpointError: it cannot be read, is damaged or no factorization machine, or what is given does not
            fit. The message starts with the file's name.
    """
    path = local_path(path)
    given = Given(
        fields=None if fields is None else as_fields(fields),
        link=link,
        keys=parse_keys(keys) if isinstance(keys, str) else keys,
        vocabulary=vocabulary,
        instance_norm=instance_norm,
        dataset=None if dataset is None else Path(dataset),
        key=key,
        activations=None if activation is None else parse_activations(activation),
    )
    try:
        return _load(path, given)
    except CheckpointError as error:
        raise CheckpointError(f"{_printable(path)}: {error}", hint=error.hint) from error
    except OSError as error:
        raise CheckpointError(f"{_printable(path)}: it cannot be read: {error.strerror or error}") from error


def _load(path: Path, given: Given) -> FMCheckpoint:
    if not path.exists():
        raise CheckpointError("there is no such file", hint=f"looked for {path.absolute()}")
    if not path.is_file() and not path.is_dir():
        raise CheckpointError("it is a device or a pipe, expected a file")
    with closing(CheckpointFile(path, mapped=given.keys is not None)) as file:
        state = state_of(path, file.beside)
        chosen = choose(file, given, _dialects(given))
        if chosen is None and given.keys is not None and file.tensor_file is not None:
            chosen = Dialect(_OWN, lambda _: True, by_keys.read), only_view(file, given)
        if chosen is None:
            raise _unknown(file)
        dialect, looked = chosen
        found = dialect.read(looked, given)
        _check_activations(found, given)
        return replace(
            found,
            link=given.link or found.link,
            vocabulary=given.vocabulary or found.vocabulary,
            source=Source.of(dialect.tool, path, state, what_else(looked, given), file.beside),
        )


def _check_activations(found: FMCheckpoint, given: Given) -> None:
    """Check that the activations that are given are those of the model, whose file may tell them."""
    if given.activations is None:
        return
    if found.network is None:
        raise CheckpointError("it has no dense layers, but --activation names one", hint="leave --activation out")
    hidden = tuple(layer.activation for layer in found.network.layers[:-1])
    if tuple(of_each(given.activations, len(hidden))) != hidden:
        raise CheckpointError(
            f"its hidden layers have {', '.join(hidden)}, but --activation says {', '.join(given.activations)}",
            hint="leave --activation out",
        )


def _dialects(given: Given) -> tuple[Dialect, ...]:
    """Return the dialects to try: where the caller names the keys, a file of any tool can be read so."""
    if given.keys is None:
        return DIALECTS
    return (
        Dialect(_TABLE, parquet_table.is_parquet, parquet_table.read),
        Dialect(_OWN, lambda file: by_keys.has_keys(file, given), by_keys.read),
    )


def _printable(path: Path) -> str:
    return path.name if path.name.isprintable() else repr(path.name)


@dataclass(frozen=True)
class _Foreign:
    """A kind of file that is often given by mistake: how it starts, as a pattern, what to say, what to try."""

    start: bytes
    message: str
    hint: str | None = None


_SAVE_AGAIN = "load it with the tool that wrote it and save model.state_dict() with torch.save"

_FOREIGN = (
    _Foreign(
        b"\x80\x02\x8a\x0alp\x9cF\xf9 j\xa8P\x19",
        "it is in torch's format of before version 1.6",
        "load it with torch.load and save it again with torch.save",
    ),
    _Foreign(b"\x80", "it is a pickle, but not in a torch file", _SAVE_AGAIN),
    _Foreign(b"\x89HDF\r\n\x1a\n", "it is an HDF5 file, as Keras writes them"),
    _Foreign(b"PAR1", "it is a Parquet file: data, not a model"),
    _Foreign(b"\x93NUMPY", "it is a single numpy array"),
    _Foreign(b"\x1f\x8b", "it is compressed with gzip", "unpack it first"),
    _Foreign(
        rb"BZh|\xfd7zXZ\0|\x28\xb5\x2f\xfd|x[\x01\x5e\x9c\xda]",
        "it is compressed",
        "unpack it first; what joblib wrote, load with joblib and save again with pickle.dump",
    ),
    _Foreign(
        rb".\0\0\0\d+\.\d+\.\d+\0|Version \d+\.\d+\.\d+\s",
        "it is a model of Vowpal Wabbit, whose features are hashed together; expected fields with categories",
    ),
    _Foreign(rb"n \d+\nm \d+\nk \d+\nnormalization ", "it is a field-aware model (FFM) of libffm"),
)


def _unknown(file: CheckpointFile) -> CheckpointError:
    """Return the error for a file that no dialect recognises."""
    tools = ", ".join(dialect.tool for dialect in DIALECTS)
    if file.tensor_file is not None:
        return _unknown_tensors(file)
    if file.path.is_dir():
        return CheckpointError(
            "it is a directory, but no model that Spark MLlib saved, "
            "and holds no shards with an index and nothing of torch.distributed.checkpoint"
        )
    if not file.head:
        return CheckpointError("it is empty")
    if file.pickle.class_name:
        return CheckpointError(
            f"it is a pickle of {quoted(file.pickle.class_name)}, expected a model of fastFM or myFM",
            hint="pickle the estimator itself, or say which attributes are its weights: --map v=V_,w=w_,b=w0_; "
            "of RecBole, pass FM-….pth; of torch, save model.state_dict()",
        )
    for foreign in _FOREIGN:
        if re.match(foreign.start, file.head, re.DOTALL):
            return CheckpointError(foreign.message, hint=foreign.hint)
    return CheckpointError("it is in no known format", hint=f"checkpoints of these tools can be read: {tools}")


def _unknown_tensors(file: CheckpointFile) -> CheckpointError:
    """Return the error for a file of tensors that are of no known tool."""
    keys = [key for part in file.parts for key in (*part.tensors, *part.numbers)]
    top = keys_of(file.root)
    if not keys:
        found = f"found no tensors, only {listed(top)}" if top else "found no tensors"
    elif len(file.parts) > 1:
        found = f"found weights under {listed([part.name for part in file.parts])}"
    else:
        name = file.parts[0].name
        found = f"found keys {listed(keys)}" + (f" under {listed([name])}" if name else "")
    tools = ", ".join(dialect.tool for dialect in DIALECTS)
    return CheckpointError(
        f"it is no factorization machine of a known tool: {found}",
        hint=f"known are {tools}; of a model of your own, say where its weights are: --map v=KEY,w=KEY,b=KEY",
    )
