"""Heavy work done by torch as on a GPU, on the CPU: what stands in for one in tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from fmcompress.devices import working
from fmcompress.quantization import kmeans


@contextmanager
def torch_at_work() -> Iterator[None]:
    """Let torch do the heavy work of this block on the device ``cpu``, and k-means of any size."""
    with (
        patch.object(working, "offloads", lambda device: True),
        patch.object(kmeans, "_LEAST_PRODUCTS", 0),
        working.working_on("cpu"),
    ):
        yield
