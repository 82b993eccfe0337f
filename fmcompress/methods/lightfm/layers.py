"""Fields whose codes move with the loss: latent embeddings, of which each batch uses the nearest codewords.

A latent embedding v_i is kept as the residual v_i − q_i to its codeword, so that a codebook that moves takes its
categories along: codes change because the loss asks for it, not because codebooks drift through latents that stand
still. Only the batch's distinct categories are compared with codewords.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, pad

from fmcompress.finetune.layers import Fields
from fmcompress.finetune.lookup import Lookup
from fmcompress.finetune.options import MovingOptions
from fmcompress.fm.quantized import QuantizedField, QuantizedFM
from fmcompress.methods.lightfm.code_assignment import Chooser, sums_over_fields
from fmcompress.methods.lightfm.distance_loss import weighted_distance, weights_of


class MovingCodes(nn.Module):
    """Fields coded in the same number of subspaces, whose categories may change their codewords at every step.

    Attributes:
        chooser: codebooks and codes.
        latents: v_i − q_i of each category, padded, float32 (categories + 1, subspaces · width); the last row is 0,
            for missing values. Gradients, those of v_i, are sparse.
        distance: the distance loss of the last batch, a scalar.
    """

    weights: Tensor

    def __init__(
        self,
        model: QuantizedFM,
        columns: list[int],
        *,
        embeddings: Sequence[np.ndarray],
        counts: Sequence[np.ndarray],
        options: MovingOptions,
    ) -> None:
        """Start from codebooks and codes of the fields in these columns.

        Args:
            model: the quantized factorization machine.
            columns: the fields.
            embeddings: of all fields of the model, float32 (cardinality, dim) each: the first latents.
            counts: rows in which each category is active, of all fields, int64 (cardinality,) each.
            options: how codes move.
        """
        super().__init__()
        self.chooser = Chooser(model, columns, embeddings, options)
        residuals = self.chooser.joined(embeddings) - self.chooser.current(torch.arange(self._null))
        self.latents = nn.Parameter(pad(residuals.flatten(1), (0, 0, 0, 1)))
        self._lookup = CategoriesOf(self.chooser)
        self.register_buffer("weights", weights_of(counts, columns, options.distance), persistent=False)
        self.distance = torch.zeros(())

    @property
    def _null(self) -> int:
        return len(self.chooser.codes) - 1

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return vectors, (rows, dim), and scalars, (rows,), of ids, int64 (rows, all fields).

        In training mode the codes of the batch's categories are chosen anew, and kept.
        """
        categories, uses = self._lookup(ids)
        current = self.chooser.current(categories)
        residuals = embedding(categories, self.latents, padding_idx=self._null, sparse=True)
        latents = current + residuals.view(current.shape)
        chosen = self.chooser(latents, categories)
        shift = latents - chosen
        self.distance = weighted_distance(shift, self.weights[categories])
        if self.training:
            with torch.no_grad():
                self.latents[categories] = shift.flatten(1)
        return sums_over_fields(chosen, uses, self.chooser.books)

    def store(self, fields: Sequence[QuantizedField]) -> Fields:
        """Return the fields of this part with numbers and codes as they are now."""
        return self.chooser.store(fields)


class CategoriesOf(nn.Module):
    """Finds the distinct categories of batches."""

    def __init__(self, chooser: Chooser) -> None:
        """Number the categories of the chooser's fields, one field after the other."""
        super().__init__()
        self._columns = chooser.books.columns
        ends = chooser.ends.tolist()
        numbers = [np.arange(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]
        self._lookup = Lookup(numbers, null=ends[-1])

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return the distinct categories of ids, int64 (n,), and which of them is where, int64 (rows, fields).

        Args:
            ids: int64 (rows, all fields).
        """
        places = self._lookup.positions(ids[:, self._columns])
        categories, uses = torch.unique(places, return_inverse=True)
        return categories, uses
