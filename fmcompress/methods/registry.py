"""The table of methods."""

from fmcompress.errors import UsageError
from fmcompress.methods.auto.method import Auto
from fmcompress.methods.base import Method, QuantizationMethod
from fmcompress.methods.lightfm.method import LightFM
from fmcompress.methods.xlightfm.method import XLightFM

METHODS: tuple[type[Method], ...] = (Auto, LightFM, XLightFM)
"""One row per method."""


def method_of(method: Method | str) -> Method:
    """Return the method that a name stands for, with its defaults.

    Raises:
        UsageError: there is no such method.
    """
    if isinstance(method, QuantizationMethod):
        return method
    known = {one.name: one for one in METHODS}
    if method not in known:
        raise UsageError(f"method is {method!r}, expected {', '.join(known)}")
    return known[method]()
