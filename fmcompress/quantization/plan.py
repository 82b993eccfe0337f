"""The plan: which quantizer each field gets under a budget, known to the byte before any codebook is made."""

from __future__ import annotations

from dataclasses import dataclass

from fmcompress.artifact.header import BIAS_BYTES, Origin, header_bytes
from fmcompress.checkpoints.checkpoint import FMCheckpoint
from fmcompress.errors import BudgetError
from fmcompress.progress import SILENT, Progress
from fmcompress.quantization.allocate import allocate
from fmcompress.quantization.codebooks import quantize_field
from fmcompress.quantization.menu import FieldWeights, Option, field_menu
from fmcompress.quantization.parallel import for_each_field
from fmcompress.quantization.sensitivity import Sensitivity
from fmcompress.quantized import QuantizedField, QuantizedFM
from fmcompress.sizes import format_size


@dataclass(frozen=True)
class Plan:
    """How each field of a factorization machine is to be stored.

    Attributes:
        options: the chosen option of each field.
        file_bytes: exact size of the artifact.
        largest_bytes: size of the artifact with the best option of every field.
    """

    options: tuple[Option, ...]
    file_bytes: int
    largest_bytes: int


def weights_of(checkpoint: FMCheckpoint, sensitivity: Sensitivity, field: int) -> FieldWeights:
    """Return the weights of field number ``field`` and what errors in them cost."""
    rows = checkpoint.schema.rows(field)
    return FieldWeights(
        checkpoint.embeddings[rows],
        checkpoint.linear[rows],
        sensitivity.frequencies[rows],
        sensitivity.hessians[field],
        float(sensitivity.curvatures[field]),
    )


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

    def price(field: int) -> list[Option]:
        return field_menu(weights_of(checkpoint, sensitivity, field), seed=origin.seed)

    menus = []
    progress.start("pricing quantizers", len(checkpoint.schema))
    for menu in for_each_field(price, len(checkpoint.schema)):
        menus.append(menu)
        progress.advance()
    progress.finish()
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
        tuple(options),
        fixed + sum(option.payload_bytes for option in options),
        fixed + sum(menu[-1].payload_bytes for menu in menus),
    )


def carry_out(
    checkpoint: FMCheckpoint, sensitivity: Sensitivity, plan: Plan, *, seed: int, progress: Progress = SILENT
) -> QuantizedFM:
    """Make the codebooks and codes of a plan.

    Args:
        checkpoint: the factorization machine.
        sensitivity: what errors in it cost.
        plan: the quantizer of each field.
        seed: of k-means.
        progress: told of each field.
    """

    def quantized(number: int) -> QuantizedField:
        return quantize_field(weights_of(checkpoint, sensitivity, number), plan.options[number].quantizer, seed=seed)

    fields = []
    progress.start("making codebooks", len(plan.options))
    for field in for_each_field(quantized, len(plan.options)):
        fields.append(field)
        progress.advance()
    progress.finish()
    return QuantizedFM(checkpoint.schema, checkpoint.dim, checkpoint.link, checkpoint.bias, tuple(fields))
