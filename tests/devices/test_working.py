"""Where heavy work is done."""

import threading

import pytest
import torch

from fmcompress.devices.working import work_on, working_device, working_on
from fmcompress.errors import UsageError
from fmcompress.progress import SILENT
from fmcompress.quantization.parallel import side_by_side


def test_the_cpu_does_its_own_work():
    assert working_device() is None
    with working_on("cpu"):
        assert working_device() is None


def test_a_block_is_worked_on_a_device_and_so_are_the_threads_that_it_starts():
    with working_on("cuda"):
        assert working_device() == "cuda"
        assert list(side_by_side([working_device] * 3, title="asking", progress=SILENT)) == ["cuda"] * 3
        with working_on("cpu"):
            assert working_device() is None
        assert working_device() == "cuda"
    assert working_device() is None


def test_what_one_thread_works_on_is_nothing_to_another():
    found = []
    with working_on("cuda"):
        thread = threading.Thread(target=lambda: found.append(working_device()))
        thread.start()
        thread.join()
        thread = threading.Thread(target=lambda: (work_on("cuda"), found.append(working_device())))
        thread.start()
        thread.join()
    assert found == [None, "cuda"]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        RuntimeError("StandardGpuResourcesImpl::allocMemory: cudaMalloc error out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"),
    ],
)
def test_a_full_memory_is_one_line(error):
    with pytest.raises(UsageError, match="the memory of the device cuda is full") as raised, working_on("cuda"):
        raise error
    assert raised.value.hint == "a smaller --batch-size, or --device cpu"


def test_other_errors_are_left_as_they_are():
    with pytest.raises(RuntimeError, match="illegal memory access"), working_on("cuda"):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    with pytest.raises(torch.OutOfMemoryError), working_on("cpu"):
        raise torch.OutOfMemoryError("out of memory")
