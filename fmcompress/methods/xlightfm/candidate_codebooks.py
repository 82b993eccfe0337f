"""Fields whose codebooks are searched: every candidate has codebooks of its own; they are mixed, or one counts.

The logit of the search (Eq. 10) is that of a factorization machine that has, in each subspace of an embedding,

    q = Σ_k p_k q^(k)

with p the draw of the codebook's candidates (Eq. 11), and q^(k) the codeword that the k-th of them assigns. On a path
p is 1 for one candidate of each codebook, and the others are not even looked up.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, pad

from fmcompress.finetune.layers import EmbeddingLayer, Fields
from fmcompress.finetune.lookup import Values
from fmcompress.fm.quantized_fm import QuantizedField, QuantizedFM, decode
from fmcompress.methods.lightfm.code_assignment import CodeAssignment, LatentStart, sums_over_fields
from fmcompress.methods.lightfm.straight_through import weighted_distance
from fmcompress.methods.lightfm.straight_through_codes import DistinctCategories


class CandidateCodebooks(EmbeddingLayer):
    """Fields with several codebooks for each subspace; latent embeddings are assigned to a codeword of each of them.

    Attributes:
        latents: v_i of each category, padded, float32 (categories + 1, subspaces · width); the last row is 0, for
            missing values. Gradients are sparse.
        mixture: what each candidate counts for, float32 (fields, subspaces, candidates), set before each batch.
        path: the one candidate of each codebook that counts, int64 (fields, subspaces); None where all are mixed.
        selected: number of the candidate of each codebook, int64 (fields, subspaces), set before fields are stored.
        distance: the distance loss of the last batch, a float32 scalar.
        weights: w_i of the distance loss, float32 (categories + 1,).
    """

    weights: Tensor

    def __init__(self, models: Sequence[QuantizedFM], columns: list[int], start: LatentStart) -> None:
        """Start from codebooks and codes of the fields in these columns.

        Args:
            models: the quantized factorization machine with each candidate in all of these fields.
            columns: the fields.
            start: the first latents, and how they move.
        """
        super().__init__()
        self._assignments = nn.ModuleList(CodeAssignment(model, columns, start) for model in models)
        latents = self.assignments[0].joined(start)
        self.latents = nn.Parameter(pad(latents.flatten(1), (0, 0, 0, 1)))
        self._lookup = DistinctCategories(self.assignments[0], len(models[0].fields))
        self.register_buffer("weights", start.distance_weights(columns), persistent=False)
        self.mixture = torch.zeros(len(columns), self.assignments[0].layout.subspaces, len(models))
        self.selected = np.zeros((len(columns), self.assignments[0].layout.subspaces), dtype=np.int64)
        self.distance = torch.zeros(())
        self.path: Tensor | None = None
        self._remembered: tuple[Tensor, list[Tensor]] | None = None

    @property
    def columns(self) -> list[int]:
        """The fields."""
        return self.assignments[0].layout.columns

    @property
    def assignments(self) -> list[CodeAssignment]:
        """The codebooks and codes of each candidate."""
        return cast("list[CodeAssignment]", list(self._assignments))

    def forward(self, ids: Tensor, values: Values | None = None) -> tuple[Tensor, Tensor]:
        """Return vectors and scalars, see ``EmbeddingLayer``."""
        categories, uses = self._remembered or self._lookup(ids, values)
        rows = embedding(categories, self.latents, padding_idx=len(self.latents) - 1, sparse=True)
        layout = self.assignments[0].layout
        latents = rows.view(len(rows), layout.subspaces, layout.width)
        field = torch.searchsorted(self.assignments[0].ends, categories, right=True)
        mixed = (
            self._mixed(latents, categories, field) if self.path is None else self._on_path(latents, categories, field)
        )
        self.distance = weighted_distance(latents - mixed, self.weights[categories])
        return sums_over_fields(mixed, uses, layout)

    def _mixed(self, latents: Tensor, categories: Tensor, field: Tensor) -> Tensor:
        """Return the mixture of all candidates, float32 (n, subspaces, width)."""
        mixture = pad(self.mixture, (0, 0, 0, 0, 0, 1))[field]  # missing values belong to no field
        mixed = torch.zeros_like(latents)
        for number, assignment in enumerate(self.assignments):
            mixed = mixed + mixture[:, :, number, None] * assignment(latents, categories)
        return mixed

    def _on_path(self, latents: Tensor, categories: Tensor, field: Tensor) -> Tensor:
        """Return what the candidates of the path assign, float32 (n, subspaces, width).

        Outside training mode codes are those that were kept.
        """
        path = pad(cast("Tensor", self.path).to(field.device), (0, 0, 0, 1))[field]
        found = torch.zeros_like(latents)
        for number, assignment in enumerate(self.assignments):
            rows, subspaces = torch.nonzero(path == number, as_tuple=True)
            if not len(rows):
                continue
            if self.training:
                own = assignment.assigned(latents[rows, subspaces], categories[rows], subspaces)
            else:
                own = assignment.table[assignment.codes[categories[rows], subspaces]]
            found = found.index_put((rows, subspaces), own)
        return found

    @contextmanager
    def remembered(self, ids: Tensor, values: Values | None) -> Iterator[None]:
        """Look the categories of these rows up once for all calls within."""
        self._remembered = self._lookup(ids, values)
        try:
            yield
        finally:
            self._remembered = None

    def latent_parameters(self) -> list[nn.Parameter]:
        """Return the latents."""
        return [self.latents]

    def store(self, fields: Sequence[QuantizedField]) -> Fields:
        """Return the fields of this layer, with numbers and codes of the selected architecture as they are now.

        Args:
            fields: all fields of the model, each with its quantizer in this architecture.
        """
        found = [assignment.store(fields) for assignment in self.assignments]
        stored: Fields = {}
        for position, column in enumerate(self.assignments[0].layout.columns):
            own = [found[number][column] for number in self.selected[position]]
            tables = tuple(field.tables[d] for d, field in enumerate(own))
            codes = np.stack([field.codes[:, d] for d, field in enumerate(own)], axis=1)
            if fields[column].quantizer.raw:  # as many codewords as categories: each has its own
                tables, codes = (decode(tables, codes),), codes[:, :0]
            stored[column] = replace(fields[column], tables=tables, codes=codes)
        return stored
