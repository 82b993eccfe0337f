"""Factorization machines of xLearn, in text or in its binary form.

Neither form tells the fields, or whether instance-wise normalisation was on; the text does not tell the loss.
"""

from __future__ import annotations

from fmcompress.checkpoints.candidate import Candidate
from fmcompress.checkpoints.dialect import Given, agreed_fields, from_flat, given_link
from fmcompress.checkpoints.tools.xlearn.binary import is_binary, read_binary
from fmcompress.checkpoints.tools.xlearn.text import is_text, read_text
from fmcompress.fm.checkpoint import FMCheckpoint


def recognises(candidate: Candidate) -> bool:
    """Return whether a file starts as one of xLearn's forms does."""
    return is_binary(candidate.head) or is_text(candidate.head)


def read(candidate: Candidate, given: Given) -> FMCheckpoint:
    """Read a model of xLearn; ``given`` must say its fields, its normalisation and, for a text, its link.

    Raises:
        CheckpointError: it is another model or damaged, or what ``given`` must say is missing.
    """
    model = (read_binary if is_binary(candidate.head) else read_text)(candidate.path)
    schema = agreed_fields(None, given.fields, len(model.embeddings))
    link = model.link or given_link(given)
    model.fold_norm(schema, given)
    return from_flat(schema, model.bias, model.linear, model.embeddings, link=link)
