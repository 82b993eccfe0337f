"""DFM, QR, MD and DHE: what is looked up is what is stored, against plain references; bytes, budgets, seeds."""

from dataclasses import replace

import numpy as np
import pytest

from fmcompress.backbones.vanilla_fm import RowNumbers
from fmcompress.baselines import (
    BASELINES,
    Chosen,
    Trial,
    binary_codes,
    deep_hash,
    mixed_dimensions,
    quotient_remainder,
    run_baselines,
)
from fmcompress.baselines.composed import bytes_with
from fmcompress.baselines.task import Task
from fmcompress.baselines.tuning import begin_tuning_stored
from fmcompress.data.batch import Batch
from fmcompress.errors import UsageError
from fmcompress.evaluation.scores import score_rows
from fmcompress.fm.scorer import FMScorer
from fmcompress.progress import SILENT
from fmcompress.training import trainable
from tests import pooled
from tests.models import random_ids
from tests.notes import Notes

from .conftest import OPTIONS

MODULES = {"dfm": binary_codes, "qr": quotient_remainder, "md": mixed_dimensions, "dhe": deep_hash}
BUDGETS = {"dfm": 1700, "qr": 2900, "md": 3000, "dhe": 9000}
FORMS = [("dfm", 0), ("dfm", 1), ("qr", 0), ("qr", 1), ("md", 0), ("dhe", 0)]


def form_of(key, place, task):
    forms = MODULES[key]._forms(task, BUDGETS[key])
    return forms[place]


@pytest.fixture
def trained(task):
    """Return a function that makes a form and trains it some steps."""

    def make(key, place, task=task):
        module = form_of(key, place, task).begin()
        run = begin_tuning_stored(module, Trial(0.0, 2e-2, 1e-4), task)
        ids = random_ids(task.source.schema, 500)
        labels = np.random.default_rng(1).integers(0, 2, len(ids)).astype(np.float32)
        for _ in range(10):
            run.step(Batch(ids, labels))
        return module

    return make


def fields_and_ids(schema):
    return [(field, id_) for field, own in enumerate(schema.fields) for id_ in range(own.cardinality)]


def reference_dfm(rows, schema):
    bits = np.unpackbits(rows.arrays()["codes"])[: rows.positive.size].reshape(rows.positive.shape)
    return np.array([
        [(1 if bit else -1) * float(scale) for bit, scale in zip(bits[row], rows.scales[field], strict=True)]
        for row, (field, _) in enumerate(fields_and_ids(schema))
    ])  # fmt: skip


