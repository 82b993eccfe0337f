"""LightFM's quantizers: one size for all fields, raw where a field is no larger, and their exact bytes."""

import numpy as np
import pytest

from fmcompress.artifact.header import artifact_bytes, header_bytes
from fmcompress.artifact.metadata import Frame
from fmcompress.errors import BudgetError, UsageError
from fmcompress.fm.quantizer import Quantizer, embedding_spec, subspace_bounds
from fmcompress.methods.base import Job
from fmcompress.methods.lightfm.method import LightFM
from fmcompress.pipeline import make_plan, quantize
from fmcompress.quantization.codebooks import fit_codebooks
from fmcompress.quantization.sensitivity import from_moments
from fmcompress.serve.compressed_fm import load
from tests.models import origin, pack_model, quantized, random_checkpoint

CHECKPOINT = random_checkpoint((300, 64, 65, 5), dim=7)


def made(sizes, budget_bytes=None):
    """Return the plan of a LightFM, and the packed model."""
    job = Job(CHECKPOINT, sizes, budget_bytes)
    plan = make_plan(job)
    return plan, quantize(job, plan)


def test_one_size_for_all_fields_and_raw_where_no_larger():
    found = LightFM(subspaces=2, codewords=64, linear_codewords=16).quantizers([300, 64, 65, 16, 17, 1], 8)
    coded, raw = Quantizer((64, 64), 16), Quantizer((), 16)
    assert found == [coded, raw, coded, Quantizer(), raw, Quantizer()]


def test_linear_weights_can_stay_raw():
    found = LightFM(subspaces=2, codewords=64, linear_codewords=0).quantizers([300, 5], 8)
    assert found == [Quantizer((64, 64)), Quantizer()]


@pytest.mark.parametrize("linear_codewords", [0, 1, 16])
@pytest.mark.parametrize(("subspaces", "codewords"), [(1, 2), (3, 64), (7, 17), (4, 4096)])
def test_the_file_has_the_planned_size_at_most(tmp_path, subspaces, codewords, linear_codewords):
    plan, model = made(LightFM(subspaces, codewords, linear_codewords))
    model.save(tmp_path / "a")
    assert (tmp_path / "a").stat().st_size == model.file_bytes <= plan.file_bytes == plan.largest_bytes
    assert load(tmp_path / "a").header.quantizers == plan.quantizers


def test_a_budget_is_met_to_the_byte_or_refused():
    sizes = LightFM(subspaces=3, codewords=16, linear_codewords=4)
    needed = made(sizes)[0].file_bytes
    assert made(sizes, needed)[0].file_bytes == needed
    with pytest.raises(BudgetError, match=rf"with 3 x 16 codewords the artifact has {needed:,} bytes") as caught:
        Job(CHECKPOINT, sizes, needed - 1).check()
    assert caught.value.smallest_bytes == needed


@pytest.mark.parametrize(
    "quantizers",
    [
        [(1000, 2, 3000, 4096), (), (4096, 4095, 4094, 4093), (2,)],
        [(17, 16), (4, 3, 2, 2, 2, 2, 2), (), ()],
        [(4096, 4095) * 4] * 4,
    ],
    ids=str,
)
def test_headers_with_unequal_codebooks_are_counted_to_the_byte(tmp_path, quantizers):
    """Names such as 4096,4095,4094,4093 are longer than those of any candidate of ``auto``."""
    chosen = [Quantizer(codewords, 3) for codewords in quantizers]
    model = quantized(8, *(f"{40 + number} {embedding_spec(quantizer)} 3" for number, quantizer in enumerate(chosen)))
    assert [field.quantizer for field in model.fields] == chosen
    begun = origin(quality=False)
    packed = pack_model(model, begun)
    packed.save(tmp_path / "a")
    counted = header_bytes(Frame.of(model), begun, chosen)
    assert packed.header.header_bytes == counted
    total = artifact_bytes(Frame.of(model), begun, chosen)
    assert (tmp_path / "a").stat().st_size == total
    assert list(load(tmp_path / "a").header.quantizers) == chosen


def test_its_codebooks_are_nearest_in_plain_distance():
    """All categories and coordinates count the same (Eq. 2), whatever their frequencies."""
    sizes = LightFM(subspaces=3, codewords=16, linear_codewords=0)
    costs = from_moments(CHECKPOINT, CHECKPOINT.counts)
    quantizers = sizes.quantizers(CHECKPOINT.schema.cardinalities.tolist(), CHECKPOINT.dim)
    errors = {}
    for metric in ("euclidean", "fm"):
        model = fit_codebooks(CHECKPOINT, costs, quantizers, seed=0, metric=metric)
        embeddings = CHECKPOINT.embeddings[CHECKPOINT.schema.rows(0)]
        field = model.fields[0]
        errors[metric] = float(((field.embeddings() - embeddings) ** 2).sum())
        for d, (start, end) in enumerate(subspace_bounds(CHECKPOINT.dim, 3)):
            apart = ((embeddings[:, None, start:end] - field.tables[d][None]) ** 2).sum(axis=2)
            if metric == "euclidean":
                chosen = np.take_along_axis(apart, field.codes[:, d, None].astype(int), axis=1)[:, 0]
                np.testing.assert_allclose(chosen, apart.min(axis=1), rtol=1e-3, atol=1e-6)
    assert errors["euclidean"] < errors["fm"]


@pytest.mark.parametrize(
    "wrong",
    [{"subspaces": 0}, {"codewords": 1}, {"codewords": 4097}, {"linear_codewords": -1}, {"linear_codewords": 4097}],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(UsageError, match=name):
        LightFM(**wrong)


def test_more_subspaces_than_coordinates_are_refused():
    with pytest.raises(UsageError, match="subspaces is 8, but the embeddings have 7 coordinates"):
        LightFM(subspaces=8).quantizers([10_000], 7)
