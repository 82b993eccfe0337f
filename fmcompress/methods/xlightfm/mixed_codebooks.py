"""Fields whose codebooks are searched: every candidate has codebooks of its own, and they are mixed (Eq. 9 to 11)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, pad

from fmcompress.finetune.layers import Fields
from fmcompress.finetune.options import MovingOptions
from fmcompress.fm.quantized import QuantizedField, QuantizedFM, decode
from fmcompress.methods.lightfm.code_assignment import Chooser, sums_over_fields
from fmcompress.methods.lightfm.distance_loss import weighted_distance, weights_of
from fmcompress.methods.lightfm.layers import CategoriesOf
from fmcompress.methods.xlightfm.search_space import Choices


class CandidateCodes(nn.Module):
    """Fields with several codebooks for each subspace; latent embeddings choose a codeword from each of them.

    Attributes:
        latents: v_i of each category, padded, float32 (categories + 1, subspaces · width); the last row is 0, for
            missing values. Gradients are sparse.
        mixture: what each candidate counts for, float32 (fields, subspaces, candidates), set before each batch.
        distance: the distance loss of the last batch, a scalar.
    """

    weights: Tensor

    def __init__(
        self,
        models: Sequence[QuantizedFM],
        columns: list[int],
        *,
        embeddings: Sequence[np.ndarray],
        counts: Sequence[np.ndarray],
        options: MovingOptions,
    ) -> None:
        """Start from codebooks and codes of the fields in these columns.

        Args:
            models: the quantized factorization machine with each candidate in all of these fields.
            columns: the fields.
            embeddings: of all fields of the model, float32 (cardinality, dim) each: the first latents.
            counts: rows in which each category is active, of all fields, int64 (cardinality,) each.
            options: how codes move.
        """
        super().__init__()
        self._choosers = nn.ModuleList(Chooser(model, columns, embeddings, options) for model in models)
        latents = self.choosers[0].joined(embeddings)
        self.latents = nn.Parameter(pad(latents.flatten(1), (0, 0, 0, 1)))
        self._lookup = CategoriesOf(self.choosers[0])
        self.register_buffer("weights", weights_of(counts, columns, options.distance), persistent=False)
        self.mixture = torch.zeros(len(columns), self.choosers[0].books.subspaces, len(models))
        self.distance = torch.zeros(())

    @property
    def choosers(self) -> list[Chooser]:
        """The codebooks and codes of each candidate."""
        return cast("list[Chooser]", list(self._choosers))

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return vectors, (rows, dim), and scalars, (rows,), of ids, int64 (rows, all fields)."""
        categories, uses = self._lookup(ids)
        rows = embedding(categories, self.latents, padding_idx=len(self.latents) - 1, sparse=True)
        books = self.choosers[0].books
        latents = rows.view(len(rows), books.subspaces, books.width)
        field = torch.searchsorted(self.choosers[0].ends, categories, right=True)
        mixture = pad(self.mixture, (0, 0, 0, 0, 0, 1))[field]  # missing values belong to no field
        mixed = torch.zeros_like(latents)
        for number, chooser in enumerate(self.choosers):
            mixed = mixed + mixture[:, :, number, None] * chooser(latents, categories)
        self.distance = weighted_distance(latents - mixed, self.weights[categories])
        return sums_over_fields(mixed, uses, books)

    def store(self, fields: Sequence[QuantizedField], choices: Choices) -> Fields:
        """Return the fields of this part as one architecture has them, with numbers and codes as they are now.

        Args:
            fields: all fields of the model, each with its quantizer in this architecture.
            choices: number of the candidate of each codebook, int64 (fields, subspaces).
        """
        found = [chooser.store(fields) for chooser in self.choosers]
        chosen: Fields = {}
        for position, column in enumerate(self.choosers[0].books.columns):
            parts = [found[number][column] for number in choices[position]]
            tables = tuple(part.tables[d] for d, part in enumerate(parts))
            codes = np.stack([part.codes[:, d] for d, part in enumerate(parts)], axis=1)
            if fields[column].quantizer.raw:  # as many codewords as categories: each has its own
                tables, codes = (decode(tables, codes),), codes[:, :0]
            chosen[column] = replace(fields[column], tables=tables, codes=codes)
        return chosen
