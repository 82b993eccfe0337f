"""What docs/format.md says of networks is enough to read and score with them."""

import numpy as np
import pytest

from fmcompress.artifact.io import sealed_bytes
from fmcompress.artifact.packed import pack_model
from fmcompress.serve.numpy_scorer import NumpyScorer
from tests import format_reader, networks
from tests.mixed import mixed, random_bags, random_rows
from tests.models import origin
from tests.serve.test_networks import KINDS, model


def listed(bags):
    """Return bags as the reader takes them."""
    found = {}
    for name, bag in bags.items():
        ends = bag.starts[1:-1]
        weights = None if bag.weights is None else [part.tolist() for part in np.split(bag.weights, ends)]
        found[name] = {"ids": [part.tolist() for part in np.split(bag.ids, ends)], "weights": weights}
    return found


def assert_read_alike(own):
    packed = pack_model(own, origin())
    read = format_reader.read(sealed_bytes(packed))
    ids, values = random_rows(packed.schema, 50)
    bags = random_bags(packed.schema, ids)
    expected = read.predict(ids, np.nan_to_num(values), listed(bags))
    np.testing.assert_allclose(NumpyScorer(packed).predict(ids, values, bags=bags), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("kind", "value_bytes"), KINDS)
def test_a_reader_of_the_specification_predicts_alike(kind, value_bytes):
    assert_read_alike(model(kind, value_bytes))


@pytest.mark.parametrize("activation", ["leaky_relu", "sigmoid", "tanh", "elu", "identity"])
def test_every_activation_is_as_it_says(activation):
    own = mixed(5, "30 2x8 4 | 9 raw:8 raw", link="identity")
    assert_read_alike(networks.quantized_with(own, "deepfm", (4, 2, 1), activation=activation))
