"""Every genuine checkpoint, from the tool's own file to an artifact: predictions stay those of the tool."""

import numpy as np
import pytest

import fmcompress as fc
from fmcompress.checkpoints import load_checkpoint
from tests import kinds
from tests.checkpoints import networks
from tests.checkpoints.samples import FILES
from tests.checkpoints.test_mutated import CASES

GENUINE = [case for case in CASES if (FILES / case[1]).exists()]


@pytest.mark.parametrize(("tool", "file", "given"), GENUINE, ids=[file for _, file, _ in GENUINE])
def test_with_an_ample_budget_the_artifact_predicts_as_the_checkpoint(tool, file, given, tmp_path):
    ckpt = load_checkpoint(FILES / file, **given)
    assert ckpt.source.tool == tool
    carry = ckpt.vocabulary is not None
    fc.quantize(ckpt, "100KB", with_vocabulary=carry).save(tmp_path / "a.safetensors")
    model = fc.load(tmp_path / "a.safetensors")
    assert (model.schema, model.header.link) == (ckpt.schema, ckpt.link)
    assert (model.vocabulary is not None) == carry
    rng = np.random.default_rng(0)
    ids = rng.integers(-1, ckpt.schema.id_cardinalities, (500, len(ckpt.schema.tables))).astype(np.int32)
    values = rng.random((500, len(ckpt.schema.numeric)), dtype=np.float32)
    found = model.predict(ids, values) if len(ckpt.numeric) else model.predict(ids)
    # Numbers of fp16 have 11 bits. Where sums of large weights come out small, as in Spark's regression, they are fp32.
    tolerance = 1e-4 if file.endswith("fm_reg") else 3e-3
    formula = kinds.formula if ckpt.network is None else networks.predict
    np.testing.assert_allclose(found, formula(ckpt, ids, values), atol=tolerance)
