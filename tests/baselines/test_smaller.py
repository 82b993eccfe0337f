"""Smaller FMs: of a pruned one exactly the rows that fit are kept, and those that matter most."""

import numpy as np
import pytest

from fmcompress.baselines.smaller import pruned_module, rows_that_fit
from tests.models import random_checkpoint

SOURCE = random_checkpoint((300, 90, 1), dim=6)


def file_bytes(rows):
    return pruned_module(SOURCE, SOURCE.counts, rows).stored().file_bytes


@pytest.mark.parametrize("rows", [0, 1, 9, 10, 99, 100, 250])
def test_what_fits_is_kept_and_not_a_row_more(rows):
    # A header is filled up to 8 bytes, so that two numbers of rows never have the same size here: 12 bytes a row.
    needed = file_bytes(rows)
    assert rows_that_fit(SOURCE, SOURCE.counts, needed) == rows
    assert rows_that_fit(SOURCE, SOURCE.counts, needed + 11) == rows
    assert rows_that_fit(SOURCE, SOURCE.counts, needed - 1) == (rows - 1 if rows else None)


def test_large_budgets_keep_all_rows():
    assert rows_that_fit(SOURCE, SOURCE.counts, 10**6) == 391


def test_the_rows_that_are_kept_are_frequent_and_long():
    kept = pruned_module(SOURCE, SOURCE.counts, 40).stored().decode().embeddings.any(axis=1)
    magnitudes = SOURCE.counts * (SOURCE.embeddings**2).sum(axis=1)
    assert kept.sum() == 40
    assert magnitudes[kept].min() >= magnitudes[~kept].max()


def test_linear_weights_are_kept_for_all():
    model = pruned_module(SOURCE, SOURCE.counts, 40).stored().decode()
    np.testing.assert_allclose(model.linear, SOURCE.linear, atol=0.02)
