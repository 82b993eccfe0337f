"""Tables of deviations from one vector of each field, in integers of 0 to 8 bits: what several baselines store.

    v_i = c_f + (⌊v'_i / s − h⌉ + h) · s,   h = ½ for 1 to 3 bits, else 0

c_f, in int8, is what a category of 0 bits has, and numbers that are pruned. A row has as many bits as its category,
with a step s for each field and number of bits, learned along (LSQ).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from fmcompress.artifact import bitpack
from fmcompress.baselines.composed import ComposedTable, fields_of_rows
from fmcompress.baselines.integers import as_float16, fake_float16, straight_through
from fmcompress.baselines.places import packed_places
from fmcompress.fm.schema import Schema
from fmcompress.types import AnyArray, BoolArray, Float16Array, Float32Array, Int8Array, Int64Array, UInt8Array

_FACTORS = np.geomspace(1, 0.03, 40)
_SAMPLE = 2048
_LEAST = 1e-6
_HIGHEST = 127
_MOST_HALVES = 3


@dataclass(frozen=True)
class CentredRows:
    """Deviations from a vector of each field as a file holds them.

    Attributes:
        schema: the fields.
        bits: of a number of each category, uint8 (categories,).
        kept: numbers of rows of more than 0 bits that are not pruned, bool (such rows, columns); None where all are.
        codes: of these rows, half a step below what they stand for where bits are few, int8 (such rows, columns).
        steps: float16 (fields, 9), by the number of bits.
        centres: int8 (fields, columns).
        centre_steps: float16 (fields,).
        lists_bits: whether ``bits`` are in the file of this table, or in that of another.
    """

    schema: Schema
    bits: UInt8Array
    kept: BoolArray | None
    codes: Int8Array
    steps: Float16Array
    centres: Int8Array
    centre_steps: Float16Array
    lists_bits: bool = True

    def arrays(self) -> dict[str, AnyArray]:
        """Return all parts one behind the other, uint8 (bytes,): bits, what is kept, centres, steps, codes."""
        listed = [self._listed_bits()] if self.lists_bits else []
        mask = [] if self.kept is None else [packed_places(self.kept.ravel())]
        rows = self.bits[self.bits > 0]
        used = [np.unique(own[own > 0]) for own in self.schema.split(self.bits)]
        steps = [self.steps[field, own] for field, own in enumerate(used)]
        codes = [self._packed(rows, int(bits)) for bits in np.unique(rows)]
        parts = [*listed, *mask, self.centres, self.centre_steps, *steps, *codes]
        return {"packed": np.concatenate([np.ascontiguousarray(part).view(np.uint8).ravel() for part in parts])}

    def decode(self) -> Float32Array:
        """Return the table, float32 (categories, columns)."""
        fields, found = fields_of_rows(self.schema), self.bits > 0
        centres = self.centres * self.centre_steps.astype(np.float32)[:, None]
        decoded = centres[fields].astype(np.float32)
        bits = self.bits[found]
        steps = self.steps.astype(np.float32)[fields[found], bits][:, None]
        deviations = (self.codes + _half(bits)[:, None]) * steps
        decoded[found] += deviations if self.kept is None else deviations * self.kept
        return decoded

    def _listed_bits(self) -> UInt8Array:
        """Return, for each number of bits but the highest, which of the rows that have it or more have more."""
        parts, left = [], self.bits
        levels = np.unique(self.bits)
        for level in levels[:-1]:
            parts.append(packed_places(left > level))
            left = left[left > level]
        return np.concatenate([levels.astype(np.uint8), *parts])

    def _packed(self, rows: UInt8Array, bits: int) -> UInt8Array:
        own = rows == bits
        codes = self.codes[own] if self.kept is None else self.codes[own][self.kept[own]][:, None]
        return bitpack.pack((codes.astype(np.int64) & ((1 << bits) - 1)).astype(np.uint16), (bits,) * codes.shape[1])


class CentredTable(ComposedTable):
    """Deviations from a vector of each field in training.

    Attributes:
        values: deviations of rows of more than 0 bits, then one of 0, float32 (such rows + 1, columns).
        centres: float32 (fields, columns).
        log_steps: logarithms of the steps, float32 (fields, 9), by the number of bits.
    """

    fields: Tensor
    places: Tensor
    row_bits: Tensor
    gradient_scales: Tensor
    kept: Tensor | None

    def __init__(
        self,
        schema: Schema,
        table: Float32Array,
        counts: Int64Array,
        bits: UInt8Array,
        kept: BoolArray | None = None,
        *,
        lists_bits: bool = True,
    ) -> None:
        """Take over a table.

        Args:
            schema: the fields.
            table: what to start from, float32 (categories, columns).
            counts: rows in which each category is active, int64 (categories,).
            bits: of a number of each category, uint8 (categories,).
            kept: numbers that are not pruned, bool (categories, columns); None where all are kept.
            lists_bits: whether ``bits`` are in the file of this table, or in that of another.
        """
        super().__init__(schema)
        self._bits, self._lists_bits, found = bits, lists_bits, bits > 0
        fields = fields_of_rows(schema)
        stays = np.broadcast_to(found[:, None], table.shape) if kept is None else kept & found[:, None]
        centres = field_means(schema, table, counts, stays)
        deviations = (table - centres[fields]) * stays
        parts = zip(schema.split(deviations), schema.split(counts), strict=True)
        steps = np.stack([first_steps(*own) for own in parts])
        self.values = nn.Parameter(torch.from_numpy(np.pad(deviations[found], ((0, 1), (0, 0)))))
        self.centres = nn.Parameter(torch.from_numpy(centres))
        self.log_steps = nn.Parameter(torch.from_numpy(np.log(steps)))
        places = np.where(found, np.cumsum(found) - 1, found.sum())
        numbers = np.array([max(1, int(own.sum())) for own in schema.split(stays)])[:, None]
        scales = (numbers * np.maximum(1, 2.0 ** (np.arange(9) - 1) - 1)) ** -0.5
        buffers = {"fields": fields, "places": places, "row_bits": bits.astype(np.int64)}
        for name, array in buffers.items():
            self.register_buffer(name, torch.from_numpy(array), persistent=False)
        self.register_buffer("gradient_scales", torch.from_numpy(scales.astype(np.float32)), persistent=False)
        mask = None if kept is None else torch.from_numpy(np.pad(stays[found], ((0, 1), (0, 0))))
        self.register_buffer("kept", mask, persistent=False)

    def compose(self, rows: Tensor, *, sparse: bool) -> Tensor:
        """Return rows of the table, float32 (n, columns), of row numbers, int64 (n,)."""
        fields, places, bits = self.fields[rows], self.places[rows], self.row_bits[rows]
        values = embedding(places, self.values, padding_idx=len(self.values) - 1, sparse=sparse)
        steps = fake_float16(self.log_steps.exp())[fields, bits][:, None]
        deviations = quantized(values, steps, self.gradient_scales[fields, bits][:, None], bits[:, None])
        deviations = deviations * ((bits > 0)[:, None] if self.kept is None else self.kept[places])
        return fake_int8(self.centres)[fields] + deviations

    def tables(self) -> list[nn.Parameter]:
        """Return the deviations."""
        return [self.values]

    @torch.no_grad()
    def stored(self) -> CentredRows:
        """Return the table as a file holds it."""
        found = self._bits > 0
        values, bits = self.values.cpu().numpy()[:-1], self._bits[found]
        steps = as_float16(self.log_steps.exp().cpu().numpy())
        own = steps.astype(np.float32)[fields_of_rows(self.schema)[found], bits][:, None]
        codes = np.clip(np.rint(values / own - _half(bits)[:, None]), *_ends(bits[:, None]))
        centres = self.centres.cpu().numpy()
        centre_steps = as_float16(np.abs(centres).max(axis=1) / _HIGHEST)
        rounded = np.clip(np.rint(centres / centre_steps.astype(np.float32)[:, None]), -_HIGHEST, _HIGHEST)
        kept = None if self.kept is None else self.kept.cpu().numpy()[:-1]
        parts = codes.astype(np.int8), steps, rounded.astype(np.int8), centre_steps
        return CentredRows(self.schema, self._bits, kept, *parts, self._lists_bits)


def empty_rows(
    schema: Schema, bits: UInt8Array, columns: int, kept: BoolArray | None = None, *, lists_bits: bool = True
) -> CentredRows:
    """Return a table of zeros that takes as many bytes as one of other numbers.

    Args:
        schema: the fields.
        bits: of a number of each category, uint8 (categories,).
        columns: of the table.
        kept: numbers of rows of more than 0 bits that are not pruned, bool (such rows, columns); None where all are.
        lists_bits: whether ``bits`` are in the file of this table, or in that of another.
    """
    codes, centres = np.zeros((int((bits > 0).sum()), columns), np.int8), np.zeros((len(schema), columns), np.int8)
    steps, centre_steps = np.zeros((len(schema), 9), np.float16), np.zeros(len(schema), np.float16)
    return CentredRows(schema, bits, kept, codes, steps, centres, centre_steps, lists_bits)


def field_means(schema: Schema, table: Float32Array, counts: Int64Array, stays: BoolArray) -> Float32Array:
    """Return the mean of what does not stay, weighted with counts, float32 (fields, columns); of all where all does.

    Args:
        schema: the fields.
        table: float32 (categories, columns).
        counts: rows in which each category is active, int64 (categories,).
        stays: bool (categories, columns).
    """
    means = []
    parts = zip(schema.split(table), schema.split(counts), schema.split(stays), strict=True)
    for own, count, kept in parts:
        weights = np.where(kept, 0, np.maximum(count, _LEAST)[:, None])
        weights[:, kept.all(axis=0)] = np.maximum(count, _LEAST)[:, None]
        means.append((own * weights).sum(axis=0) / weights.sum(axis=0))
    return np.stack(means).astype(np.float32)


def first_steps(deviations: Float32Array, counts: Int64Array) -> Float32Array:
    """Return the steps of the least squared error of a field, weighted with counts, float32 (9,), by bits.

    Args:
        deviations: float32 (cardinality, columns); rows of zeros do not count.
        counts: rows in which each category is active, int64 (cardinality,).
    """
    rows = np.flatnonzero(deviations.any(axis=1))
    if not len(rows):
        return np.full(9, 1e-3, np.float32)
    rows = rows[np.argsort(-counts[rows], kind="stable")]
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(_SAMPLE, len(rows))).astype(np.int64))]
    sample, weights = deviations[rows], np.maximum(counts[rows], _LEAST)[:, None]
    largest, found = np.abs(sample).max(), np.full(9, np.float32(1e-3))
    for number in range(1, 9):
        bits = np.array([[number]], np.uint8)
        low, high = _ends(bits)
        steps = as_float16(2 * largest / (high - low + 1).item() * _FACTORS).astype(np.float32)
        codes = [np.clip(np.rint(sample / step - _half(bits)), low, high) + _half(bits) for step in steps]
        errors = [(weights * np.square(sample - code * step)).sum() for code, step in zip(codes, steps, strict=True)]
        found[number] = steps[int(np.argmin(errors))]
    return found


def quantized(values: Tensor, steps: Tensor, gradient_scales: Tensor, bits: Tensor) -> Tensor:
    """Return numbers as their codes stand for them, float32, with the gradients of LSQ.

    Args:
        values: float32 (n, columns).
        steps: float32 (n, 1).
        gradient_scales: float32 (n, 1).
        bits: 0 to 8, int64 (n, 1).
    """
    scaled = steps * gradient_scales
    steps = scaled + (steps - scaled).detach()
    halves = 0.5 * (bits <= _MOST_HALVES)
    highest = torch.exp2(bits - 1.0)
    ratios = torch.minimum(torch.maximum(values / steps - halves, -highest), highest - 1)
    return (straight_through(torch.round(ratios), ratios) + halves) * steps


def fake_int8(centres: Tensor) -> Tensor:
    """Return vectors of fields as they are stored, float32 (fields, columns), with their gradient."""
    steps = fake_float16(centres.detach().abs().amax(dim=1, keepdim=True) / _HIGHEST)
    return straight_through(torch.round(centres / steps).clamp(-_HIGHEST, _HIGHEST) * steps, centres)


def _half(bits: UInt8Array) -> Float32Array:
    return np.where(bits <= _MOST_HALVES, np.float32(0.5), np.float32(0))


def _ends(bits: UInt8Array) -> tuple[Float32Array, Float32Array]:
    """Return the lowest and the highest codes, float32 in the shape of ``bits``."""
    highest = np.exp2(bits.astype(np.float32) - 1)
    return -highest, highest - 1
