"""DeepFMs and NFMs in training: their logits, and what they learn that a factorization machine cannot."""

import numpy as np
import pytest
import torch

from fmcompress.backbones.network_fm import NetworkFM, new_network
from fmcompress.backbones.training import TrainOptions, train
from fmcompress.backbones.vanilla_fm import RowNumbers
from fmcompress.data.batch import Batch
from fmcompress.data.click_model import write_rows
from fmcompress.data.rows import open_training_rows
from fmcompress.errors import UsageError
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.pooling import parse_pooling
from fmcompress.fm.schema import Field, Schema
from tests import networks

SIZES = (12, 12, 12)


@pytest.mark.parametrize("kind", networks.KINDS)
def test_logits_in_training_are_those_of_the_checkpoint(kind):
    schema = Schema((Field("user", 20), Field("genres", 9, pooling=parse_pooling("mean")), Field("item", 15)))
    generator = torch.Generator().manual_seed(0)
    network = new_network(kind, schema, 6, (5, 3), generator)
    module = NetworkFM(schema.categories, 6, network, 0.0, sparse=False, generator=generator)
    with torch.no_grad():
        module.linear[:-1] = torch.randn(schema.categories, 1, generator=generator)
    embeddings, linear = module.embeddings.detach().numpy()[:-1], module.linear.detach().numpy()[:-1, 0]
    ckpt = FMCheckpoint(schema, 0.0, linear, embeddings, network=network)
    rows = networks.batch(ckpt, 30)
    logits, _ = module(RowNumbers(schema)(rows))
    np.testing.assert_allclose(logits.detach().numpy(), networks.logits(ckpt, rows), atol=1e-5)


@pytest.fixture(scope="module")
def of_three(tmp_path_factory):
    """Rows whose label is that of a product of three fields, which no sum over pairs tells."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 12, (24_000, 3)).astype(np.int32)
    labels = (ids % 2).sum(axis=1) % 2
    path = tmp_path_factory.mktemp("three") / "rows.parquet"
    schema = Schema.of(zip("abc", SIZES, strict=True))
    write_rows(Batch(ids, labels.astype(np.float32)), schema, path)
    return open_training_rows(str(path), None)


@pytest.mark.parametrize("kind", networks.KINDS)
def test_networks_learn_what_pairs_do_not_tell(of_three, kind):
    how = TrainOptions(
        dim=8, l2=0.0, lr=1e-2, batch_size=256, epochs=12, patience=12, backbone=kind, hidden=(32, 16), dropout=0.0
    )
    found = train(*of_three, how)
    assert found.scores.auc > 0.95
    assert found.checkpoint.network.kind == kind
    again = train(*of_three, how)
    assert np.array_equal(again.checkpoint.embeddings, found.checkpoint.embeddings)


@pytest.mark.parametrize(
    "wrong", [{"backbone": "wide"}, {"hidden": (0,)}, {"dropout": 1.0}, {"dropout": -0.1}, {"lr": 0.0}]
)
def test_options_that_make_no_sense_are_refused(wrong):
    with pytest.raises(UsageError):
        TrainOptions(**wrong)
