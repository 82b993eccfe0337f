"""Artifacts with dense layers: what they predict, their exact size, there and back, and what is damaged."""

from dataclasses import replace

import numpy as np
import pytest

import fmcompress as fc
from fmcompress.artifact import unpack_model
from fmcompress.artifact.io import sealed_bytes
from fmcompress.artifact.packed import pack_model
from fmcompress.errors import ArtifactError
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.network import same_network
from fmcompress.serve.compressed_fm import CompressedFM
from tests import networks
from tests.mixed import mixed
from tests.models import origin, sigmoid

DESCRIBED = ("30 2x8 4", "9 raw raw", "25 b3210 4 | 15 1x4:8 raw")
KINDS = [(kind, value_bytes) for kind in networks.KINDS for value_bytes in ((1, 1, 1), (2, 1, 4))]


def model(kind, value_bytes):
    own = mixed(
        4, *DESCRIBED, pads=(0, 0), shared=(2, 2), numeric=(False, True), poolings={"f1": "mean", "s1": "sqrtn/sum"}
    )
    return networks.quantized_with(own, kind, value_bytes)


def decoded(packed):
    """Return a packed model as a checkpoint."""
    own = unpack_model(packed)
    embeddings = np.empty((own.schema.categories, own.dim), np.float32)
    linear = np.empty(own.schema.categories, np.float32)
    embeddings[own.tiers.order] = np.concatenate([field.embeddings() for field in own.fields])
    linear[own.tiers.order] = np.concatenate([field.linear() for field in own.fields])
    return FMCheckpoint(
        own.schema.without_pads(), own.bias, linear, embeddings, numeric=own.numeric, network=own.network
    )


@pytest.mark.parametrize(("kind", "value_bytes"), KINDS)
def test_predictions_are_those_of_the_decoded_model(kind, value_bytes):
    packed = CompressedFM.of(pack_model(model(kind, value_bytes), origin()))
    ckpt = decoded(packed)
    rows = networks.batch(ckpt, 60)
    rows = replace(rows, ids=np.where(rows.ids == packed.schema.pads, -1, rows.ids).astype(np.int32))
    found = packed.predict(rows.ids, rows.values, bags=rows.bags)
    np.testing.assert_allclose(found, sigmoid(networks.logits(ckpt, rows)), atol=1e-5)


@pytest.mark.parametrize(("kind", "value_bytes"), KINDS)
def test_an_artifact_comes_back_as_it_was(tmp_path, kind, value_bytes):
    packed = CompressedFM.of(pack_model(model(kind, value_bytes), origin()))
    packed.save(tmp_path / "a.safetensors")
    assert (tmp_path / "a.safetensors").stat().st_size == packed.file_bytes
    for mapped in (False, True):
        found = fc.load(tmp_path / "a.safetensors", map=mapped)
        assert same_network(found.network, packed.network)
        assert sealed_bytes(found) == sealed_bytes(packed)
    again = pack_model(unpack_model(packed), packed.header.origin)
    assert sealed_bytes(again) == sealed_bytes(packed)  # stored twice as once


def test_the_report_counts_dense_layers():
    found = fc.report(CompressedFM.of(pack_model(model("deepfm", (1, 2, 1)), origin())))
    inputs = 4 * 6 + 1
    assert found.network_bytes == 6 * (4 + 2 + inputs) + 4 * (4 + 2 * 6) + (4 + 2 + 4)
    assert found.network == f"DeepFM {inputs}-6-4-1, relu, int8 and fp16"
    assert sum(found.parts.values()) == found.file_bytes
    assert "dense layers" in found.to_text()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('["deepfm"', '["deepfn"'),
        ('[6,"relu",8]', '[7,"relu",8]'),
        ('[6,"relu",8]', '[6,"relu",4]'),
        ('[1,"identity",8]', '[2,"identity",8]'),
        ('[6,"relu",8],', ""),
    ],
)
def test_metadata_that_make_no_sense_are_refused(tmp_path, old, new):
    data = sealed_bytes(pack_model(model("deepfm", (1, 1, 1)), origin()))
    old, new = (text.replace('"', '\\"').encode() for text in (old, new))
    assert data.count(old) == 1
    changed = data.replace(old, new + b" " * (len(old) - len(new)) if new else b" " * len(old))
    (tmp_path / "a.safetensors").write_bytes(changed)
    with pytest.raises(ArtifactError, match="is damaged"):
        fc.load(tmp_path / "a.safetensors")


def test_numbers_that_are_none_are_refused():
    packed = pack_model(model("nfm", (2, 1, 1)), origin())
    data = packed.network_data.copy()
    data[:4] = np.array([np.nan], dtype="<f4").view(np.uint8)
    damaged = CompressedFM.of(replace(packed, network_data=data))
    with pytest.raises(fc.CheckpointError, match="NaN"):
        _ = damaged.network
