"""Factorization machines of xLearn, in text or in its binary form.

Neither form tells the fields, or whether instance-wise normalisation was on; the text does not tell the loss.
"""

from __future__ import annotations

from fmcompress.checkpoints.checkpoint_file import CheckpointFile
from fmcompress.checkpoints.dialect import Given, agreed_fields, from_flat, given_link
from fmcompress.checkpoints.tools.xlearn.binary import is_binary, read_binary
from fmcompress.checkpoints.tools.xlearn.text import is_text, read_text
from fmcompress.fm.checkpoint import FMCheckpoint


def recognises(file: CheckpointFile) -> bool:
    """Return whether a file starts as one of xLearn's forms does."""
    return is_binary(file.head) or is_text(file.head)


def read(file: CheckpointFile, given: Given) -> FMCheckpoint:
    """Read a model of xLearn; ``given`` must say its fields, its normalisation and, for a text, its link.

    Raises:
        CheckpointError: it is another model or damaged, or what ``given`` must say is missing.
    """
    model = (read_binary if is_binary(file.head) else read_text)(file.path)
    schema = agreed_fields(None, given.fields, len(model.embeddings))
    link = model.link or given_link(given)
    model.fold_norm(schema, given)
    return from_flat(schema, model.bias, model.linear, model.embeddings, link=link)
