"""Compact files are unpacked by the native core where there is one, to the same and with the same refusals."""

import numpy as np
import pytest

from fmcompress import ArtifactError, load
from fmcompress.artifact import read_artifact
from fmcompress.artifact.io import sealed_bytes
from fmcompress.serve.native_library import SWITCH, status
from tests.artifact.test_compact import resealed
from tests.models import EVERY_SHAPE, packed


@pytest.mark.parametrize("switch", ["0", "1"])
def test_it_is_what_numpy_makes_of_it(monkeypatch, tmp_path, switch):
    packed(*EVERY_SHAPE["many tiers"], layout="compact").save(tmp_path / "a")
    monkeypatch.setenv(SWITCH, switch)
    found, expected = load(tmp_path / "a"), read_artifact(tmp_path / "a")
    np.testing.assert_array_equal(found.values, expected.values)
    np.testing.assert_array_equal(found.codes, expected.codes)


def test_damaged_codes_are_refused_in_the_same_words(monkeypatch, tmp_path):
    if status().reason:
        pytest.skip("there is no native core")
    data = bytearray(sealed_bytes(packed(*EVERY_SHAPE["many tiers"], layout="compact")))
    data[-1] ^= 1
    (tmp_path / "a").write_bytes(resealed(bytes(data)))
    for switch in "01":
        monkeypatch.setenv(SWITCH, switch)
        with pytest.raises(ArtifactError, match="its codes cannot be decoded"):
            load(tmp_path / "a")
