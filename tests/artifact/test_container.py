"""The safetensors container: any reader of safetensors opens it, and a wrong one is refused."""

import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_torch

from fmcompress.artifact.container import StoredTensor, decode_header, encode_header
from fmcompress.errors import ArtifactError
from tests.models import EVERY_SHAPE, ODD_NAMES, packed

TENSORS = (StoredTensor("bias", "F32", 1), StoredTensor("values", "F16", 5), StoredTensor("codes", "U8", 3))


@pytest.mark.parametrize("shape", EVERY_SHAPE)
def test_the_safetensors_library_opens_artifacts(tmp_path, shape):
    model = packed(*EVERY_SHAPE[shape])
    model.save(tmp_path / "a.safetensors")
    tensors = load_file(tmp_path / "a.safetensors")
    assert tensors["bias"].tolist() == [model.bias]
    np.testing.assert_array_equal(tensors["values"], model.values)
    np.testing.assert_array_equal(tensors["codes"], model.codes)
    with safe_open(tmp_path / "a.safetensors", "np") as file:
        assert json.loads(file.metadata()["fmcompress"])["dim"] == model.header.dim


@pytest.mark.parametrize("spaces", range(8))
def test_the_safetensors_library_opens_files_wherever_their_tensors_begin(tmp_path, spaces):
    """Headers are not filled up to a multiple of 8 bytes: small files would be larger for it."""
    numbers = np.arange(5, dtype="<f2")
    head = encode_header("{}", TENSORS, header_bytes=300 + spaces)
    (tmp_path / "a").write_bytes(head + np.float32(1.5).tobytes() + numbers.tobytes() + b"abc")
    for load in (load_file, load_torch):
        found = {name: tensor.tolist() for name, tensor in load(tmp_path / "a").items()}
        assert found == {"bias": [1.5], "values": [0, 1, 2, 3, 4], "codes": list(b"abc")}


def test_the_safetensors_library_reads_odd_names(tmp_path):
    packed(2, *["3 raw raw"] * len(ODD_NAMES), names=ODD_NAMES).save(tmp_path / "a.safetensors")
    with safe_open(tmp_path / "a.safetensors", "np") as file:
        lines = json.loads(file.metadata()["fmcompress"])["fields"]
    assert tuple(line[0] for line in lines) == ODD_NAMES


@pytest.mark.parametrize("header_bytes", [0, 300, 777, 5000])
@pytest.mark.parametrize("metadata", ["", "{}", '{"größe": "🛒\\n"}'])
def test_decode_is_the_inverse_of_encode(metadata, header_bytes):
    head = encode_header(metadata, TENSORS, header_bytes=header_bytes)
    assert len(head) == max(header_bytes, len(encode_header(metadata, TENSORS)))
    data = head + bytes(4 + 10 + 3)
    assert decode_header(memoryview(data), len(data)) == (metadata, TENSORS, len(head))


def container(header, payload=b"\0" * 17):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + payload


def layout(**changes):
    head = encode_header("{}", TENSORS)
    return json.loads(head[8:]) | changes


def entry(dtype="F32", shape=(1,), offsets=(0, 4), **more):
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets, **more}


def test_the_base_of_the_damaged_ones_is_sound():
    data = container(layout())
    assert decode_header(memoryview(data), len(data))[0] == "{}"


DAMAGED = {
    "empty": b"",
    "seven bytes": b"\2\0\0\0\0\0\0",
    "no header": bytes(8),
    "length of 2**63": (2**63).to_bytes(8, "little") + bytes(100),
    "length of 2**64 - 1": b"\xff" * 8 + bytes(100),
    "length one too many": (101).to_bytes(8, "little") + bytes(100),
    "zeros": bytes(1000),
    "text": b"label,user,item\n" * 100,
    "zip": b"PK\3\4" + bytes(1000),
    "no JSON": container(b"{,}"),
    "UTF-16": container(json.dumps(layout()).encode("utf-16")),
    "byte order mark": container(b"\xef\xbb\xbf" + json.dumps(layout()).encode()),
    "no UTF-8": container(b'{"__metadata__":{"fmcompress":"\xff"}}'),
    "deep": container(b"[" * 200_000),
    "deep and closed": container(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "list": container(b"[1, 2]"),
    "number": container(b"12"),
    "huge number": container(b"9" * 10_000),
    "NaN": container(b'{"__metadata__": NaN}'),
    "a tensor twice": container(json.dumps(layout()).replace('"values"', '"bias"').encode()),
    "metadata twice": container(b'{"__metadata__":{"fmcompress":"a","fmcompress":"b"}}', b""),
    "no metadata": container({key: value for key, value in layout().items() if key != "__metadata__"}),
    "metadata of others": container(layout(__metadata__={"format": "pt"})),
    "metadata no text": container(layout(__metadata__={"fmcompress": {}})),
    "metadata no object": container(layout(__metadata__=["fmcompress"])),
    "tensor no object": container(layout(bias=[1])),
    "tensor null": container(layout(bias=None)),
    "no dtype": container(layout(bias={"shape": [1], "data_offsets": [0, 4]})),
    "other dtype": container(layout(bias=entry("BF16"))),
    "dtype a list": container(layout(bias=entry(["F32"]))),
    "no dimension": container(layout(bias=entry(shape=[]))),
    "two dimensions": container(layout(bias=entry(shape=[1, 1]))),
    "shape a number": container(layout(bias=entry(shape=1))),
    "size a float": container(layout(bias=entry(shape=[1.0]))),
    "size true": container(layout(bias=entry(shape=[True]))),
    "negative size": container(layout(bias=entry(shape=[-1]))),
    "size of 2**62": container(layout(bias=entry(shape=[2**62], offsets=[0, 2**64]))),
    "size of 4,300 digits": container(layout(bias=entry(shape=[10**4299], offsets=[0, 4 * 10**4299]))),
    "no offsets": container(layout(bias={"dtype": "F32", "shape": [1]})),
    "offsets null": container(layout(bias=entry(offsets=None))),
    "a gap": container(layout(bias=entry(offsets=[4, 8]))),
    "overlap": container(layout(values=entry("F16", [5], [0, 10]))),
    "negative offsets": container(layout(bias=entry(offsets=[-4, 0]))),
    "too few bytes": container(layout(), b"\0" * 16),
    "too many bytes": container(layout(), b"\0" * 18),
    "no tensors": container({"__metadata__": {"fmcompress": "{}"}}),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_containers_are_refused(name):
    data = DAMAGED[name]
    with pytest.raises(ArtifactError) as caught:
        decode_header(memoryview(data), len(data))
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)
