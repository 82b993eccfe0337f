"""What both searches train: a factorization machine in which each searched codebook has all its candidates.

A batch sees either a mixture of the candidates or one of each codebook, as ``CandidateCodebooks`` is told before.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from fmcompress.artifact import PackedFM, pack_model
from fmcompress.data.batch import Batch
from fmcompress.finetune.inputs import Inputs, InputsOf
from fmcompress.finetune.layers import RawRows
from fmcompress.finetune.module_scorer import predictor_at_work
from fmcompress.finetune.objective import Loss, Targets, loss_by
from fmcompress.finetune.options import MovingOptions, TuneOptions
from fmcompress.finetune.quantized_module import QuantizedModule
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.disk_table import whole
from fmcompress.fm.predictor import Predictor
from fmcompress.fm.quantized_fm import QuantizedFM
from fmcompress.fm.tiers import Tiers
from fmcompress.methods.lightfm.code_assignment import LatentStart
from fmcompress.methods.lightfm.straight_through_codes import LatentSGD
from fmcompress.methods.xlightfm.candidate_codebooks import CandidateCodebooks
from fmcompress.methods.xlightfm.endless_batches import EndlessBatches
from fmcompress.methods.xlightfm.prices import expected_prices
from fmcompress.methods.xlightfm.search_space import SearchSpace
from fmcompress.progress import SILENT, Progress
from fmcompress.quantization.codebooks import fit_codebooks
from fmcompress.quantization.measurements import Measurements
from fmcompress.training.trainable import PackedTrainable, adam, sparse_gradients
from fmcompress.types import Float64Array, Int64Array

Values = TypeVar("Values", Tensor, Int64Array)


@dataclass(frozen=True)
class SearchStart:
    """Where a search starts from.

    Attributes:
        checkpoint: the factorization machine that is compressed.
        counts: rows in which each category is active, int64 (categories,).
        models: it quantized with each candidate in all searched fields.
        space: what is selected from.
        prices: expected rise of the loss per row by each candidate of each codebook, float64 (searched fields,
            subspaces, candidates).
    """

    checkpoint: FMCheckpoint
    counts: Int64Array
    models: Sequence[QuantizedFM]
    space: SearchSpace
    prices: Float64Array


def start_search(measured: Measurements, space: SearchSpace, *, seed: int, progress: Progress = SILENT) -> SearchStart:
    """Return where a search starts from: codebooks of all candidates in plain distance, and their expected prices.

    Args:
        measured: counts, and what errors cost.
        space: what is selected from.
        seed: of k-means.
        progress: told of each codebook.
    """
    checkpoint = measured.checkpoint
    models = [
        fit_codebooks(checkpoint, measured.sensitivity, own, seed=seed, metric="euclidean", progress=progress)
        for own in space.by_candidate()
    ]
    counts = np.ones(checkpoint.schema.categories, np.int64) if measured.counts is None else measured.counts
    return SearchStart(checkpoint, counts, models, space, expected_prices(models, space, measured))


@dataclass(eq=False)
class Supernet:
    """The numbers of all candidates, and what they learn; see ``begin_supernet``.

    Attributes:
        module: the numbers.
        codebooks: of these the codebooks that are searched, each of some fields, in their order.
        inputs: from batches to what the module takes.
        targets: what the numbers learn.
        loss_of: the loss of logits against targets.
        distance_weight: λ of the distance loss.
        sparse: whether gradients of raw rows and linear weights are sparse.
    """

    module: QuantizedModule
    codebooks: list[CandidateCodebooks]
    inputs: InputsOf
    targets: Targets
    loss_of: Loss
    distance_weight: float
    sparse: bool

    def logits(self, batch: Batch) -> Tensor:
        """Return the logits of a batch, float32 (rows,)."""
        return cast("Tensor", self.module(self.inputs(batch)))

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return F_α (Eq. 13), and of it the loss against the targets, float32 scalars."""
        entropy = self.loss_of(self.logits(batch), self.targets(batch))
        return entropy + self.distance_weight * sum(layer.distance for layer in self.codebooks), entropy

    def of_layers(self, values: Values) -> Iterator[tuple[CandidateCodebooks, Values]]:
        """Yield each layer of codebooks with its part of what is given of all searched fields, one by one."""
        start = 0
        for layer in self.codebooks:
            end = start + len(layer.columns)
            yield layer, values[start:end]
            start = end

    def take(self, path: Int64Array) -> None:
        """Let one candidate of each codebook count, int64 (searched fields, subspaces)."""
        for layer, own in self.of_layers(path):
            layer.path = torch.from_numpy(own.copy())

    def mix(self, mixture: Tensor) -> None:
        """Mix the candidates of each codebook, float32 (searched fields, subspaces, candidates)."""
        for layer, own in self.of_layers(mixture):
            layer.mixture = own

    @contextmanager
    def remembered(self, inputs: Inputs) -> Iterator[None]:
        """Look the categories of some rows up once for all calls within."""
        with ExitStack() as stack:
            for layer in self.codebooks:
                stack.enter_context(layer.remembered(inputs.ids, inputs.values))
            yield

    def optimizers(self, lr: float, latent_lr: float) -> list[Optimizer]:
        """Return what trains the numbers."""
        return [
            *adam(self.module.tables(), self.module.others(), lr, sparse=self.sparse),
            *(LatentSGD(layer.latents, layer.assignments[0], latent_lr) for layer in self.codebooks),
        ]

    def stored(self, like: QuantizedFM, space: SearchSpace, selected: Int64Array) -> QuantizedFM:
        """Return the model with an architecture, int64 (searched fields, subspaces), as it is now."""
        quantizers = space.quantizers(selected)
        fields = [replace(field, quantizer=quantizer) for field, quantizer in zip(like.fields, quantizers, strict=True)]
        for layer, own in self.of_layers(selected):
            layer.selected = own
        return self.module.store(replace(like, fields=tuple(fields)))


