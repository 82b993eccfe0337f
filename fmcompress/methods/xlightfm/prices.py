"""What a codebook's size costs: the expected rise of the loss by each candidate, and that corrected by measurements.

A measurement is the loss of the same rows with each candidate in turn. It tells differences: prices are counted from
the mean of a field's candidates, each weighted by how often it was trained. First the expected prices s of a field are
multiplied by what makes them fit its measurements m best, of standard errors e:

    c = (Σ m s t / e² + 1) / (Σ s² t / e² + 1)

Here t is how far a candidate is trained, n / (n + n̄) after n of its steps, n̄ being those of each if all were drawn
alike. Then the estimate of each candidate is

    u = (m t / e² + c s / σ²) / (t / e² + 1 / σ²)

where σ is a quarter of the root mean square of the codebook's c s, by which they may still be off. Before all that,
measurements of the subspaces of a field are drawn to what their mean says, as far as their differences are no more than
noise (James–Stein). After it, no price rises with the size of the codebook (isotonic regression).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.optimize import isotonic_regression
from torch import Tensor

from fmcompress.fm.disk_table import whole
from fmcompress.fm.quantized_fm import QuantizedFM
from fmcompress.fm.quantizer import subspace_bounds
from fmcompress.methods.xlightfm.search_space import SearchSpace
from fmcompress.quantization.field_weights import all_weights
from fmcompress.quantization.measurements import Measurements
from fmcompress.types import Float64Array, Int64Array

_LEAST = 1e-12
"""A price that is none, in nats."""

_LEAST_MEASUREMENTS = 3
# However little a field seems to matter, what is left of the budget goes by what is expected.
_LEAST_FACTOR = 0.05
_DOUBT = 0.25


def expected_prices(models: Sequence[QuantizedFM], space: SearchSpace, measured: Measurements) -> Float64Array:
    """Return the expected rise of the loss per row by each candidate of each codebook: ½ Σ_i p_i δ_iᵀ H_f δ_i.

    Args:
        models: the factorization machine quantized with each candidate in all searched fields.
        space: the candidates.
        measured: what errors cost.

    Returns:
        float64 (searched fields, subspaces, candidates); none grows with the candidate.
    """
    found = np.zeros((*space.smallest.shape, len(models)))
    weights = all_weights(measured.checkpoint, measured.sensitivity)
    bounds = subspace_bounds(measured.checkpoint.dim, space.subspaces)
    for place, number in np.ndindex(len(space.columns), len(models)):
        field, stored = weights[space.columns[place]], models[number].fields[space.columns[place]]
        vectors = whole(field.embeddings)
        for subspace, (start, end) in enumerate(bounds):
            decoded = stored.tables[subspace][stored.codes[:, subspace]]
            shift = (decoded - vectors[:, start:end]).astype(np.float64)
            costs = np.einsum("nd,nd->n", shift @ field.hessian[start:end, start:end], shift)
            found[place, subspace, number] = 0.5 * field.frequencies @ costs
    return np.minimum.accumulate(found, axis=2)


@dataclass(eq=False)
class Prices:
    """Prices of all candidates, from what is expected of them and from measurements so far.

    Attributes:
        expected: float64 (fields, groups, candidates), a group being a codebook or all codebooks of a field.
        losses: of the measurements, float64 (n, fields, groups, candidates).
        weights: of these, float64 (n,).
        visits: steps in which each candidate was trained, float64 (fields, groups, candidates).
    """

    expected: Float64Array
    losses: Float64Array = field(init=False)
    weights: Float64Array = field(init=False)
    visits: Float64Array = field(init=False)

    def __post_init__(self) -> None:
        self.losses, self.weights = np.zeros((0, *self.expected.shape)), np.zeros(0)
        self.visits = np.zeros_like(self.expected)

    def visit(self, path: Int64Array) -> None:
        """Take note that the candidates of a path, int64 (fields, groups), are trained in a step."""
        self.visits[(*np.indices(path.shape), path)] += 1

    def add(self, losses: Float64Array, weight: float) -> None:
        """Take a measurement: the mean loss of the same rows with each candidate, float64 (fields, groups, n)."""
        self.losses = np.concatenate([self.losses, losses[None]])
        self.weights = np.append(self.weights, weight)

    def estimates(self) -> Float64Array:
        """Return the prices by all that is known, float64 (fields, groups, candidates)."""
        if len(self.weights) < _LEAST_MEASUREMENTS:
            return self.expected
        return np.stack([self._of_field(place) for place in range(len(self.expected))])

    def _of_field(self, place: int) -> Float64Array:
        """Return the prices of a field, float64 (groups, candidates)."""
        often = self.visits[place].sum(axis=0) / self.visits[place].sum()
        expected = self.expected[place] - self.expected[place] @ often[:, None]
        scale = np.maximum(np.sqrt(expected**2 @ often[:, None]), _LEAST)
        rises = self.losses[:, place] - self.losses[:, place] @ often[:, None]
        measured, errors = shrunk(*_mean(rises, self.weights), scale)
        errors = np.maximum(errors, _LEAST)
        trained = self.visits[place] / (self.visits[place] + self.visits[place].mean(axis=1, keepdims=True))
        known = trained / errors**2
        factor = ((measured * expected * known).sum() + 1) / ((expected**2 * known).sum() + 1)
        prior = max(float(factor), _LEAST_FACTOR) * expected
        doubt = np.maximum(_DOUBT * max(float(factor), _LEAST_FACTOR) * scale, _LEAST)
        sure = known + 1 / doubt**2
        estimates = (measured * known + prior / doubt**2) / sure
        both = zip(estimates, sure, strict=True)
        return np.stack([isotonic_regression(u, weights=own, increasing=False).x for u, own in both])

    def state_dict(self) -> dict[str, Tensor]:
        """Return all that estimates are made of."""
        return {name: torch.from_numpy(getattr(self, name).copy()) for name in ("losses", "weights", "visits")}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take up what ``state_dict`` returned."""
        for name, values in state.items():
            setattr(self, name, values.numpy().copy())


def _mean(rises: Float64Array, weights: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return the weighted mean of measurements, and its standard error, float64 (groups, candidates) each."""
    shares = weights / weights.sum()
    mean = np.tensordot(shares, rises, axes=1)
    variance = np.tensordot(shares**2, (rises - mean) ** 2, axes=1) * len(rises) / (len(rises) - 1)
    return mean, np.sqrt(variance)


def shrunk(mean: Float64Array, errors: Float64Array, scale: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return measurements of a field's groups drawn to what their mean says, and their standard errors.

    Their mean says of a group what it says of all, in proportion to its expected prices.

    Args:
        mean: of the measurements, float64 (groups, candidates).
        errors: its standard errors, float64 (groups, candidates).
        scale: of each group's expected prices, float64 (groups, 1).
    """
    groups = len(mean)
    common = (mean / scale).mean(axis=0) * scale
    common_errors = np.sqrt(((errors / scale) ** 2).sum(axis=0)) / groups * scale
    apart, noise = float(((mean - common) ** 2).sum()), float((errors**2).sum()) * (groups - 1) / groups
    own = max(0.0, 1 - noise / apart) if apart > 0 else 0.0
    return own * mean + (1 - own) * common, np.sqrt((own * errors) ** 2 + ((1 - own) * common_errors) ** 2)
