"""From tokens to ids in nodes, as a vocabulary has it.

An empty string stands for a missing value, unless it is a token itself: ONNX has no null.
"""

from __future__ import annotations

from collections.abc import Sequence

from fmcompress.export.graph import Graph
from fmcompress.fm.field_vocabulary import FieldVocabulary
from fmcompress.fm.schema import MISSING
from fmcompress.fm.vocabulary import Vocabulary

_UNKNOWN = MISSING - 1
"""Id of unknown tokens that have none: the check of ids finds it."""

_BYTES_BESIDE = 8
"""Bytes of a token in the file beside its text, at most: lengths, and its id."""


def ids_of_tokens(graph: Graph, tokens: str, vocabularies: Sequence[FieldVocabulary]) -> str:
    """Return the ids of tokens, int64 (fields, batch); fields with the same vocabulary are looked up together.

    Columns of strings are chosen before rows and columns are exchanged: of a row of strings, onnxruntime's Gather (of
    versions 1.15 to 1.32) copies the first one only.

    Args:
        graph: the graph.
        tokens: node with the tokens, strings (batch, fields).
        vocabularies: one for each field.
    """
    of: dict[int, list[int]] = {}
    for place, own in enumerate(vocabularies):
        of.setdefault(id(own), []).append(place)
    order = [place for places in of.values() for place in places]
    found = []
    for places in of.values():
        columns = tokens if len(of) == 1 else graph.node("Gather", tokens, graph.constant(places), axis=1)
        found.append(graph.turned(_looked_up(graph, columns, vocabularies[places[0]])))
    return graph.rows(graph.joined(found), [order.index(place) for place in range(len(order))], len(order))


def key_bytes(vocabulary: Vocabulary) -> int:
    """Return what the tokens take in the file, at most."""
    tokens = [token for own in vocabulary.tokens.values() for token in own.tokens]
    return sum(len(_encoded(token)) + _BYTES_BESIDE for token in tokens)


def _looked_up(graph: Graph, tokens: str, vocabulary: FieldVocabulary) -> str:
    known = {"": MISSING if vocabulary.missing is None else vocabulary.missing, **vocabulary.known}
    pairs = sorted((number, token) for token, number in known.items())
    return graph.node(
        "LabelEncoder",
        tokens,
        keys_strings=[_encoded(token) for _, token in pairs],
        values_int64s=[number for number, _ in pairs],
        default_int64=_UNKNOWN if vocabulary.oov is None else vocabulary.oov,
    )


def _encoded(token: str) -> bytes:
    return token.encode("utf-8", errors="surrogatepass")
