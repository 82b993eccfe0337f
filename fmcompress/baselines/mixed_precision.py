"""MPE: mixed-precision embeddings (Li et al., 2024): 0 to 6 bits for groups of categories of like frequency.

The categories of a field, from frequent to rare, are cut into groups. While embeddings are trained on, each number of
bits has a probability in each group, p = softmax(α), a row is the mean over all of them,

    v_i = Σ_b p_b Q_b(v'_i),   loss + λ Σ_i Σ_b p_b b,

and λ is moved so that the bits that are expected fill the budget; α begins with the errors that rounding makes in
frequent and in rare groups. Then each group takes the number of bits that is most
probable within the budget, the whole file, and the embeddings of the trained model are tuned anew with these. Linear
weights are a table of one column, with groups and bits of its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, embedding

from fmcompress.backbones.vanilla_fm import RowNumbers
from fmcompress.baselines.centred import CentredTable, empty_rows, fake_int8, quantized
from fmcompress.baselines.composed import Form
from fmcompress.baselines.halving import best_points
from fmcompress.baselines.integers import fake_float16
from fmcompress.baselines.stored import StoredFM
from fmcompress.baselines.task import BaselinePoint, Task
from fmcompress.baselines.tuning import StoredModule
from fmcompress.data.shuffle import shuffled
from fmcompress.finetune.objective import Targets
from fmcompress.fm.disk_table import whole
from fmcompress.fm.schema import Schema
from fmcompress.training.trainable import adam, linear_decay
from fmcompress.types import Float32Array, Float64Array, Int64Array, UInt8Array

MOST_BITS = 6
_GROUP = 128
_FIRST_GROUP = 8
_LR, _ALPHA_LR = 1e-2, 3e-2
_LEAST_LOG = -3.0
_SLACK, _ENOUGH = 64, 5e-3
_FIRST_LAMBDA, _LAMBDA_STEP = 1e-3, 0.05
_EPOCHS, _MOST_STEPS = 2, 2000


def mixed_precision_fms(key: str, task: Task) -> Iterator[BaselinePoint]:
    """Yield, for each budget, the model with the most probable bits that meets it, tuned anew."""
    return best_points(key, task, partial(_forms, task))


def _forms(task: Task, budget_bytes: int) -> list[Form]:
    schema, groups = task.source.schema, frequency_groups(task.source.schema, task.counts)
    dim = task.source.dim
    if bytes_of_bits(schema, dim, *[np.zeros(schema.categories, np.uint8)] * 2) > budget_bytes:
        return []
    own, linear = likely_bits(searched(task, groups, budget_bytes), groups, task.counts, schema, dim, budget_bytes)
    mean = own.mean()
    return [Form("", f"MPE, {mean:.2f} bits, linear {linear.mean():.2f}", partial(_begin, task, own, linear))]


def _begin(task: Task, own: UInt8Array, linear: UInt8Array) -> StoredModule:
    source, counts = task.source, task.counts
    table = CentredTable(source.schema, whole(source.embeddings), counts, own)
    return StoredModule(source, CentredTable(source.schema, source.linear[:, None], counts, linear), table)


def frequency_groups(schema: Schema, counts: Int64Array) -> Int64Array:
    """Return the group of each category, int64 (categories,): 8 to 128 of a field, with like counts."""
    groups, first = [], 0
    for own in schema.split(counts):
        ends = np.cumsum(np.minimum(_GROUP, _FIRST_GROUP * 2 ** np.arange(5)))
        ends = np.append(ends, np.arange(ends[-1] + _GROUP, len(own) + _GROUP, _GROUP))
        numbers = np.empty(len(own), np.int64)
        numbers[np.argsort(-own, kind="stable")] = np.searchsorted(ends, np.arange(len(own)), side="right")
        groups.append(first + numbers)
        first += int(numbers.max(initial=-1)) + 1
    return np.concatenate(groups)


class MixedTable(CentredTable):
    """A table whose rows are means over all numbers of bits.

    Attributes:
        alphas: logarithms of the probabilities, up to a constant, float32 (groups, 7).
    """

    groups: Tensor

    def __init__(
        self, schema: Schema, table: Float32Array, counts: Int64Array, groups: Int64Array, logs: Float64Array
    ) -> None:
        """Take over a table, float32 (categories, columns), and what stands for log p, float64 (groups, 7)."""
        super().__init__(schema, table, counts, np.full(len(table), MOST_BITS, np.uint8))
        self.alphas = nn.Parameter(torch.from_numpy(np.maximum(logs, _LEAST_LOG).astype(np.float32)))
        self.register_buffer("groups", torch.from_numpy(groups), persistent=False)
        self.register_buffer("sizes", torch.bincount(self.groups) * table.shape[1], persistent=False)

    def compose(self, rows: Tensor, *, sparse: bool) -> Tensor:
        """Return rows of the table, float32 (n, columns), of row numbers, int64 (n,)."""
        values = embedding(rows, self.values, sparse=sparse)
        shares, fields = self.alphas.softmax(dim=1)[self.groups[rows]], self.fields[rows]
        steps = fake_float16(self.log_steps.exp())
        found = fake_int8(self.centres)[fields]
        for bits in range(1, MOST_BITS + 1):
            number = torch.full((1, 1), bits, device=rows.device)
            parts = steps[fields, bits][:, None], self.gradient_scales[fields, bits][:, None]
            found = found + shares[:, bits, None] * quantized(values, *parts, number)
        return found

    def expected_bits(self) -> Tensor:
        """Return the bits of all numbers together that are expected, a float32 scalar."""
        per_number = self.alphas.softmax(dim=1) @ torch.arange(MOST_BITS + 1.0, device=self.alphas.device)
        return self.get_buffer("sizes").float() @ per_number


def searched(task: Task, groups: Int64Array, budget_bytes: int) -> list[Float64Array]:
    """Return log p of each group and number of bits, float64 (groups, 7): of embeddings, and of linear weights."""
    source, options, schema = task.source, task.options, task.source.schema
    first = by_count(task, groups)
    if not options.epochs:
        return first
    numbers = zip((whole(source.embeddings), source.linear[:, None]), first, strict=True)
    tables = [MixedTable(schema, table, task.counts, groups, logs) for table, logs in numbers]
    fixed = bytes_of_bits(schema, source.dim, *[np.zeros(schema.categories, np.uint8)] * 2)
    _search(task, tables, max(1, 8 * (budget_bytes - fixed)))
    return [table.alphas.detach().double().log_softmax(dim=1).cpu().numpy() for table in tables]


def _search(task: Task, tables: Sequence[MixedTable], room_bits: int) -> None:
    """Train tables of embeddings and of linear weights, and their probabilities, so that they fill some bits."""
    source, options = task.source, task.options
    module = StoredModule(source, tables[1], tables[0]).to(options.device)
    alphas = [table.alphas for table in tables]
    others = [one for one in module.others() if all(one is not alpha for alpha in alphas)]
    optimizers = [*adam(module.tables(), others, _LR, sparse=module.sparse), torch.optim.Adam(alphas, lr=_ALPHA_LR)]
    steps = min(_EPOCHS * -(-task.data.rows.rows // options.batch_size), _MOST_STEPS)
    schedulers = linear_decay(optimizers[:-1], steps)
    targets, row_numbers = Targets(source, 1.0, options.device), RowNumbers(source.schema, options.device)
    epochs = (shuffled(task.data.rows, options.batch_size, seed=options.seed + epoch) for epoch in range(_EPOCHS))
    weight = _FIRST_LAMBDA
    for batch in islice(chain.from_iterable(epochs), steps):
        logits, _ = module(row_numbers(batch))
        filled = (tables[0].expected_bits() + tables[1].expected_bits()) / room_bits
        loss = binary_cross_entropy_with_logits(logits, targets(batch)) + weight * filled
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer in optimizers:
            optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
        weight *= float(np.exp(_LAMBDA_STEP * np.clip(filled.item() - 1, -1, 1)))


def by_count(task: Task, groups: Int64Array) -> list[Float64Array]:
    """Return what stands for log p before anything is trained: the rounding errors to expect, times counts.

    Args:
        task: has the counts.
        groups: of each category, int64 (categories,).

    Returns:
        Of embeddings and of linear weights, float64 (groups, 7) each.
    """
    counts = np.bincount(groups, task.counts) / np.bincount(groups)
    found = -counts[:, None] / max(1.0, counts.mean()) * 4.0 ** -np.arange(MOST_BITS + 1)
    return [found * task.source.dim, found]


@dataclass(frozen=True)
class _Room:
    """What bits are chosen for.

    Attributes:
        schema: the fields.
        groups: of each category, int64 (categories,).
        dim: embedding size.
        budget_bytes: the size that the file must not exceed.
    """

    schema: Schema
    groups: Int64Array
    dim: int
    budget_bytes: int

    def of_categories(self, chosen: Int64Array) -> tuple[UInt8Array, UInt8Array]:
        """Return bits of embeddings and of linear weights, uint8 (categories,), of those of groups, (2, groups)."""
        own, linear = chosen.astype(np.uint8)[:, self.groups]
        return own, linear

    def spare(self, chosen: Int64Array) -> int:
        """Return what these bits of embeddings and linear weights, int64 (2, groups), leave of the budget."""
        return self.budget_bytes - bytes_of_bits(self.schema, self.dim, *self.of_categories(chosen))


def likely_bits(
    logs: Sequence[Float64Array], groups: Int64Array, counts: Int64Array, schema: Schema, dim: int, budget_bytes: int
) -> tuple[UInt8Array, UInt8Array]:
    """Return the most probable bits within a budget, of embeddings and of linear weights, uint8 (categories,) each.

    They are those with the largest Σ log p − μ · bits, with the least μ that the budget allows. What is then left of it
    goes to groups one after the other, frequent ones first: the most probable of the bits that fit.

    Args:
        logs: log p, float64 (groups, 7), of embeddings and of linear weights.
        groups: of each category, int64 (categories,).
        counts: rows in which each category is active, int64 (categories,).
        schema: the fields.
        dim: embedding size.
        budget_bytes: the size that the file must not exceed; one of 0 bits everywhere fits.
    """
    room, every = _Room(schema, groups, dim, budget_bytes), np.stack(logs)
    sizes = np.bincount(groups)[:, None] * np.arange(MOST_BITS + 1) * np.array([dim, 1])[:, None, None]
    low, high = 0.0, 1e-9
    while room.spare(np.argmax(every - high * sizes, axis=2)) < 0:
        low, high = high, 2 * high
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (low, middle) if room.spare(np.argmax(every - middle * sizes, axis=2)) >= 0 else (middle, high)
    frequent_first = np.argsort(-np.bincount(groups, counts) / np.bincount(groups), kind="stable")
    return room.of_categories(_filled(room, np.argmax(every - high * sizes, axis=2), every, frequent_first))


def _filled(room: _Room, chosen: Int64Array, logs: Float64Array, order: Int64Array) -> Int64Array:
    """Return bits of groups, int64 (2, groups), with more where they fit, the first groups of an order first."""
    sizes, spare = np.bincount(room.groups), room.spare(chosen)
    for group in order:
        for table, columns in enumerate((room.dim, 1)):
            most = chosen[table, group] + int(8 * (spare + _SLACK) // (sizes[group] * columns))
            more = np.arange(chosen[table, group] + 1, min(most, MOST_BITS) + 1)
            for bits in more[np.argsort(-logs[table, group, more], kind="stable")]:
                tried = chosen.copy()
                tried[table, group] = bits
                if room.spare(tried) >= 0:
                    chosen, spare = tried, room.spare(tried)
                    break
        if spare < _ENOUGH * room.budget_bytes:
            break
    return chosen


def bytes_of_bits(schema: Schema, dim: int, own: UInt8Array, linear: UInt8Array) -> int:
    """Return the size of a file with bits of embeddings and of linear weights, uint8 (categories,) each."""
    return StoredFM(schema, "sigmoid", 0.0, empty_rows(schema, linear, 1), empty_rows(schema, own, dim)).file_bytes