def reference_qr(rows, schema):
    found, quotients, remainders = [], 0, 0
    for own in schema.fields:
        count = min(rows.collisions, int(np.ceil(np.sqrt(own.cardinality))))
        used = -(-own.cardinality // count)
        whole = used + count >= own.cardinality
        for id_ in range(own.cardinality):
            if whole:
                found.append(rows.quotients[quotients + id_].astype(float))
                continue
            one, other = (
                rows.quotients[quotients + id_ // count].astype(float),
                rows.remainders[remainders + id_ % count].astype(float),
            )
            found.append(one * other if rows.variant == "product" else one + other)
        quotients, remainders = quotients + (own.cardinality if whole else used), remainders + (0 if whole else count)
    assert (quotients, remainders) == (len(rows.quotients), len(rows.remainders))
    return np.array(found)


def reference_md(rows, schema):
    smallest, found, values, projections = min(schema.cardinalities), [], list(rows.values), list(rows.projections)
    for own in schema.fields:
        dim = max(1, round(rows.dim * (smallest / own.cardinality) ** 0.2))
        table = np.array([[values.pop(0) for _ in range(dim)] for _ in range(own.cardinality)], dtype=float)
        if dim < rows.dim:
            table = table @ np.array([[projections.pop(0) for _ in range(rows.dim)] for _ in range(dim)], dtype=float)
        found.append(table)
    assert values == projections == []
    return np.concatenate(found)


def reference_dhe(rows, schema):
    generator = np.random.default_rng(rows.seed)
    factors = [int(factor) for factor in generator.integers(1, 2**31 - 1, 256)]
    shifts = [int(shift) for shift in generator.integers(0, 2**31 - 1, 256)]
    found = []
    for row, (field, _) in enumerate(fields_and_ids(schema)):
        hashed = [(a * row + b) % (2**31 - 1) % 1_000_000 for a, b in zip(factors, shifts, strict=True)]
        values = np.array(hashed) / 999_999 * 2 - 1
        for layer, weights in enumerate(rows.weights):
            bias = rows.biases[layer][field] if layer == 0 else rows.biases[layer]
            values = weights.astype(float) @ values + bias
            if layer < 2:
                values = values * np.tanh(np.log1p(np.exp(values)))
        found.append(values)
    return np.array(found)


REFERENCES = {"dfm": reference_dfm, "qr": reference_qr, "md": reference_md, "dhe": reference_dhe}


@pytest.mark.parametrize(("key", "place"), FORMS)
def test_a_trained_model_predicts_what_a_plain_reference_computes_of_what_is_stored(key, place, task, trained):
    module = trained(key, place)
    stored = module.stored()
    expected = REFERENCES[key](stored.embeddings, task.source.schema)
    model = stored.decode()
    np.testing.assert_allclose(model.embeddings, expected, atol=1e-4)
    ids = random_ids(task.source.schema, 200)
    logits = module(RowNumbers(task.source.schema)(Batch(ids, np.zeros(200, np.float32))))[0].detach()
    scored, _ = FMScorer(model).logits_and_sums(ids)
    np.testing.assert_allclose(logits, scored, atol=2e-2)  # float16, on the way to the file


@pytest.mark.parametrize(("key", "place"), FORMS)
def test_all_bytes_are_counted_and_the_papers_params_beside_them(key, place, task, trained):
    stored = trained(key, place).stored()
    arrays, rows = stored.embeddings.arrays(), task.source.schema.categories
    payload_bytes = sum(array.nbytes for array in arrays.values()) + rows + 2 * len(task.source.schema) + 4
    assert payload_bytes < stored.file_bytes < payload_bytes + 100 * (len(arrays) + 3)
    assert bytes_with(stored.embeddings, task.source.schema) == stored.file_bytes <= BUDGETS[key]
    if key == "dfm":
        codes, scales = stored.embeddings.positive, stored.embeddings.scales
        assert arrays["codes"].nbytes == -(-codes.size // 8)
        assert stored.paper_params_mib == (arrays["codes"].nbytes + 4 * scales.size) / 2**20
    else:
        floats = sum(array.size for array in arrays.values() if array.dtype == np.float16)
        assert floats * 4 / 2**20 <= stored.paper_params_mib <= (floats * 4 + 8) / 2**20


@pytest.mark.parametrize(("key", "place"), FORMS)
def test_shared_tables_and_several_values_are_looked_up_as_they_are_stored(key, place, task):
    ckpt = pooled.checkpoint()
    rows = pooled.batch(ckpt, 40)
    other = Task(ckpt, task.data, (), OPTIONS, SILENT)
    object.__setattr__(other, "counts", np.ones(ckpt.schema.categories, np.int64))
    forms = MODULES[key]._forms(other, 10**6)
    module = forms[place].begin()
    logits = module(RowNumbers(ckpt.schema)(rows))[0].detach()
    expected, _ = FMScorer(module.stored().decode()).logits_and_sums(rows.ids, rows.values, rows.bags)
    np.testing.assert_allclose(logits, expected, atol=1e-2)


@pytest.fixture(scope="module")
def points(source, data):
    options = replace(OPTIONS, epochs=4)
    return {key: list(run_baselines([key], source, data, (60, budget), options)) for key, budget in BUDGETS.items()}


@pytest.mark.slow
@pytest.mark.parametrize("key", MODULES)
def test_budgets_are_met_or_left_out_and_models_learn(key, points, source, data):
    (point,) = points[key]  # nothing has 60 bytes
    assert point.file_bytes <= BUDGETS[key]
    found, full = score_rows(point.model, data.valid), score_rows(source, data.valid)
    assert found.auc > 0.5 + 0.5 * (full.auc - 0.5)
    assert point.chosen.trial in OPTIONS.grid
    assert point.paper_params_mib > 0
    assert point.name.startswith(f"{key.upper()}, ")


@pytest.mark.slow
@pytest.mark.parametrize("key", MODULES)
def test_what_was_chosen_is_trained_again_alone_and_the_same_seed_gives_the_same_model(key, points, source, data):
    (point,) = points[key]
    notes = Notes()
    options = replace(OPTIONS, epochs=4, chosen={key: point.chosen})
    (again,) = run_baselines([key], source, data, (BUDGETS[key],), options, notes)
    np.testing.assert_array_equal(again.model.embeddings, point.model.embeddings)
    np.testing.assert_array_equal(again.model.linear, point.model.linear)
    assert sum("epoch 1 of" in line for line in notes.lines) == 1
    (other,) = run_baselines([key], source, data, (BUDGETS[key],), replace(options, seed=1))
    assert not np.array_equal(other.model.embeddings, point.model.embeddings)


def test_all_are_rows_of_the_table():
    assert [one.key for one in BASELINES if one.key in MODULES] == list(MODULES)
    assert all(one.sized for one in BASELINES if one.key in MODULES)


@pytest.mark.parametrize("key", MODULES)
def test_without_epochs_nothing_is_trained(key, task, source, data):
    (point,) = run_baselines([key], source, data, (BUDGETS[key],), replace(OPTIONS, epochs=0))
    untrained = form_of(key, 0, task).begin().stored().decode()
    ratio = point.model.linear[untrained.linear != 0] / untrained.linear[untrained.linear != 0]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-5)  # calibrated, and that is all


def test_variants_that_there_are_none_of_are_refused(source, data):
    options = replace(OPTIONS, chosen={"qr": Chosen("mean", OPTIONS.grid[0])})
    with pytest.raises(UsageError, match="variant of qr is 'mean', expected 'product' or 'sum'"):
        list(run_baselines(["qr"], source, data, (BUDGETS["qr"],), options))


@pytest.mark.parametrize("key", ["qr", "md"])
def test_categories_that_are_never_seen_begin_and_so_stay_at_zero(key, task):
    stored = form_of(key, 0, task).begin().stored()
    first = 200  # ten users are never seen
    if key == "qr":  # some may share a quotient with those that are
        count = stored.embeddings.collisions
        first = -(-first // count) * count
    embeddings = stored.decode().embeddings
    assert not embeddings[first:210].any()
    assert first < 210
    assert embeddings[:200].any(axis=1).all()


@pytest.mark.parametrize(("key", "place"), FORMS)
def test_sparse_gradients_train_as_dense_ones_do(key, place, task, trained, monkeypatch):
    dense = trained(key, place).stored().decode()
    monkeypatch.setattr(trainable, "_MOST_DENSE_VALUES", 0)
    sparse = trained(key, place).stored().decode()
    untrained = form_of(key, place, task).begin().stored().decode()
    assert not np.array_equal(sparse.embeddings, untrained.embeddings)
    shift, apart = np.abs(dense.embeddings - untrained.embeddings), np.abs(sparse.embeddings - dense.embeddings)
    assert apart.mean() < 0.5 * shift.mean()  # lazy Adam leaves out what a batch does not touch
