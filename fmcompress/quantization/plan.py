"""The plan: how each field is stored under a budget, known to the byte before any codebook is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from fmcompress.artifact.counting import artifact_bytes
from fmcompress.artifact.frame import Frame
from fmcompress.artifact.origin import Origin
from fmcompress.errors import BudgetError
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.quantized import QuantizedFM
from fmcompress.fm.quantizer import Quantizer
from fmcompress.fm.tiers import Tiers
from fmcompress.methods.lightfm.method import LightFM
from fmcompress.progress import SILENT, Progress
from fmcompress.quantization.codebooks import quantize_field, quantize_subspace
from fmcompress.quantization.field_weights import Metric, all_weights
from fmcompress.quantization.parallel import side_by_side
from fmcompress.quantization.sensitivity import Sensitivity
from fmcompress.sizes import format_size


@dataclass(frozen=True)
class Plan:
    """How each field of a factorization machine is to be stored.

    Attributes:
        tiers: how fields are cut into parts.
        quantizers: the quantizer of each part.
        file_bytes: exact size of the artifact.
        largest_bytes: size of the artifact with the best option of every field.
        metrics: in which the codebooks of each part are made; None leaves it to who carries the plan out.
        prices: rise of the loss per row by each part, as measured on held-out rows; None where there were none.
    """

    tiers: Tiers
    quantizers: tuple[Quantizer, ...]
    file_bytes: int
    largest_bytes: int
    metrics: tuple[Metric, ...] | None = None
    prices: tuple[float, ...] | None = None


def plan_lightfm(checkpoint: FMCheckpoint, sizes: LightFM, origin: Origin, *, vocabulary_bytes: int = 0) -> Plan:
    """Return the plan of a LightFM; its budget, where there is one, must be large enough.

    Args:
        checkpoint: the factorization machine.
        sizes: numbers of subspaces and codewords.
        origin: what the artifact will say of itself; with the budget, or 0 where there is none.
        vocabulary_bytes: size of the vocabulary that it will carry.

    Raises:
        UsageError: there are more subspaces than coordinates.
        BudgetError: the artifact would be larger than the budget.
    """
    quantizers = sizes.quantizers(checkpoint.schema.cardinalities.tolist(), checkpoint.dim)
    file_bytes = artifact_bytes(Frame.of(checkpoint, vocabulary_bytes=vocabulary_bytes), origin, quantizers)
    if 0 < origin.budget_bytes < file_bytes:
        raise BudgetError(
            f"budget of {format_size(origin.budget_bytes)} is too small: "
            f"with {sizes.subspaces} x {sizes.codewords} codewords the artifact has {file_bytes:,} bytes",
            smallest_bytes=file_bytes,
            hint="fewer --codewords or --subspaces take less; --method auto finds what fits",
        )
    return Plan(Tiers.none(checkpoint.schema), tuple(quantizers), file_bytes, file_bytes)


def carry_out(
    checkpoint: FMCheckpoint,
    sensitivity: Sensitivity,
    quantizers: Sequence[Quantizer],
    *,
    seed: int,
    tiers: Tiers | None = None,
    metric: Metric | Sequence[Metric] = "fm",
    prices: Sequence[float] | None = None,
    progress: Progress = SILENT,
) -> QuantizedFM:
    """Make codebooks and codes.

    Args:
        checkpoint: the factorization machine.
        sensitivity: what errors in it cost.
        quantizers: of each part.
        seed: of k-means.
        tiers: how fields are cut into parts; None leaves them whole.
        metric: what the embeddings' k-means minimises, in all parts or in each of them.
        prices: what each part costs, where that is known better than from the expected loss.
        progress: told of each field.
    """
    tiers = tiers or Tiers.none(checkpoint.schema)
    weights = all_weights(checkpoint, sensitivity, tiers)
    metrics = [metric] * len(weights) if isinstance(metric, str) else metric
    works = [
        partial(quantize_subspace, part.in_metric(own), quantizer, number, seed=seed)
        for part, own, quantizer in zip(weights, metrics, quantizers, strict=True)
        for number in range(len(quantizer.codewords))
    ]
    coded = iter(list(side_by_side(works, title="making codebooks", progress=progress)))
    fields = [
        quantize_field(part, quantizer, list(islice(coded, len(quantizer.codewords))), seed=seed)
        for part, quantizer in zip(weights, quantizers, strict=True)
    ]
    if prices is not None:
        fields = [replace(field, error=price) for field, price in zip(fields, prices, strict=True)]
    return QuantizedFM(
        checkpoint.schema,
        checkpoint.dim,
        checkpoint.link,
        checkpoint.bias,
        tuple(fields),
        tiers,
        checkpoint.numeric,
    )
