"""Places of categories in their tiers, whatever the size of the blocks that they are counted in."""

import numpy as np
import pytest

from fmcompress.export import tier_ranks
from fmcompress.export.onnx_file import onnx_model
from tests.export.runtime import Runtime, assert_scored_alike, onnx
from tests.models import packed, random_ids

FIELDS = (
    "3000 shared raw | 1100 raw raw",
    "700 raw raw | 800 shared 2 | 900 raw raw | 500 1x2 raw",
    "60 raw raw | 4 shared raw",
)


@pytest.mark.parametrize("share", [1.0, 0.02, 0.005, 0.0])
@pytest.mark.parametrize("fields", [FIELDS, FIELDS[:1], FIELDS[1:2], FIELDS[2:]])
def test_every_category_is_found(share, fields, monkeypatch):
    monkeypatch.setattr(tier_ranks, "_SHARES", (share, share))
    model = packed(2, *fields)
    rows = int(max(model.schema.cardinalities))
    ids = np.arange(rows)[:, None] % model.schema.cardinalities
    assert_scored_alike(model, ids)


def test_counts_stay_small_beside_the_artifact():
    model = packed(1, "9000 shared shared | 9000 1x2 2 | 9000 shared shared", seed=1)
    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx_model(model).graph.initializer}
    assert tensors["tier_counts"].nbytes <= 0.04 * model.file_bytes
    assert tensors["tiers"].nbytes < 27_000 / 4 + 512


def test_fields_that_share_a_table_share_its_counts():
    from tests.mixed import packed_mixed

    one, more = (packed_mixed(2, FIELDS[0], shared=shared) for shared in ([], [0, 0]))
    sizes = [
        {tensor.name: len(tensor.raw_data) for tensor in onnx_model(model).graph.initializer} for model in (one, more)
    ]
    for name in ("tiers", "tier_counts", "rows", "linear"):
        assert sizes[0].get(name) == sizes[1].get(name)
    ids = random_ids(one.schema, 9)
    Runtime(onnx_model(more)).predict(np.repeat(ids, 3, axis=1))
