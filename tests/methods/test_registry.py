"""Methods by name, and the interface that each of them has."""

import pytest

from fmcompress.errors import UsageError
from fmcompress.methods.auto.method import Auto
from fmcompress.methods.base import Job
from fmcompress.methods.lightfm.method import LightFM
from fmcompress.methods.registry import METHODS, method_of
from fmcompress.methods.xlightfm.method import XLightFM
from tests.models import random_checkpoint


def test_methods_by_name():
    assert [method_of(name) for name in ("auto", "lightfm", "xlightfm")] == [Auto(), LightFM(), XLightFM()]
    own = LightFM(codewords=16)
    assert method_of(own) is own
    with pytest.raises(UsageError, match="method is 'best', expected auto, lightfm, xlightfm"):
        method_of("best")


def test_each_method_says_how_its_models_are_tuned():
    found = {method.name: method().default_tuning() for method in METHODS}
    assert {name: tuning.reassign is not None for name, tuning in found.items()} == {
        "auto": True, "lightfm": False, "xlightfm": False,
    }  # fmt: skip
    assert {name: tuning.moving is not None for name, tuning in found.items()} == {
        "auto": False, "lightfm": True, "xlightfm": True,
    }  # fmt: skip


@pytest.mark.parametrize("method", [Auto(), XLightFM()])
def test_all_but_lightfm_need_a_budget(method):
    checkpoint = random_checkpoint((5, 3), dim=2)
    with pytest.raises(UsageError, match=f"method {method.name} needs a budget"):
        Job(checkpoint, method, None).check()
    Job(checkpoint, LightFM(subspaces=2), None).check()
