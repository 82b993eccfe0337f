"""What errors cost, summed up by torch, against numpy."""

import numpy as np
import pytest

from fmcompress.quantization.device_moments import DeviceMoments
from fmcompress.quantization.moments import HostMoments
from fmcompress.quantization.sensitivity import _moments_of
from tests import kinds, networks, pooled
from tests.devices.offloaded import torch_at_work


@pytest.mark.parametrize("of_kind", [kinds, pooled])
def test_sums_are_those_of_numpy(of_kind):
    checkpoint = of_kind.checkpoint()
    host, device, again = HostMoments(checkpoint), DeviceMoments(checkpoint, "cpu"), DeviceMoments(checkpoint, "cpu")
    for seed in (1, 2):
        for moments in (host, device, again):
            moments.add(of_kind.batch(checkpoint, 400, seed=seed))
    expected, found, other = (moments.sums() for moments in (host, device, again))
    for name in ("hessians", "curvatures", "present_rows", "bag_values"):
        own = getattr(expected, name)
        np.testing.assert_allclose(getattr(found, name), own, rtol=1e-5, atol=1e-5 * max(1, np.abs(own).max()))
        np.testing.assert_array_equal(getattr(found, name), getattr(other, name))


def test_a_network_is_left_to_numpy():
    with torch_at_work():
        assert isinstance(_moments_of(networks.checkpoint("deepfm")), HostMoments)
        assert isinstance(_moments_of(kinds.checkpoint()), DeviceMoments)
