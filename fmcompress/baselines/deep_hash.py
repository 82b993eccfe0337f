"""DHE: deep hash embeddings (Kang et al., KDD 2021), which store no table at all.

Category i, counted over all fields, has 256 hash values

    h_k(i) = ((a_k i + b_k) mod p) mod m,   p = 2³¹ − 1,   m = 10⁶

with a_k from 1 to p − 1 and b_k from 0 to p − 1 that numpy's PCG64 draws from a seed (all a_k first), which is stored.
Scaled to −1 … 1 they go through a network with two hidden layers of one width and Mish to the embedding. All fields
share it; a field has its own biases in the first layer, as if its one-hot code stood beside the hash values.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear, mish

from fmcompress.baselines.composed import ComposedTable, Form, fields_of_rows, largest_that_fits, on_source
from fmcompress.baselines.halving import best_points
from fmcompress.baselines.task import BaselinePoint, Task
from fmcompress.fm.schema import Schema
from fmcompress.types import AnyArray, Float16Array, Float32Array, Int64Array

HASHES = 256
PRIME = 2**31 - 1
BUCKETS = 1_000_000
_MOST_WIDTH = 2048
_MOST_KEPT = 2**25
_CHUNK_ROWS = 4096


def deep_hash_fms(key: str, task: Task) -> Iterator[BaselinePoint]:
    """Yield, for each budget, the model with the widest network that meets it."""
    return best_points(key, task, partial(_forms, task))


def _forms(task: Task, budget_bytes: int) -> list[Form]:
    schema, dim = task.source.schema, task.source.dim
    width = largest_that_fits(range(_MOST_WIDTH, 0, -1), partial(_empty, schema, dim), task, budget_bytes)
    return [] if width is None else [Form("", f"DHE, width {width}", on_source(task, partial(_begin, task, width)))]


def encodings(rows: Int64Array, seed: int) -> Float32Array:
    """Return the scaled hash values of categories, float32 (n, 256).

    Args:
        rows: numbers of the categories, counted over all fields, int64 (n,).
        seed: what the hash functions are drawn from.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    factors = generator.integers(1, PRIME, HASHES)
    shifts = generator.integers(0, PRIME, HASHES)
    hashed = (rows[:, None] * factors + shifts) % PRIME % BUCKETS
    return (hashed * (2 / (BUCKETS - 1)) - 1).astype(np.float32)


@dataclass(frozen=True)
class HashedRows:
    """A network from hash values to embeddings as a file holds it.

    Attributes:
        schema: the fields.
        seed: of the hash functions.
        weights: of each layer, float16 (outputs, inputs).
        biases: of each layer, float16 (outputs,), those of the first (fields, outputs).
    """

    schema: Schema
    seed: int
    weights: tuple[Float16Array, ...]
    biases: tuple[Float16Array, ...]

    def arrays(self) -> dict[str, AnyArray]:
        """Return the seed, int64 (1,), and the weights and biases of each layer, float16."""
        weights = {f"weights.{layer}": array for layer, array in enumerate(self.weights)}
        biases = {f"biases.{layer}": array for layer, array in enumerate(self.biases)}
        return {"seed": np.array([self.seed], dtype=np.int64), **weights, **biases}

    def decode(self) -> Float32Array:
        """Return the table, float32 (categories, dim)."""
        fields = fields_of_rows(self.schema)
        starts = range(0, len(fields), _CHUNK_ROWS)
        return np.concatenate([self._decoded(fields[start : start + _CHUNK_ROWS], start) for start in starts])

    def _decoded(self, fields: Int64Array, start: int) -> Float32Array:
        """Return rows from ``start`` on, float32 (n, dim); ``fields`` are theirs, int64 (n,)."""
        values = encodings(np.arange(start, start + len(fields)), self.seed)
        biases = (self.biases[0][fields], *self.biases[1:])
        for layer, (weights, bias) in enumerate(zip(self.weights, biases, strict=True)):
            if layer:
                values = values * np.tanh(np.logaddexp(0, values))
            values = values @ weights.astype(np.float32).T + bias.astype(np.float32)
        return values


class HashedTable(ComposedTable):
    """A network from hash values to embeddings in training.

    Attributes:
        weights: of each layer, float32 (outputs, inputs).
        biases: of each layer, float32 (outputs,), those of the first (fields, outputs).
    """

    fields: Tensor

    def __init__(self, schema: Schema, dim: int, width: int, seed: int) -> None:
        """Draw the network, and the hash functions."""
        super().__init__(schema)
        self._seed = seed
        generator = torch.Generator().manual_seed(seed)
        sizes = (HASHES, width, width, dim)
        gains = (1.7, 1.5, 0.1)
        self.weights = nn.ParameterList(
            [
                torch.randn(outputs, inputs, generator=generator) * (gain * inputs**-0.5)
                for (inputs, outputs), gain in zip(pairwise(sizes), gains, strict=True)
            ]
        )
        self.biases = nn.ParameterList([torch.zeros(len(schema), width), torch.zeros(width), torch.zeros(dim)])
        self.register_buffer("fields", torch.from_numpy(fields_of_rows(schema)), persistent=False)
        every = np.arange(schema.categories)
        self._encodings = encodings(every, seed) if len(every) * HASHES <= _MOST_KEPT else None

    def compose(self, rows: Tensor, *, sparse: bool) -> Tensor:
        """Return rows of the table, float32 (n, dim), of row numbers, int64 (n,)."""
        wanted = rows.cpu().numpy()
        found = encodings(wanted, self._seed) if self._encodings is None else self._encodings[wanted]
        values = torch.from_numpy(found).to(rows.device)
        values = linear(values, self.weights[0]) + self.biases[0][self.fields[rows]]
        for weights, bias in zip(self.weights[1:], self.biases[1:], strict=True):
            values = linear(mish(values), weights, bias)
        return values

    def tables(self) -> list[nn.Parameter]:
        """Return nothing: there are no tables."""
        return []

    def stored(self) -> HashedRows:
        """Return the network as a file holds it."""
        weights, biases = (
            tuple(part.detach().cpu().numpy().astype(np.float16) for part in parts)
            for parts in (self.weights, self.biases)
        )
        return HashedRows(self.schema, self._seed, weights, biases)


def _begin(task: Task, width: int) -> HashedTable:
    return HashedTable(task.source.schema, task.source.dim, width, task.options.seed)


def _empty(schema: Schema, dim: int, width: int) -> HashedRows:
    sizes = (HASHES, width, width, dim)
    weights = tuple(np.zeros(shape[::-1], np.float16) for shape in pairwise(sizes))
    biases = tuple(np.zeros(shape, np.float16) for shape in ((len(schema), width), (width,), (dim,)))
    return HashedRows(schema, 0, weights, biases)
