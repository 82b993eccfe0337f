"""The device that training runs on."""

import pytest
import torch

from fmcompress.errors import UsageError
from fmcompress.training.device import device_kind, resolve_device


@pytest.mark.parametrize(("gpu", "expected"), [(False, "cpu"), (True, "cuda")])
def test_auto_is_a_gpu_where_there_is_one(monkeypatch, gpu, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert (resolve_device("auto"), resolve_device("cpu")) == (expected, "cpu")


def test_devices_that_are_not_there_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="torch finds no CUDA GPU"):
        resolve_device("cuda")
    with pytest.raises(UsageError, match="device is 'tpu', expected auto, cpu or cuda"):
        resolve_device("tpu")


def test_the_kind_of_a_gpu_is_its_model(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA A100")
    assert [device_kind(device) for device in ("cpu", "cuda")] == ["cpu", "cuda (NVIDIA A100)"]
