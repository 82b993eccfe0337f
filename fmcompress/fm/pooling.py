"""How a field with several values in a row makes one embedding and one linear weight of theirs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fmcompress.arguments import checked_arguments
from fmcompress.errors import UsageError
from fmcompress.types import Float64Array, Int64Array

_SCALES: dict[str, Callable[[Float64Array], Float64Array]] = {
    "sum": np.ones_like,
    "mean": np.reciprocal,
    "sqrtn": lambda counts: 1 / np.sqrt(counts),
}
"""What sums over m values are multiplied by, as a function of m, float64 (n,)."""

_EACH = "each"
_LINEAR_OF_EACH = "sum"


@checked_arguments
@dataclass(frozen=True)
class Pooling:
    """How m values with weights c_j, which are 1 where nothing else is said, become one embedding and linear weight.

        q = s_q(m) Σ_j c_j v_j        w = s_w(m) Σ_j c_j w_j

    with s(m) = 1 for ``sum``, 1/m for ``mean`` and 1/√m for ``sqrtn``. The factorization machine takes q as it takes
    the embedding of any field. With ``each`` every value is a term of its own, as in tools that know no fields (libFM,
    xLearn, fastFM, Spark): the values of a row interact with each other too.

    Attributes:
        embedding: ``sum``, ``mean``, ``sqrtn`` or ``each``.
        linear: ``sum``, ``mean`` or ``sqrtn``; with ``each`` it is ``sum``.

    Raises:
        UsageError: a name is none of these.
    """

    embedding: str
    linear: str

    def __post_init__(self) -> None:
        if self.embedding not in (*_SCALES, _EACH) or self.linear not in _SCALES:
            raise UsageError(f"there is no pooling {str(self)!r}, expected {', '.join(_SCALES)} or {_EACH}")
        if self.each and self.linear != _LINEAR_OF_EACH:
            raise UsageError(f"there is no pooling {str(self)!r}: linear weights are added where each value counts")

    @property
    def each(self) -> bool:
        """Whether each value is a term of its own."""
        return self.embedding == _EACH

    def scales(self, counts: Int64Array) -> tuple[Float64Array, Float64Array]:
        """Return s_q and s_w, float64 (n,) each, of bags of so many values, int64 (n,); what empty ones have is 1."""
        most = np.maximum(counts, 1).astype(np.float64)
        embedding = _LINEAR_OF_EACH if self.each else self.embedding
        return _SCALES[embedding](most), _SCALES[self.linear](most)

    def __str__(self) -> str:
        """Return ``mean``, or ``mean/sum`` where linear weights are pooled in another way than embeddings."""
        usual = _LINEAR_OF_EACH if self.each else self.embedding
        return self.embedding if self.linear == usual else f"{self.embedding}/{self.linear}"


MEAN = Pooling("mean", "mean")
"""What is taken of a list where nothing else is said, as most tools do."""


def parse_pooling(text: str) -> Pooling:
    """Return the pooling that ``str`` writes so.

    Raises:
        UsageError: there is none, or it is written in another way.
    """
    embedding, slash, linear = text.partition("/")
    usual = _LINEAR_OF_EACH if embedding == _EACH else embedding
    found = Pooling(embedding, linear if slash else usual)
    if str(found) != text:
        raise UsageError(f"pooling {text!r} is written {str(found)!r}")
    return found


def is_pooling(text: str) -> bool:
    """Return whether a text is the name of a pooling."""
    try:
        parse_pooling(text)
    except UsageError:
        return False
    return True
