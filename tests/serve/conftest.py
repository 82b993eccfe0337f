"""The two ways of scoring, which tests of both go through one after the other."""

import pytest

from fmcompress.serve.native_library import SWITCH, status


@pytest.fixture(scope="module", params=["native", "numpy"])
def way(request):
    """Score by the native core, or by numpy."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SWITCH, "1" if request.param == "native" else "0")
        if request.param == "native" and status().reason is not None:
            pytest.skip(f"no native core: {status().reason}")
        yield request.param
