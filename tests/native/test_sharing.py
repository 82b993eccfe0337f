"""Threads that share a model do not get into each other's way: held by the thread sanitizer."""

import os
import subprocess

import pytest

from tests.artifact.test_elsewhere import MADE

from .library import built
from .test_hostile import ISAS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    return built("sharing_driver.c", "thread", tmp_path_factory.mktemp("driver"))


@pytest.mark.parametrize("made", MADE, ids=lambda path: path.stem)
def test_threads_share_a_model(driver, made):
    for isa in ISAS:
        environment = os.environ | {"FMCOMPRESS_ISA": isa}
        done = subprocess.run([driver, made], env=environment, capture_output=True, text=True, check=False)
        if "unexpected memory mapping" in done.stderr:
            pytest.skip("the thread sanitizer does not run under this kernel")
        assert done.returncode == 0, done.stderr[-5000:]
        assert not done.stderr
