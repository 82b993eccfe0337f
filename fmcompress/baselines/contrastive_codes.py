"""MEC: product quantization of the trained embeddings, by popularity and contrast, and a model trained on it (2025).

Stage 1 makes the codes: k-means in each field and subspace, with weights log2(f_i) so that the frequent categories do
not take all codewords (popularity-weighted regularisation), then steps of Adam on

    ‖v − q‖² / l + 0.002 · −log(e^cos(v, q) / (e^cos(v, q) + e^cos(v, q⁻)))

with q⁻ the row q with one of its codes drawn at random, and codes chosen anew at each step. Stage 2 trains the model
anew with these codes: codewords go on from there, in int8. A linear weight is a sum of one number of each of its
category's codewords, so that it takes no codes of its own. Fields with no more categories than codewords keep rows of
their own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, embedding, mse_loss, softplus

from fmcompress.artifact import bitpack
from fmcompress.baselines.centred import first_steps, quantized
from fmcompress.baselines.composed import ComposedTable, Form, fields_of_rows
from fmcompress.baselines.halving import best_points
from fmcompress.baselines.integers import as_float16, fake_float16
from fmcompress.baselines.stored import StoredFM
from fmcompress.baselines.task import BaselinePoint, Task
from fmcompress.baselines.tuning import StoredModule
from fmcompress.fm.disk_table import whole
from fmcompress.fm.schema import Schema
from fmcompress.quantization.kmeans import nearest, train_centroids
from fmcompress.types import AnyArray, Float16Array, Float32Array, Int8Array, Int64Array

_SUBSPACES = (1, 2, 4, 8)
_LEAST_SIZE, _MOST_SIZE = 2, 4096
_ITERATIONS = 25
_STEPS, _BATCH_ROWS, _LR = 60, 1024, 1e-3
_CONTRAST = 2e-3
_BITS, _HIGHEST, _LOWEST = 8, 127, -128


def contrastive_code_fms(key: str, task: Task) -> Iterator[BaselinePoint]:
    """Yield, for each budget, the model with the largest codebooks that meets it, in the better number of subspaces."""
    return best_points(key, task, partial(_forms, task), screened=True)


def _forms(task: Task, budget_bytes: int) -> list[Form]:
    schema, dim, forms = task.source.schema, task.source.dim, []
    for subspaces in (own for own in _SUBSPACES if dim % own == 0):
        size = _largest_size(schema, dim, subspaces, budget_bytes)
        if size >= _LEAST_SIZE:
            name = f"MEC, {subspaces} x {size} codewords"
            forms.append(Form(f"{subspaces} subspaces", name, partial(_begin, task, subspaces, size)))
    return forms


def _largest_size(schema: Schema, dim: int, subspaces: int, budget_bytes: int) -> int:
    """Return the most codewords of a subspace within a budget, 4,096 at most; 1 where 2 are not."""
    low, high = 1, _MOST_SIZE
    while low < high:
        middle = (low + high + 1) // 2
        fits = _file_bytes(schema, dim, subspaces, middle) <= budget_bytes
        low, high = (middle, high) if fits else (low, middle - 1)
    return low


def codewords_of(schema: Schema, size: int) -> Int64Array:
    """Return the codewords of each field, int64 (fields,): one for each category where these are not more."""
    return np.minimum(schema.cardinalities, size)


@dataclass(frozen=True)
class CodedRows:
    """Codewords, and the codes of categories, as a file holds them.

    Attributes:
        schema: the fields.
        sizes: codewords of each field, int64 (fields,).
        codes: int64 (categories, subspaces).
        codewords: of all fields, int8 (codewords, subspaces, numbers).
        steps: of each field, float16 (fields,).
        summed: whether what the subspaces hold is summed up, as for linear weights, or stands side by side. The codes
            are in the file of the latter.
    """

    schema: Schema
    sizes: Int64Array
    codes: Int64Array
    codewords: Int8Array
    steps: Float16Array
    summed: bool

    def arrays(self) -> dict[str, AnyArray]:
        """Return steps, codewords and packed codes one behind the other, uint8 (bytes,)."""
        parts = [self.steps, self.codewords]
        for own, cardinality, size in zip(
            self.schema.split(self.codes), self.schema.cardinalities.tolist(), self.sizes.tolist(), strict=True
        ):
            if size < cardinality and not self.summed:
                parts.append(bitpack.pack(own.astype(np.uint16), (int(size - 1).bit_length(),) * own.shape[1]))
        return {"packed": np.concatenate([np.ascontiguousarray(part).view(np.uint8).ravel() for part in parts])}

    def decode(self) -> Float32Array:
        """Return the table, float32 (categories, columns)."""
        fields = fields_of_rows(self.schema)
        firsts = np.cumsum(self.sizes) - self.sizes
        places = firsts[fields][:, None] + self.codes
        found = self.codewords[places, np.arange(self.codes.shape[1])].astype(np.float32)
        found *= self.steps.astype(np.float32)[fields, None, None]
        decoded: Float32Array = found.sum(axis=1) if self.summed else found.reshape(len(fields), -1)
        return decoded


class CodedTable(ComposedTable):
    """Codewords in training; codes stand still.

    Attributes:
        codewords: float32 (codewords of all fields · subspaces, numbers).
        log_steps: logarithms of the steps, float32 (fields,).
    """

    codes: Tensor
    places: Tensor
    fields: Tensor
    gradient_scales: Tensor

    def __init__(
        self, schema: Schema, sizes: Int64Array, codes: Int64Array, codewords: Float32Array, *, summed: bool
    ) -> None:
        """Take codewords and codes over; see ``CodedRows``, but for numbers, float32, in place of integers."""
        super().__init__(schema)
        self._sizes, self._shape, self._summed = sizes, codewords.shape, summed
        fields, ends = fields_of_rows(schema), np.cumsum(sizes)
        parts = [codewords[end - size : end].reshape(int(size), -1) for end, size in zip(ends, sizes, strict=True)]
        steps = [first_steps(own, np.ones(len(own), np.int64))[_BITS] for own in parts]
        self.codewords = nn.Parameter(torch.from_numpy(codewords.reshape(-1, codewords.shape[2])))
        self.log_steps = nn.Parameter(torch.from_numpy(np.log(np.array(steps))))
        subspaces = codewords.shape[1]
        places = ((ends - sizes)[fields][:, None] + codes) * subspaces + np.arange(subspaces)
        scales = np.array([(own.size * _HIGHEST) ** -0.5 for own in parts], np.float32)
        for name, array in {"codes": codes, "places": places, "fields": fields, "gradient_scales": scales}.items():
            self.register_buffer(name, torch.from_numpy(array), persistent=False)

    def compose(self, rows: Tensor, *, sparse: bool) -> Tensor:
        """Return rows of the table, float32 (n, columns), of row numbers, int64 (n,)."""
        found, fields = embedding(self.places[rows], self.codewords, sparse=sparse), self.fields[rows]
        steps = fake_float16(self.log_steps.exp())[fields][:, None, None]
        bits = torch.full((1, 1, 1), _BITS, device=rows.device)
        found = quantized(found, steps, self.gradient_scales[fields][:, None, None], bits)
        return found.sum(dim=1) if self._summed else found.flatten(1)

    def tables(self) -> list[nn.Parameter]:
        """Return the codewords."""
        return [self.codewords]

    @torch.no_grad()
    def stored(self) -> CodedRows:
        """Return the table as a file holds it."""
        steps = as_float16(self.log_steps.exp().cpu().numpy())
        own = np.repeat(steps.astype(np.float32), self._sizes)[:, None, None]
        codes = np.clip(np.rint(self.codewords.cpu().numpy().reshape(self._shape) / own), _LOWEST, _HIGHEST)
        return CodedRows(self.schema, self._sizes, self.codes.cpu().numpy(), codes.astype(np.int8), steps, self._summed)


def contrastive_codebook(
    table: Float32Array, counts: Int64Array, subspaces: int, size: int, seed: int
) -> tuple[Float32Array, Int64Array]:
    """Return codewords of a field, float32 (size, subspaces, numbers), and codes, int64 (cardinality, subspaces).

    Args:
        table: embeddings of the field, float32 (cardinality, dim).
        counts: rows in which each category is active, int64 (cardinality,).
        subspaces: they are cut into so many parts of one length.
        size: codewords, fewer than categories.
        seed: of k-means and of what is drawn.
    """
    weights = np.maximum(1, np.log2(np.maximum(counts, 1))).astype(np.float32)
    parts = np.ascontiguousarray(table.reshape(len(table), subspaces, -1).transpose(1, 0, 2))
    found = [train_centroids(part, weights, size, seed=seed, iterations=_ITERATIONS) for part in parts]
    codewords = nn.Parameter(torch.from_numpy(np.stack(found)))
    optimizer, generator = torch.optim.Adam([codewords], lr=_LR * max(float(table.std()), 1e-6)), torch.Generator()
    generator.manual_seed(seed)
    points, places = torch.from_numpy(parts), torch.arange(subspaces)[:, None]
    for _ in range(_STEPS):
        drawn = torch.multinomial(torch.from_numpy(weights), _BATCH_ROWS, True, generator=generator)
        own = points[:, drawn]
        codes = torch.cdist(own, codewords.detach()).argmin(dim=2)
        wrong, changed = codes.clone(), torch.randint(subspaces, (1, len(drawn)), generator=generator)
        wrong.scatter_(0, changed, torch.randint(size, (1, len(drawn)), generator=generator))
        rows, right, other = (
            part.transpose(0, 1).flatten(1) for part in (own, codewords[places, codes], codewords[places, wrong])
        )
        contrast = softplus(cosine_similarity(rows, other) - cosine_similarity(rows, right)).mean()
        loss = mse_loss(right, rows) + _CONTRAST * rows.square().mean() * contrast
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    final = codewords.detach().numpy()
    numbers = [nearest(part, own)[1] for part, own in zip(parts, final, strict=True)]
    return final.transpose(1, 0, 2), np.stack(numbers, axis=1)


def _begin(task: Task, subspaces: int, size: int) -> StoredModule:
    source, schema = task.source, task.source.schema
    sizes, seed = codewords_of(schema, size), task.options.seed
    codewords, codes, weights = [], [], []
    parts = schema.split(whole(source.embeddings)), schema.split(source.linear), schema.split(task.counts)
    fields = zip(*parts, strict=True)
    for (table, linear, counts), own in zip(fields, sizes.tolist(), strict=True):
        if own == len(table):
            words, numbers = table.reshape(own, subspaces, -1), np.arange(own)[:, None].repeat(subspaces, axis=1)
        else:
            words, numbers = contrastive_codebook(table, counts, subspaces, own, seed)
        codewords.append(words)
        codes.append(numbers)
        weights.append(_linear_codewords(linear, counts, numbers, own))
    every = np.concatenate(codes).astype(np.int64)
    begun = partial(CodedTable, schema, sizes, every)
    tables = begun(np.concatenate(codewords), summed=False), begun(np.concatenate(weights), summed=True)
    return StoredModule(source, tables[1], tables[0])


def _linear_codewords(linear: Float32Array, counts: Int64Array, codes: Int64Array, size: int) -> Float32Array:
    """Return numbers of codewords whose sums are near linear weights, float32 (size, subspaces, 1)."""
    left, found = linear.astype(np.float64), np.zeros((size, codes.shape[1], 1), np.float32)
    weights = np.maximum(counts, 1e-6)
    for subspace, own in enumerate(codes.T):
        means = np.bincount(own, weights * left, size) / np.maximum(np.bincount(own, weights, size), 1e-12)
        found[:, subspace, 0] = means
        left = left - means[own]
    return found


def _file_bytes(schema: Schema, dim: int, subspaces: int, size: int) -> int:
    sizes, steps = codewords_of(schema, size), np.zeros(len(schema), np.float16)
    codes = np.zeros((schema.categories, subspaces), np.int64)
    empty = [
        CodedRows(schema, sizes, codes, np.zeros((int(sizes.sum()), subspaces, numbers), np.int8), steps, summed)
        for numbers, summed in ((1, True), (dim // subspaces, False))
    ]
    return StoredFM(schema, "sigmoid", 0.0, *empty).file_bytes
