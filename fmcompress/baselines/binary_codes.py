"""DFM: binary codes in place of embeddings, in the way of discrete factorization machines (Liu et al., IJCAI 2018).

The embeddings of the trained factorization machine go through a network of two layers for each field, as in the
xLightFM paper, and the signs of what comes out are the codes:

    v̂_ij = s_fj · sign(MLP_f(v_i))_j

with a scale s of each field and coordinate. All is trained on labels or predictions; gradients pass the sign where
its argument is between −1 and 1. What is stored are codes, 1 bit a coordinate, and scales: the networks have done
their work once the codes are known. The plain way has no network: signs of the embeddings themselves, trained along.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, relu

from fmcompress.baselines.composed import ComposedTable, Form, fields_of_rows, largest_that_fits, on_source
from fmcompress.baselines.halving import best_points
from fmcompress.baselines.integers import as_float16, fake_float16
from fmcompress.baselines.task import BaselinePoint, Task
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.disk_table import whole
from fmcompress.fm.schema import Schema
from fmcompress.types import AnyArray, BoolArray, Float16Array, Float32Array, Int64Array

_LEAST = 1e-6


def binary_code_fms(key: str, task: Task) -> Iterator[BaselinePoint]:
    """Yield, for each budget, the model with the longest codes that meets it, made in the better way."""
    return best_points(key, task, partial(_forms, task))


def _forms(task: Task, budget_bytes: int) -> list[Form]:
    dim = task.source.dim
    bits = largest_that_fits(range(dim, 0, -1), partial(_empty, task.source.schema), task, budget_bytes)
    if bits is None:
        return []
    begin = partial(CodeTable, task.source, task.counts, bits)
    return [
        Form("perceptrons", f"DFM, {bits} bits, perceptrons", on_source(task, partial(begin, networks=True))),
        Form("signs", f"DFM, {bits} bits, signs", on_source(task, partial(begin, networks=False))),
    ]


@dataclass(frozen=True)
class CodeRows:
    """Binary codes as a file holds them.

    Attributes:
        schema: the fields.
        positive: which coordinates are positive, bool (categories, bits).
        scales: float16 (fields, bits).
    """

    schema: Schema
    positive: BoolArray
    scales: Float16Array

    def arrays(self) -> dict[str, AnyArray]:
        """Return the codes of all categories one after the other, uint8 (⌈categories · bits / 8⌉,), and the scales."""
        return {"codes": np.packbits(self.positive), "scales": self.scales}

    def decode(self) -> Float32Array:
        """Return the table, float32 (categories, bits)."""
        scales = np.repeat(self.scales.astype(np.float32), self.schema.cardinalities, axis=0)
        return np.where(self.positive, scales, -scales)


class CodeTable(ComposedTable):
    """Binary codes in training.

    Attributes:
        values: embeddings, in units of what they spread by in their field, float32 (categories, dim).
        first: weights of the first layer of each field, float32 (fields, dim, 2 · dim).
        second: of the second, float32 (fields, 2 · dim, bits).
        biases: of both layers, float32 (fields, 2 · dim) and (fields, bits).
        log_scales: logarithms of the scales, float32 (fields, bits).
    """

    fields: Tensor

    def __init__(self, source: FMCheckpoint, counts: Int64Array, bits: int, *, networks: bool) -> None:
        """Begin with the signs of the embeddings, with networks too.

        Args:
            source: the trained factorization machine.
            counts: rows in which each category is active, int64 (categories,).
            bits: length of the codes, that of the embeddings at most.
            networks: whether there are any.
        """
        super().__init__(source.schema)
        fields, dim = len(source.schema), source.dim
        spread, scales = _spread(source, counts)
        scaled = whole(source.embeddings) / spread[fields_of_rows(source.schema), None]
        self.values = nn.Parameter(torch.from_numpy(scaled))
        self.log_scales = nn.Parameter(torch.from_numpy(np.log(scales[:, :bits])))
        self.register_buffer("fields", torch.from_numpy(fields_of_rows(source.schema)), persistent=False)
        self.networks = networks
        if networks:
            eye = torch.eye(dim)
            self.first = nn.Parameter(torch.cat([eye, -eye], dim=1).repeat(fields, 1, 1))
            self.second = nn.Parameter(torch.cat([eye, -eye])[:, :bits].repeat(fields, 1, 1))
            self.biases = nn.ParameterList([torch.zeros(fields, 2 * dim), torch.zeros(fields, bits)])

    def compose(self, rows: Tensor, *, sparse: bool) -> Tensor:
        """Return rows of the table, float32 (n, bits), of row numbers from small to large, int64 (n,)."""
        latents = self._latents(rows, sparse=sparse)
        inside = latents.clamp(-1, 1)
        signs = torch.where(latents >= 0, 1.0, -1.0)
        return (inside + (signs - inside).detach()) * fake_float16(self.log_scales.exp())[self.fields[rows]]

    def _latents(self, rows: Tensor, *, sparse: bool) -> Tensor:
        """Return what the codes are the signs of, float32 (n, bits)."""
        values = embedding(rows, self.values, sparse=sparse)
        if not self.networks:
            return values[:, : self.log_scales.shape[1]]
        found, start = [], 0
        for number, own in enumerate(self.by_field(rows)):
            hidden = relu(values[start : start + len(own)] @ self.first[number] + self.biases[0][number])
            found.append(hidden @ self.second[number] + self.biases[1][number])
            start += len(own)
        return torch.cat(found)

    def tables(self) -> list[nn.Parameter]:
        """Return the embeddings."""
        return [self.values]

    @torch.no_grad()
    def stored(self) -> CodeRows:
        """Return the codes as a file holds them."""
        positive = self._latents(self.every_row(), sparse=False) >= 0
        return CodeRows(self.schema, positive.cpu().numpy(), as_float16(self.log_scales.exp().cpu().numpy()))


def _spread(source: FMCheckpoint, counts: Int64Array) -> tuple[Float32Array, Float32Array]:
    """Return what numbers spread by in each field, float32 (fields,), and first scales, float32 (fields, dim).

    They are the root mean square, and the mean absolute number of each column, over rows of the training data.
    """
    split = source.schema.split
    weights = [np.maximum(own, _LEAST) / np.maximum(own, _LEAST).sum() for own in split(counts)]
    tables = split(whole(source.embeddings))
    spread = [np.sqrt(own @ np.square(table).mean(axis=1)) for own, table in zip(weights, tables, strict=True)]
    scales = np.stack([own @ np.abs(table) for own, table in zip(weights, tables, strict=True)])
    return np.maximum(spread, _LEAST).astype(np.float32), np.maximum(scales, _LEAST).astype(np.float32)


def _empty(schema: Schema, bits: int) -> CodeRows:
    return CodeRows(schema, np.zeros((schema.categories, bits), np.bool_), np.zeros((len(schema), bits), np.float16))
