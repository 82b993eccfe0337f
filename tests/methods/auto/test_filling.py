"""Files that fill their budget: never larger, nearly full, no worse than planned; plain ones are as planned."""

import numpy as np
import pytest

from fmcompress import pipeline
from fmcompress.artifact import pack_model
from fmcompress.errors import BudgetError
from fmcompress.fm.quantizer import INT8, Quantizer
from fmcompress.methods.auto.filling import filled
from fmcompress.quantization import codebooks
from fmcompress.quantization.field_weights import all_weights
from fmcompress.quantization.rated_codebooks import RatedCodebooks
from tests.models import random_checkpoint

CHECKPOINT = random_checkpoint((700, 1500, 12), dim=8)


def planned(job):
    measured = pipeline.measure(job)
    plan = pipeline.make_plan(job, measured)
    model = codebooks.fit_codebooks(
        measured.checkpoint,
        measured.sensitivity,
        plan.quantizers,
        seed=job.seed,
        tiers=plan.tiers,
        metric=plan.metrics or "fm",
    )
    return measured, plan, model


@pytest.mark.parametrize(("budget", "share"), [(2500, 0.9), (4000, 0.98), (9000, 0.98)])
def test_what_coding_saves_is_given_back(budget, share):
    job = pipeline.open_job(CHECKPOINT, budget)
    measured, plan, model = planned(job)
    found = filled(job, measured, plan, model)
    assert share * budget <= pack_model(found, job.origin).file_bytes <= budget
    assert sum(tier.error for tier in found.fields) <= sum(tier.error for tier in model.fields)


def test_the_same_job_gives_the_same_codes():
    found = [pipeline.quantize(pipeline.open_job(CHECKPOINT, 4000, seed=3)) for _ in range(2)]
    np.testing.assert_array_equal(found[0].codes, found[1].codes)
    np.testing.assert_array_equal(found[0].values, found[1].values)


def test_plain_artifacts_have_the_size_that_is_planned():
    job = pipeline.open_job(CHECKPOINT, 4000, layout="plain")
    measured, plan, _ = planned(job)
    assert pipeline.quantize(job, plan, measured).file_bytes == plan.file_bytes


def test_budgets_just_above_the_smallest_file_are_met():
    with pytest.raises(BudgetError) as caught:
        pipeline.make_plan(pipeline.open_job(CHECKPOINT, 50))
    least = caught.value.smallest_bytes
    for budget in (least, least + 40):
        assert pipeline.quantize(pipeline.open_job(CHECKPOINT, budget)).file_bytes <= budget


def test_codebooks_that_are_left_with_one_codeword_are_one_vector():
    """Also those in few bits, which have one scale for all coordinates."""
    measured = pipeline.measure(pipeline.open_job(CHECKPOINT, 4000))
    tiers = all_weights(measured.checkpoint, measured.sensitivity)
    quantizers = [Quantizer((4, 4), 4, INT8, bits) for bits in (4, 8, 3)]
    made = RatedCodebooks(tiers, quantizers, ["fm"] * 3, seed=0)
    smallest = sum(quantizer.values(0, 8) // 4 for quantizer in quantizers)  # one codeword each
    dearest = made.quantized(made.within(1.3 * smallest))
    assert [field.quantizer.codewords for field in dearest[:2]] == [(1,)] * 2
    for field in dearest:
        assert field.embeddings().shape == (len(field.linear()), 8)
