"""Codebooks of some fields, and the codewords that their categories are assigned to so far."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from fmcompress.finetune.layers import CodebookTable, Fields, numpy_of
from fmcompress.finetune.lookup import sum_of_rows
from fmcompress.finetune.options import MovingOptions
from fmcompress.fm.quantized_fm import QuantizedField, QuantizedFM
from fmcompress.methods.lightfm.straight_through import assign, distance_weights, nearest_rows
from fmcompress.types import Float32Array, Int64Array

# Codebooks move little in so many steps, and finding the nearest codewords of each codeword takes some time.
_REFRESH_STEPS = 200
_LEAST_DISTORTION = 1e-12


@dataclass(frozen=True)
class LatentStart:
    """Where latent embeddings start from, and how they move.

    Attributes:
        embeddings: the first latents, of each field or tier of a model, float32 (cardinality, dim) each.
        counts: rows in which each category is active, of each field or tier, int64 (cardinality,) each.
        options: how codes move.
    """

    embeddings: Sequence[Float32Array]
    counts: Sequence[Int64Array]
    options: MovingOptions

    def distance_weights(self, columns: Sequence[int]) -> Tensor:
        """Return w_i of the categories of some fields, one after the other, then 0 for missing values, float32 (n,)."""
        counts = np.concatenate([self.counts[column] for column in columns])
        return torch.from_numpy(np.append(distance_weights(counts, self.options.distance), np.float32(0)))


class CodeAssignment(nn.Module):
    """Assigns latent embeddings to their nearest codewords, and remembers the codes.

    Attributes:
        layout: where the codebooks lie in the table.
        codes: row of the table of each category, then that of missing values, int32 (categories + 1, subspaces).
        neighbours: rows nearest to each row of the table, itself first, int64 (rows, candidates).
        temperatures: T of each row's codebook, float32 (rows,).
        ends: last category + 1 of each field, int64 (fields,).
        units: root mean square of a coordinate of v_i − q_i at the start, float32 (fields + 1, subspaces).
    """

    codes: Tensor
    neighbours: Tensor
    temperatures: Tensor
    units: Tensor
    ends: Tensor

    def __init__(self, model: QuantizedFM, columns: list[int], start: LatentStart) -> None:
        """Start from codebooks and codes of the fields in these columns, coded in the same number of subspaces."""
        super().__init__()
        self.layout = CodebookTable(model, columns)
        self._candidates = start.options.candidates
        self._steps = 0
        self.table = nn.Parameter(torch.from_numpy(self.layout.join(model.fields)))
        rows = self.layout.rows_of(model.fields)
        codes = torch.from_numpy(np.concatenate([*rows, np.full((1, self.layout.subspaces), self.layout.null)]))
        self.register_buffer("codes", codes.to(torch.int32))
        self.register_buffer("neighbours", self._nearest())
        self.register_buffer("ends", torch.tensor(np.cumsum([len(field) for field in rows])), persistent=False)
        distortions = self._distortions(self.joined(start))
        sizes = torch.tensor(self.layout.sizes, dtype=torch.float32)
        units = torch.cat([(distortions / sizes).sqrt(), torch.ones(1, len(sizes))])
        self.register_buffer("units", units, persistent=False)
        temperatures = start.options.temperature * self._of_rows(distortions)
        self.register_buffer("temperatures", temperatures, persistent=False)

    def joined(self, start: LatentStart) -> Tensor:
        """Return the first latents of these fields, one after the other, padded, float32 (n, subspaces, width)."""
        embeddings = np.concatenate([start.embeddings[column] for column in self.layout.columns])
        return self.layout.padded(torch.from_numpy(embeddings))

    def _distortions(self, latents: Tensor) -> Tensor:
        """Return the mean of ‖v_i − q_i‖² in each field and subspace, float32 (fields, subspaces)."""
        means, start = [], 0
        for end in self.ends.tolist():
            shift = latents[start:end] - self.table.detach()[self.codes[start:end]]
            means.append((shift * shift).sum(dim=2).mean(dim=0))
            start = end
        return torch.stack(means).clamp_min(_LEAST_DISTORTION)

    def _of_rows(self, figures: Tensor) -> Tensor:
        """Return a figure of each codebook, (fields, subspaces), for each row of the table; 1 for the last."""
        lengths = torch.from_numpy(self.layout.lengths.reshape(-1))
        return torch.cat([torch.repeat_interleave(figures.T.flatten(), lengths), torch.ones(1)])

    def _nearest(self) -> Tensor:
        return nearest_rows(self.table.detach(), self.layout.starts, self.layout.lengths, self._candidates)

    def current(self, categories: Tensor) -> Tensor:
        """Return the codewords that categories are assigned to so far, no gradient, float32 (n, subspaces, width)."""
        return self.table.detach()[self.codes[categories]]

    def forward(self, latents: Tensor, categories: Tensor) -> Tensor:
        """Return the nearest codewords of latents, float32 (n, subspaces, width), padded.

        In training mode the codes are kept.

        Args:
            latents: of distinct categories, float32 (n, subspaces, width), padded.
            categories: these, int64 (n,).
        """
        if self.training:
            self._refresh()
        codes = self.codes[categories].long()
        assigned, rows = assign(latents.flatten(0, 1), self.table, codes.flatten(), self.neighbours, self.temperatures)
        if self.training:
            self.codes[categories] = rows.view(codes.shape).to(torch.int32)
        return assigned.view(latents.shape)

    def assigned(self, latents: Tensor, categories: Tensor, subspaces: Tensor) -> Tensor:
        """Return the nearest codewords of single sub-vectors of latents, float32 (n, width), and keep their codes.

        Args:
            latents: float32 (n, width), padded.
            categories: what they belong to, int64 (n,); none comes twice with the same subspace.
            subspaces: and in which subspace, int64 (n,).
        """
        self._refresh()
        codes = self.codes[categories, subspaces].long()
        found, rows = assign(latents, self.table, codes, self.neighbours, self.temperatures)
        self.codes[categories, subspaces] = rows.to(torch.int32)
        return found

    def _refresh(self) -> None:
        self._steps += 1
        if self._steps % _REFRESH_STEPS == 0:
            self.neighbours.copy_(self._nearest())

    def get_extra_state(self) -> dict[str, int]:
        """Return when neighbours were found last: part of ``state_dict``."""
        return {"steps": self._steps}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Take up what ``get_extra_state`` returned."""
        self._steps = state["steps"]

    def store(self, fields: Sequence[QuantizedField]) -> Fields:
        """Return these fields with codebooks and codes as they are now."""
        rows = np.split(self.codes.cpu().numpy()[:-1], self.ends.cpu().numpy()[:-1])
        return self.layout.store(fields, numpy_of(self.table), rows)


def sums_over_fields(vectors: Tensor, uses: Sequence[Tensor], layout: CodebookTable) -> tuple[Tensor, Tensor]:
    """Return Σ q_i, (n, dim), and −½ Σ ‖q_i‖², (n,), of rows and of what stands behind them.

    Args:
        vectors: q of distinct categories, padded, (n, subspaces, width).
        uses: which of them is in each field of each row, int64 (rows, fields); and of each value, int64 (values, 1).
        layout: where their codebooks lie.
    """
    norms = -0.5 * (vectors * vectors).sum(dim=(1, 2))
    table = torch.cat([vectors.flatten(1), norms[:, None]], dim=1)
    bags = torch.cat([sum_of_rows(table, own) for own in uses])
    return layout.unpadded(bags[:, :-1].view(len(bags), *vectors.shape[1:])), bags[:, -1]
