"""What candidates do to the logits and losses of held-out rows, on a torch device; see ``held_out_shifts``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from fmcompress.devices.moving import moved, sums_of_groups
from fmcompress.fm.device_links import losses
from fmcompress.fm.links import Link
from fmcompress.fm.quantizer import subspace_bounds
from fmcompress.methods.auto.candidates import WeightsCandidate
from fmcompress.methods.auto.held_out_shifts import LogitShifts, RowUses
from fmcompress.types import AnyArray, Float32Array, Float64Array

_NUMBERS = 2**25
"""Decoded numbers, and losses, that are on the device at a time."""


class DeviceShifts:
    """``LogitShifts`` whose embeddings lie on a device."""

    def __init__(self, shifts: LogitShifts, device: str) -> None:
        """Move embeddings and derivatives.

        Args:
            shifts: of a tier.
            device: a torch device.
        """
        self._host, self._device = shifts, device
        self._number, self._others = moved(shifts.number, device), moved(shifts.others, device)
        self._current = moved(shifts.current, device)
        self._before = (self._current * self._others).sum(dim=1)

    def of(self, candidates: Sequence[WeightsCandidate]) -> Tensor:
        """Return (q_i − current) · others of each use, float32 (uses, candidates)."""
        found = torch.empty((len(self._number), len(candidates)), device=self._device)
        place = 0
        for (_, subspaces), alike in groupby(candidates, lambda one: (one.metric, len(one.codewords))):
            own = list(alike)
            columns = slice(place, place + len(own))
            place += len(own)
            found[:, columns] = self._products(own, subspaces) if subspaces else self._raw()[:, None]
        return found - self._before[:, None]

    def _raw(self) -> Tensor:
        tier = self._host.codebooks.tier
        own = moved(tier.weights.embeddings[tier.members], self._device)
        return (own[self._number] * self._others).sum(dim=1)

    def _products(self, candidates: Sequence[WeightsCandidate], subspaces: int) -> Tensor:
        """Return the products of candidates with the same number of subspaces, float32 (uses, candidates)."""
        by_size = self._host.codebooks.codebooks_of(candidates[0]).by_size
        found = torch.zeros((len(self._number), len(candidates)), device=self._device)
        for number, (start, end) in enumerate(subspace_bounds(self._others.shape[1], subspaces)):
            books = [by_size[number][one.codewords[number]] for one in candidates]
            firsts = np.cumsum([0, *(len(book.table) for book in books[:-1])])
            codes = np.stack([book.codes for book in books], axis=1) + firsts
            table = moved(np.concatenate([book.table for book in books]), self._device)
            of_categories = moved(codes.astype(np.int32), self._device)
            step = max(1, _NUMBERS // (len(candidates) * (end - start)))
            for first in range(0, len(self._number), step):
                uses = slice(first, first + step)
                decoded = table[of_categories[self._number[uses]]]
                found[uses] += (decoded * self._others[uses, None, start:end]).sum(dim=2)
        return found

    def vectors(self, candidate: WeightsCandidate) -> Tensor:
        """Return q_i − current of each use, float32 (uses, dim)."""
        return moved(self._host.codebooks.decoded(candidate), self._device)[self._number] - self._current


class DeviceUses:
    """``RowUses`` on a device."""

    def __init__(self, uses: RowUses, device: str) -> None:
        """Move what is needed.

        Args:
            uses: of a tier.
            device: a torch device.
        """
        self.once, self._rows, self._device = uses.once, len(uses.rows), device
        self._terms, self._factors = uses.terms, uses.factors
        self._place = moved(uses.place, device)

    def summed(self, values: Tensor | Float32Array) -> Tensor:
        """Return the sums over its uses for each row, float32 (n, c), of values of each use, float32 (uses, c)."""
        own = values if isinstance(values, Tensor) else moved(values, self._device)
        return own if self.once else sums_of_groups(own, self._place, self._rows)

    def products(self, shifts: Callable[[], Tensor]) -> Tensor | float:
        """Return the sum of d · d' over pairs of terms for each row, (n,).

        Args:
            shifts: makes what the embedding of each use moves by, float32 (uses, dim).
        """
        if self.once or (self._terms is not None and len(self._terms[0]) == self._rows):
            return 0.0
        own, place = shifts(), self._place
        if self._factors is not None:
            own = own * moved(self._factors, self._device)[:, None]
        if self._terms is not None:
            firsts, term = (moved(numbers, self._device) for numbers in self._terms)
            place, own = place[firsts], sums_of_groups(own, term, len(firsts))
        norms = (own * own).sum(dim=1, keepdim=True)
        total = sums_of_groups(torch.cat([own, norms], dim=1).double(), place, self._rows)
        return 0.5 * (total[:, :-1].square().sum(dim=1) - total[:, -1])


@dataclass(frozen=True)
class DeviceRises:
    """The rows that a tier is in, on a device.

    Attributes:
        link: of the model.
        logits: as they are, float64 (n,).
        labels: float64 (n,).
        losses: as they are, float64 (n,).
    """

    link: Link
    logits: Tensor
    labels: Tensor
    losses: Tensor

    @classmethod
    def of(
        cls, link: Link, logits: Float64Array, labels: Float64Array, before: Float64Array, device: str
    ) -> DeviceRises:
        """Move logits, labels and losses, float64 (n,) each, to a device."""
        return cls(link, *(moved(np.ascontiguousarray(array), device) for array in (logits, labels, before)))

    def sums(self, shifts: Tensor) -> tuple[AnyArray, AnyArray]:
        """Return Σ and Σ² of the rises of the loss with each candidate, float64 (candidates,).

        Args:
            shifts: what they add to the logits, float32 (n, candidates).
        """
        sums, squares = torch.zeros((2, shifts.shape[1]), dtype=torch.float64, device=shifts.device)
        step = max(1, _NUMBERS // max(1, shifts.shape[1]))
        for first in range(0, len(shifts), step):
            block = slice(first, first + step)
            after = losses(self.link, self.logits[block, None] + shifts[block], self.labels[block, None])
            rises = after - self.losses[block, None]
            sums += rises.sum(dim=0)
            squares += rises.square().sum(dim=0)
        return sums.cpu().numpy(), squares.cpu().numpy()