def begin_supernet(start: SearchStart, tuning: TuneOptions) -> Supernet:
    """Return the numbers of all candidates at the start.

    Args:
        start: where to start from.
        tuning: how codes move, share of distillation and device.
    """
    checkpoint, space, moving = start.checkpoint, start.space, tuning.moving or MovingOptions()
    sparse = sparse_gradients(checkpoint.embeddings.size)
    split = checkpoint.schema.split
    latents = LatentStart(split(whole(checkpoint.embeddings)), split(start.counts), moving)
    everything = list(range(len(checkpoint.schema)))
    raw = [column for column in everything if column not in space.columns]
    # A network takes the fields one by one.
    groups = [space.columns, raw] if checkpoint.network is None else [[column] for column in everything]
    layers = [
        CandidateCodebooks(start.models, columns, latents)
        if columns[0] in space.columns
        else RawRows(start.models[0], columns, sparse=sparse)
        for columns in groups
        if columns
    ]
    return Supernet(
        module=QuantizedModule(start.models[0], sparse=sparse, layers=layers).to(tuning.device),
        codebooks=[layer for layer in layers if isinstance(layer, CandidateCodebooks)],
        inputs=InputsOf(Tiers.none(checkpoint.schema), checkpoint.numeric, tuning.device),
        targets=Targets(checkpoint, tuning.distillation, tuning.device),
        loss_of=loss_by(checkpoint.link_function),
        distance_weight=moving.distance_weight,
        sparse=sparse,
    )


@dataclass(eq=False, kw_only=True)
class SearchedModel(PackedTrainable):
    """A search in progress.

    Attributes:
        supernet: the numbers of all candidates.
        space: what is selected from.
        valid_batches: what the sizes are learned from.
        steps: number of steps made so far.
    """

    supernet: Supernet
    space: SearchSpace
    valid_batches: EndlessBatches
    steps: int = 0

    @abstractmethod
    def selected(self) -> Int64Array:
        """Return the architecture that is liked best so far, int64 (searched fields, subspaces)."""

    def found(self) -> Int64Array:
        """Return the architecture that is liked best within the budget, int64 (searched fields, subspaces)."""
        return self.selected()

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return F_α (Eq. 13) with what was drawn last, and of it the loss against the targets, float32 scalars."""
        return self.supernet.loss(batch)

    def kept(self) -> PackedFM:
        """Return the packed model of the architecture that is selected now."""
        return pack_model(self.supernet.stored(self.like, self.space, self.selected()), self.origin)

    def scorer(self, kept: PackedFM) -> Predictor:
        """Return what scores validation rows with a packed model."""
        return predictor_at_work(kept)

    def figures(self) -> dict[str, Any]:
        """Return the selected architecture with its bytes."""
        selected = self.selected()
        return {"selected_bytes": self.space.file_bytes(selected), "codewords": self.space.codewords(selected)}

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next step reads."""
        return {**super().state_dict(), "steps": self.steps, "valid_batches": self.valid_batches.taken}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what ``state_dict`` returned."""
        super().load_state_dict(state)
        self.steps = state["steps"]
        self.valid_batches.skip_to(state["valid_batches"])
