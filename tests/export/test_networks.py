"""A graph with dense layers predicts in onnxruntime what numpy does."""

import numpy as np
import pytest

from fmcompress.artifact.packed import pack_model
from fmcompress.export.onnx_file import onnx_model
from fmcompress.serve.numpy_scorer import NumpyScorer
from tests import networks
from tests.export.runtime import Runtime, onnx, padded
from tests.mixed import mixed, random_bags, random_rows
from tests.models import origin
from tests.serve.test_networks import KINDS, model


def assert_alike(own, *, optimised=True):
    packed = pack_model(own, origin())
    exported = onnx_model(packed, weights=bool(packed.schema.poolings))
    onnx.checker.check_model(exported, full_check=True)
    ids, values = random_rows(packed.schema, 40)
    ids = ids.astype(np.int64)
    bags = random_bags(packed.schema, ids)
    found = Runtime(exported, optimised=optimised).predict(values=values, **padded(packed.schema, ids, bags))
    np.testing.assert_allclose(found, NumpyScorer(packed).predict(ids, values, bags=bags), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("kind", "value_bytes"), KINDS)
def test_networks_are_scored_alike(kind, value_bytes):
    assert_alike(model(kind, value_bytes))
    assert_alike(model(kind, value_bytes), optimised=False)


@pytest.mark.parametrize("kind", networks.KINDS)
@pytest.mark.parametrize("activation", ["leaky_relu", "sigmoid", "tanh", "elu", "identity"])
def test_every_activation_is_scored_alike(kind, activation):
    own = mixed(5, "30 2x8 4 | 9 raw:8 raw", link="identity")  # of one field, there are no pairs
    assert_alike(networks.quantized_with(own, kind, (4, 2, 1), activation=activation))
