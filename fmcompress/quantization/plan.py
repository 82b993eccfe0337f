"""The plan: which quantizer each field gets under a budget, known to the byte before any codebook is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Literal

from fmcompress.artifact.header import BIAS_BYTES, Origin, artifact_bytes, header_bytes
from fmcompress.checkpoints.checkpoint import FMCheckpoint
from fmcompress.errors import BudgetError
from fmcompress.progress import SILENT, Progress
from fmcompress.quantization.allocate import allocate
from fmcompress.quantization.codebooks import quantize_field, quantize_subspace
from fmcompress.quantization.lightfm import LightFM, euclidean
from fmcompress.quantization.menu import FieldWeights, Option, embedding_curve, field_menu, subspaces_on_menu
from fmcompress.quantization.parallel import side_by_side
from fmcompress.quantization.sensitivity import Sensitivity
from fmcompress.quantized import QuantizedFM
from fmcompress.quantizer import Quantizer
from fmcompress.sizes import format_size

Metric = Literal["fm", "euclidean"]


@dataclass(frozen=True)
class Plan:
    """How each field of a factorization machine is to be stored.

    Attributes:
        quantizers: the quantizer of each field.
        file_bytes: exact size of the artifact.
        largest_bytes: size of the artifact with the best option of every field.
    """

    quantizers: tuple[Quantizer, ...]
    file_bytes: int
    largest_bytes: int


def all_weights(checkpoint: FMCheckpoint, sensitivity: Sensitivity) -> list[FieldWeights]:
    """Return the weights of each field, and what errors in them cost."""
    return [
        FieldWeights(
            checkpoint.embeddings[checkpoint.schema.rows(field)],
            checkpoint.linear[checkpoint.schema.rows(field)],
            sensitivity.frequencies[checkpoint.schema.rows(field)],
            sensitivity.hessians[field],
            float(sensitivity.curvatures[field]),
        )
        for field in range(len(checkpoint.schema))
    ]


def _menus(weights: list[FieldWeights], seed: int, progress: Progress) -> list[list[Option]]:
    counts = subspaces_on_menu(weights[0].dim)
    works = [partial(embedding_curve, field, subspaces, seed=seed) for field in weights for subspaces in counts]
    curves = list(side_by_side(works, title="pricing quantizers", progress=progress))
    return [
        field_menu(field, curves[number * len(counts) : (number + 1) * len(counts)], seed=seed)
        for number, field in enumerate(weights)
    ]


def make_plan(
    checkpoint: FMCheckpoint, sensitivity: Sensitivity, origin: Origin, *, progress: Progress = SILENT
) -> Plan:
    """Choose the quantizer of each field.

    Args:
        checkpoint: the factorization machine.
        sensitivity: what errors in it cost.
        origin: what the artifact will say of itself; with the budget.
        progress: told of each field.

    Raises:
        BudgetError: no artifact of this model fits the budget.
    """
    fixed = BIAS_BYTES + header_bytes(checkpoint.schema, checkpoint.dim, checkpoint.link, origin)
    menus = _menus(all_weights(checkpoint, sensitivity), origin.seed, progress)
    options = allocate(menus, origin.budget_bytes - fixed)
    if options is None:
        smallest = fixed + sum(menu[0].payload_bytes for menu in menus)
        raise BudgetError(
            f"budget of {format_size(origin.budget_bytes)} is too small: "
            f"the smallest artifact of this model has {smallest:,} bytes",
            smallest_bytes=smallest,
            hint=f"--budget {smallest} is the least that works",
        )
    return Plan(
        tuple(option.quantizer for option in options),
        fixed + sum(option.payload_bytes for option in options),
        fixed + sum(menu[-1].payload_bytes for menu in menus),
    )


def plan_lightfm(checkpoint: FMCheckpoint, sizes: LightFM, origin: Origin) -> Plan:
    """Return the plan of a LightFM; its budget, where there is one, must be large enough.

    Args:
        checkpoint: the factorization machine.
        sizes: numbers of subspaces and codewords.
        origin: what the artifact will say of itself; with the budget, or 0 where there is none.

    Raises:
        UsageError: there are more subspaces than coordinates.
        BudgetError: the artifact would be larger than the budget.
    """
    quantizers = sizes.quantizers(checkpoint.schema.cardinalities.tolist(), checkpoint.dim)
    file_bytes = artifact_bytes(checkpoint.schema, checkpoint.dim, checkpoint.link, origin, quantizers)
    if 0 < origin.budget_bytes < file_bytes:
        raise BudgetError(
            f"budget of {format_size(origin.budget_bytes)} is too small: "
            f"with {sizes.subspaces} x {sizes.codewords} codewords the artifact has {file_bytes:,} bytes",
            smallest_bytes=file_bytes,
            hint="fewer --codewords or --subspaces take less; --method auto finds what fits",
        )
    return Plan(tuple(quantizers), file_bytes, file_bytes)


def carry_out(
    checkpoint: FMCheckpoint,
    sensitivity: Sensitivity,
    quantizers: Sequence[Quantizer],
    *,
    seed: int,
    metric: Metric = "fm",
    progress: Progress = SILENT,
) -> QuantizedFM:
    """Make codebooks and codes.

    Args:
        checkpoint: the factorization machine.
        sensitivity: what errors in it cost.
        quantizers: of each field.
        seed: of k-means.
        metric: what the embeddings' k-means minimises: the expected loss (``fm``), or the squared distance of all
            categories alike (``euclidean``), as in the paper (Eq. 2).
        progress: told of each field.
    """
    weights = all_weights(checkpoint, sensitivity)
    points = weights if metric == "fm" else [euclidean(field) for field in weights]
    works = [
        partial(quantize_subspace, field, quantizer, number, seed=seed)
        for field, quantizer in zip(points, quantizers, strict=True)
        for number in range(len(quantizer.codewords))
    ]
    coded = iter(list(side_by_side(works, title="making codebooks", progress=progress)))
    fields = [
        quantize_field(field, quantizer, list(islice(coded, len(quantizer.codewords))), seed=seed)
        for field, quantizer in zip(weights, quantizers, strict=True)
    ]
    return QuantizedFM(checkpoint.schema, checkpoint.dim, checkpoint.link, checkpoint.bias, tuple(fields))
