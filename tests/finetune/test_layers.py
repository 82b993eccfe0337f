"""Where codebooks lie in one table: laid out and read back, padded and cut."""

import numpy as np
import pytest
import torch

from fmcompress.finetune.inputs import Inputs
from fmcompress.finetune.layers import CodebookTable, by_subspaces, logits_of
from tests.models import SHAPES, quantized

CODED = [name for name in SHAPES if name not in ("no codes at all", "many raw rows", "widest codes")]


def layouts(model):
    return [CodebookTable(model, columns) for subspaces, columns in by_subspaces(model.fields).items() if subspaces]


@pytest.mark.parametrize("shape", CODED)
def test_store_is_the_inverse_of_join(shape):
    first, second = quantized(*SHAPES[shape], seed=0), quantized(*SHAPES[shape], seed=1)
    for layout in layouts(first):
        table = layout.join(second.fields)
        assert table.shape == (layout.null + 1, layout.width)
        assert not table[layout.null].any()
        stored = layout.store(first.fields, table, layout.rows_of(second.fields))
        assert list(stored) == layout.columns
        for column, field in stored.items():
            expected = second.fields[column]
            np.testing.assert_array_equal(field.codes, expected.codes)
            for found, book in zip(field.tables, expected.tables, strict=True):
                np.testing.assert_array_equal(found, book)
            np.testing.assert_array_equal(field.linear_table, first.fields[column].linear_table)


@pytest.mark.parametrize("shape", CODED)
def test_rows_lead_to_the_codewords_of_the_codes(shape):
    model = quantized(*SHAPES[shape])
    for layout in layouts(model):
        table = torch.from_numpy(layout.join(model.fields))
        for column, rows in zip(layout.columns, layout.rows_of(model.fields), strict=True):
            found = layout.unpadded(table[torch.from_numpy(rows)])
            np.testing.assert_array_equal(found, model.fields[column].embeddings())
            np.testing.assert_array_equal(layout.unpadded(layout.padded(found)), found)


def test_fields_stand_together_by_their_number_of_subspaces():
    model = quantized(8, "24 shared raw", "50 raw 8", "90 2x16 shared", "12 1x4 raw", "17 raw raw")
    assert by_subspaces(model.fields) == {0: [1, 4], 1: [0, 3], 2: [2]}


def test_logits_sum_over_layers_uses_of_tables_and_numeric_fields():
    # Two rows, stacked for two uses; all numbers small enough to be added up by hand.
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0], [0.0, 3.0]])
    scalars, linear = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([0.5, 0.5, 1.5, 1.5])
    inputs = Inputs(
        torch.zeros(4, 1), uses=2, numeric=(torch.tensor([[0.0, 1.0], [0.0, 0.0]]), torch.tensor([0.0, 7.0]))
    )
    found = logits_of(torch.tensor(10.0), linear, [(vectors, scalars), (vectors, scalars)], inputs)
    # Σ of vectors: (6, 1) and (0, 8); Σ of scalars: 8 and 12; of linear weights: 2 and 2.
    assert found.tolist() == [10 + 2 + 8 + 0.5 * 37, 10 + 2 + 12 + 7 + 0.5 * 64]
