"""Categories counted by torch, against numpy."""

import numpy as np

from fmcompress.data.counting import HostCounts, counts_of_rows
from fmcompress.data.summary import summarize
from tests import kinds, pooled
from tests.devices.offloaded import torch_at_work


def test_a_device_counts_as_numpy_does():
    for of_kind in (kinds, pooled):
        checkpoint = of_kind.checkpoint()
        batches = [of_kind.batch(checkpoint, 300, seed=seed) for seed in (1, 2)]
        expected = summarize(checkpoint.schema, batches)
        with torch_at_work():
            assert not isinstance(counts_of_rows(checkpoint.schema), HostCounts)
            found = summarize(checkpoint.schema, batches)
        np.testing.assert_array_equal(found.counts, expected.counts)
        assert found.counts.dtype == np.int64
        assert (found.unseen, found.positives) == (expected.unseen, expected.positives)
