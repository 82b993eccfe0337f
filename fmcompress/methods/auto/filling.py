"""A file that fills its budget: what entropy coding saves is given back, at one price of a bit in the whole file.

The plan says how each field is cut into tiers and subspaces, and counts codes with fixed widths. Its codebooks then
grow, and codewords and codes are chosen by what they cost in loss and in bits, at the price at which the file fits
(``quantization/rated_codebooks.py``). Where that is worse than the plan itself, by the validation data or by the
expected loss without them, the plan stays as it is.
"""

from __future__ import annotations

from dataclasses import replace

from fmcompress.artifact import PackedFM, pack_model, with_vocabulary
from fmcompress.fm.quantized_fm import QuantizedField, QuantizedFM
from fmcompress.methods.base import Job
from fmcompress.quantization.field_weights import Metric, all_weights
from fmcompress.quantization.measurements import Measurements
from fmcompress.quantization.plan import Plan
from fmcompress.quantization.rated_codebooks import RatedCodebooks, fit_within


def filled(job: Job, measured: Measurements, plan: Plan, planned: QuantizedFM) -> QuantizedFM:
    """Return the quantized model whose file fills the job's budget, or the planned one where that is better.

    Args:
        job: what is asked for, with a budget.
        measured: of its checkpoint.
        plan: how each field is to be stored.
        planned: the model with codebooks as planned, which fits.
    """
    moving = job.data is not None and job.tuning.epochs > 0 and job.tuning.reassign is None
    if plan.quantizers is None or job.budget_bytes is None or moving:
        return planned  # what is tuned without being held to its size has to leave some
    if plan.file_bytes >= plan.largest_bytes:
        return planned  # there is nothing to be gained by more bytes
    plain: list[Metric] = ["fm"] * len(plan.quantizers)
    codebooks = RatedCodebooks(
        all_weights(measured.checkpoint, measured.sensitivity, plan.tiers),
        plan.quantizers,
        plan.metrics or plain,
        seed=job.seed,
        progress=job.progress,
    )

    def packed(fields: tuple[QuantizedField, ...]) -> PackedFM:
        model = pack_model(replace(planned, fields=fields), job.origin)
        return with_vocabulary(model, job.checkpoint.vocabulary) if job.carries_vocabulary else model

    fields = fit_within(codebooks, job.budget_bytes, plan.file_bytes, lambda own: packed(own).file_bytes)
    if fields is None:
        return planned
    found = replace(planned, fields=fields)
    return found if _better(job, found, planned) else planned


def _better(job: Job, found: QuantizedFM, planned: QuantizedFM) -> bool:
    if job.data is None:
        return sum(tier.error for tier in found.fields) <= sum(tier.error for tier in planned.fields)
    from fmcompress.evaluation.scores import score_rows

    scores = [score_rows(pack_model(model, job.origin), job.data.valid).selection for model in (found, planned)]
    return scores[0] >= scores[1]
