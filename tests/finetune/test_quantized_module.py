"""The quantized model as a torch module, against embeddings that are decoded and left to autograd."""

import numpy as np
import pytest
import torch

from fmcompress.finetune.inputs import Inputs
from fmcompress.finetune.layers import CodebookTable, by_subspaces
from fmcompress.finetune.quantized_module import QuantizedModule
from fmcompress.fm.quantized_fm import QuantizedFM
from fmcompress.fm.quantizer import subspace_bounds
from tests.models import SHAPES, plain_logits, quantized, random_ids

MIXTURES = [name for name in SHAPES if name not in ("many raw rows", "widest codes")]


class PlainModule:
    """Decodes all embeddings, in float64, and leaves the gradients to autograd."""

    def __init__(self, model: QuantizedFM):
        def leaf(array):
            return torch.tensor(np.asarray(array, dtype=np.float64), requires_grad=True)

        self.model = model
        self.bias = leaf(model.bias)
        self.tables = [[leaf(table) for table in field.tables] for field in model.fields]
        self.linear = [leaf(field.linear_table) for field in model.fields]

    def logits(self, ids):
        logits = self.bias.expand(len(ids))
        vectors = []
        for column, field in enumerate(self.model.fields):
            present = torch.from_numpy(ids[:, column] >= 0)
            active = np.maximum(ids[:, column], 0)
            vectors.append(self.embeddings(column)[active] * present[:, None])
            linear = self.linear[column]
            weights = linear if field.quantizer.linear_raw else linear[field.linear_codes.astype(np.int64)]
            logits = logits + weights[active] * present
        stacked = torch.stack(vectors)
        return logits + 0.5 * ((stacked.sum(dim=0) ** 2).sum(dim=1) - (stacked**2).sum(dim=(0, 2)))

    def embeddings(self, column):
        field, tables = self.model.fields[column], self.tables[column]
        if field.quantizer.raw:
            return tables[0]
        codes = field.codes.astype(np.int64).T
        return torch.cat([table[code] for table, code in zip(tables, codes, strict=True)], dim=1)


def loss(logits):
    """Return a scalar that weighs each row otherwise."""
    return (torch.sigmoid(logits) * torch.linspace(0.5, 2, len(logits), dtype=logits.dtype)).sum()


def dense(gradient):
    return gradient.to_dense() if gradient.is_sparse else gradient


@pytest.mark.parametrize("missing", [0.0, 0.4])
@pytest.mark.parametrize("shape", MIXTURES)
def test_logits_are_those_of_the_formula(shape, missing):
    model = quantized(*SHAPES[shape])
    ids = random_ids(model.schema, 100, missing=missing)
    with torch.no_grad():
        found = QuantizedModule(model, sparse=False)(Inputs(torch.from_numpy(ids).long()))
    np.testing.assert_allclose(found.numpy(), plain_logits(model, ids), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("shape", MIXTURES)
def test_gradients_are_those_of_decoded_embeddings(shape, sparse):
    model = quantized(*SHAPES[shape])
    ids = random_ids(model.schema, 60, missing=0.2)
    module, plain = QuantizedModule(model, sparse=sparse), PlainModule(model)
    loss(module(Inputs(torch.from_numpy(ids).long()))).backward()
    loss(plain.logits(ids)).backward()

    np.testing.assert_allclose(module.bias.grad, plain.bias.grad, rtol=1e-4)
    # Store the gradients as if they were numbers, to find them field by field.
    with torch.no_grad():
        for parameter in [module.bias, *module.tables(), *module.others()]:
            if parameter.grad is not None:
                parameter.copy_(dense(parameter.grad))
            else:
                parameter.zero_()
    gradients = module.store(model)
    for column, field in enumerate(gradients.fields):
        np.testing.assert_allclose(field.linear_table, of(plain.linear[column]), rtol=1e-3, atol=1e-5)
        for found, leaf in zip(field.tables, plain.tables[column], strict=True):
            np.testing.assert_allclose(found, of(leaf), rtol=1e-3, atol=1e-5)


def of(leaf):
    return np.zeros(leaf.shape) if leaf.grad is None else leaf.grad.numpy()


def train_a_little(model, *, missing=0.3, sparse=False):
    module = QuantizedModule(model, sparse=sparse)
    ids = torch.from_numpy(random_ids(model.schema, 200, missing=missing)).long()
    optimizers = [torch.optim.Adam(module.others(), lr=0.01)]
    optimizers += [(torch.optim.SparseAdam if sparse else torch.optim.Adam)(module.tables(), lr=0.01)]
    for _ in range(3):
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss(module(Inputs(ids))).backward()
        for optimizer in optimizers:
            optimizer.step()
    return module


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("shape", MIXTURES)
def test_the_row_of_missing_values_stays_zero(shape, sparse):
    module = train_a_little(quantized(*SHAPES[shape]), sparse=sparse)
    for part in [module.linear, *module.layers]:
        assert not part.table[-1].any()


def test_columns_that_fill_up_narrow_subspaces_stay_zero():
    model = quantized(*SHAPES["uneven subspaces"])
    module = train_a_little(model)
    for group, columns in zip(module.layers, by_subspaces(model.fields).values(), strict=True):
        books = CodebookTable(model, columns)
        start = 0
        for (first, last), count in zip(
            subspace_bounds(model.dim, books.subspaces), books.lengths.sum(axis=1), strict=True
        ):
            assert not group.table[start : start + count, last - first :].any()
            start += count


@pytest.mark.parametrize("shape", MIXTURES)
def test_training_moves_what_it_may_and_the_tuned_model_predicts_as_it_was_trained(shape):
    model = quantized(*SHAPES[shape])
    module = train_a_little(model)
    ids = random_ids(model.schema, 100, missing=0.3)
    tuned = module.store(model)
    assert tuned.bias != model.bias
    for one, other in zip(tuned.fields, model.fields, strict=True):
        assert not np.array_equal(one.linear_table, other.linear_table)
    with torch.no_grad():
        found = module(Inputs(torch.from_numpy(ids).long())).numpy()
    np.testing.assert_allclose(found, plain_logits(tuned, ids), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_load_and_store_are_inverse(shape):
    first, second = quantized(*SHAPES[shape], seed=0), quantized(*SHAPES[shape], seed=1, bias=0.25)
    module = QuantizedModule(first, sparse=False)
    assert_same_numbers(module.store(first), first)
    module.load_state_dict(QuantizedModule(second, sparse=False).state_dict())
    assert_same_numbers(module.store(first), second)


def assert_same_numbers(found, expected):
    assert found.bias == expected.bias
    for one, other in zip(found.fields, expected.fields, strict=True):
        np.testing.assert_array_equal(one.linear_table, other.linear_table)
        assert len(one.tables) == len(other.tables)
        for table, same in zip(one.tables, other.tables, strict=True):
            np.testing.assert_array_equal(table, same)


def test_what_is_stored_does_not_change_with_further_training():
    model = quantized(*SHAPES["mixed"])
    module = QuantizedModule(model, sparse=False)
    stored = module.store(model)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(1)
    assert_same_numbers(stored, model)
    assert_same_numbers(quantized(*SHAPES["mixed"]), model)


def test_every_number_is_trained_once():
    module = QuantizedModule(quantized(*SHAPES["mixed"]), sparse=False)
    parts = [id(parameter) for parameter in [*module.tables(), *module.others()]]
    assert sorted(parts) == sorted(id(parameter) for parameter in module.parameters())
