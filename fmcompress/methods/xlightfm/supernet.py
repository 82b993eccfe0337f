"""A factorization machine in search of its codebooks: every candidate has its own, and they are mixed (Eq. 9 to 11)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, pad

from fmcompress.finetune.inputs import Inputs
from fmcompress.finetune.layers import Fields, Linear, RawRows, logits_of
from fmcompress.fm.quantized_fm import QuantizedField, QuantizedFM, decode
from fmcompress.methods.lightfm.code_assignment import CodeAssignment, LatentStart, sums_over_fields
from fmcompress.methods.lightfm.straight_through import weighted_distance
from fmcompress.methods.lightfm.straight_through_codes import DistinctCategories
from fmcompress.types import Int64Array


class CandidateCodebooks(nn.Module):
    """Fields with several codebooks for each subspace; latent embeddings are assigned to a codeword of each of them.

    Attributes:
        latents: v_i of each category, padded, float32 (categories + 1, subspaces · width); the last row is 0, for
            missing values. Gradients are sparse.
        mixture: what each candidate counts for, float32 (fields, subspaces, candidates), set before each batch.
        distance: the distance loss of the last batch, a scalar.
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
        self._lookup = DistinctCategories(self.assignments[0])
        self.register_buffer("weights", start.distance_weights(columns), persistent=False)
        self.mixture = torch.zeros(len(columns), self.assignments[0].layout.subspaces, len(models))
        self.distance = torch.zeros(())

    @property
    def assignments(self) -> list[CodeAssignment]:
        """The codebooks and codes of each candidate."""
        return cast("list[CodeAssignment]", list(self._assignments))

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return vectors, (rows, dim), and scalars, (rows,), of ids, int64 (rows, all fields)."""
        categories, uses = self._lookup(ids)
        rows = embedding(categories, self.latents, padding_idx=len(self.latents) - 1, sparse=True)
        layout = self.assignments[0].layout
        latents = rows.view(len(rows), layout.subspaces, layout.width)
        field = torch.searchsorted(self.assignments[0].ends, categories, right=True)
        mixture = pad(self.mixture, (0, 0, 0, 0, 0, 1))[field]  # missing values belong to no field
        mixed = torch.zeros_like(latents)
        for number, assignment in enumerate(self.assignments):
            mixed = mixed + mixture[:, :, number, None] * assignment(latents, categories)
        self.distance = weighted_distance(latents - mixed, self.weights[categories])
        return sums_over_fields(mixed, uses, layout)

    def store(self, fields: Sequence[QuantizedField], selected: Int64Array) -> Fields:
        """Return the fields of this layer as one architecture has them, with numbers and codes as they are now.

        Args:
            fields: all fields of the model, each with its quantizer in this architecture.
            selected: number of the candidate of each codebook, int64 (fields, subspaces).
        """
        found = [assignment.store(fields) for assignment in self.assignments]
        stored: Fields = {}
        for position, column in enumerate(self.assignments[0].layout.columns):
            own = [found[number][column] for number in selected[position]]
            tables = tuple(field.tables[d] for d, field in enumerate(own))
            codes = np.stack([field.codes[:, d] for d, field in enumerate(own)], axis=1)
            if fields[column].quantizer.raw:  # as many codewords as categories: each has its own
                tables, codes = (decode(tables, codes),), codes[:, :0]
            stored[column] = replace(fields[column], tables=tables, codes=codes)
        return stored


class Supernet(nn.Module):
    """The logit of a factorization machine whose codebooks are searched (Eq. 10)."""

    def __init__(self, model: QuantizedFM, codebooks: CandidateCodebooks, *, columns: list[int], sparse: bool) -> None:
        """Take over the numbers of ``model``.

        Args:
            model: the quantized factorization machine, with any candidate.
            codebooks: the searched fields.
            columns: of the searched fields.
            sparse: whether raw rows and linear weights get sparse gradients.
        """
        super().__init__()
        self.bias = nn.Parameter(torch.tensor(float(model.bias)))
        self.linear = Linear(model, sparse=sparse)
        raw = [column for column in range(len(model.fields)) if column not in columns]
        self.raw = RawRows(model, raw, sparse=sparse) if raw else None
        self.codebooks = codebooks

    def forward(self, inputs: Inputs) -> Tensor:
        """Return the logits of rows, float32 (rows,)."""
        ids = inputs.ids
        layers = [self.codebooks(ids), *([] if self.raw is None else [self.raw(ids)])]
        return logits_of(self.bias, self.linear(ids), layers, inputs)

    def tables(self) -> list[nn.Parameter]:
        """Return the parameters whose gradients may be sparse."""
        return [self.linear.table, *([] if self.raw is None else [self.raw.table])]

    def others(self) -> list[nn.Parameter]:
        """Return the bias and all codebooks."""
        return [self.bias, *(assignment.table for assignment in self.codebooks.assignments)]

    def store(self, model: QuantizedFM, selected: Int64Array) -> QuantizedFM:
        """Return ``model``, quantized as one architecture has it, with the numbers as they are now."""
        fields = self.linear.store(model.fields)
        raw: Fields = {} if self.raw is None else self.raw.store(fields)
        for column, field in (raw | self.codebooks.store(fields, selected)).items():
            fields[column] = field
        return replace(model, bias=self.bias.item(), fields=tuple(fields))
