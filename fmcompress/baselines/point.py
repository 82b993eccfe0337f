"""A point of a baseline: a model, and the bytes that a file of it takes."""

from __future__ import annotations

from dataclasses import dataclass

from fmcompress.evaluation.predictors import Model


@dataclass(frozen=True)
class BaselinePoint:
    """A model of a baseline.

    Attributes:
        name: what it is, for people: ``FM, dim 8, int4``.
        baseline: key of the baseline: ``smaller-fm-int4``.
        file_bytes: size of a file that holds it.
        model: the numbers that this file holds, decoded; or a compressed factorization machine.
    """

    name: str
    baseline: str
    file_bytes: int
    model: Model
