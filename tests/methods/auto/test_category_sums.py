import numpy as np
import pytest

from fmcompress.methods.auto.category_sums import add_by_category, add_outer_by_category


@pytest.mark.parametrize("counts", [[3], [1, 1, 1], [2, 0, 5, 2, 1, 0, 5], [0, 0]])
def test_sums_are_those_over_the_rows_of_each_category(counts):
    rng = np.random.default_rng(0)
    own = np.repeat(np.arange(len(counts)), counts)
    rows = rng.standard_normal((len(own), 4)).astype(np.float32)
    sums, outer = (rng.standard_normal((len(counts), *size)).astype(np.float32) for size in ((4,), (4, 4)))
    wanted = [sums[category] + rows[own == category].sum(axis=0) for category in range(len(counts))]
    of_outer = [outer[category] + rows[own == category].T @ rows[own == category] for category in range(len(counts))]
    add_by_category(sums, own, rows)
    add_outer_by_category(outer, own, rows)
    np.testing.assert_allclose(sums, wanted, atol=1e-5)
    np.testing.assert_allclose(outer, of_outer, atol=1e-5)
