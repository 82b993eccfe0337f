"""Runs code as if it had no rights beyond those of a file's owner, which the superuser has, too."""

import ctypes
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

_VERSION_3 = 0x20080522  # of capset(2): two words for each set


def unprivileged(function):
    """Call a function as an ordinary user would; as the superuser of Linux, in a thread without its capabilities."""
    if os.geteuid() != 0:
        return function()
    if not hasattr(libc := ctypes.CDLL(None, use_errno=True), "capset"):
        pytest.skip("the superuser may read and write everything")
    with ThreadPoolExecutor(1, initializer=_give_up_capabilities, initargs=(libc,)) as thread:
        return thread.submit(function).result()


def _give_up_capabilities(libc):
    """Take all capabilities from this thread, alone: the kernel counts them by thread."""
    header, none = (ctypes.c_uint32 * 2)(_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    if libc.capset(header, none) != 0:
        raise OSError(ctypes.get_errno(), "capset")
