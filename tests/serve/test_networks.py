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
from fmcompress.serve.native_library import native_library
from fmcompress.serve.native_scorer import NativeScorer
from fmcompress.serve.numpy_scorer import NumpyScorer
from tests import networks
from tests.mixed import mixed, random_bags, random_rows
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
    expected = sigmoid(networks.logits(ckpt, rows))
    for scorer in (packed, NumpyScorer(packed)):
        found = scorer.predict(rows.ids, rows.values, bags=rows.bags)
        np.testing.assert_allclose(found, expected, atol=1e-5)


SIZES = [
    (1, (1,), "relu"), (5, (), "relu"), (8, (8, 7), "leaky_relu"), (16, (16, 33, 5), "sigmoid"),
    (24, (100, 3), "tanh"), (40, (17, 64), "elu"), (521, (9,), "identity"), (64, (1500, 30), "relu"),
]  # fmt: skip
"""Embedding size, hidden layers and their activation."""


@pytest.mark.parametrize("isa", ["portable", "avx2", "avx512", "neon"])
@pytest.mark.parametrize(("dim", "hidden", "activation"), SIZES)
def test_the_native_core_predicts_as_numpy(monkeypatch, isa, dim, hidden, activation):
    if isinstance(native_library(), str):
        pytest.skip("there is no native core")
    monkeypatch.setenv("FMCOMPRESS_ISA", isa)
    subspaces = min(dim, 4)
    described = (f"30 {subspaces}x8 4 | 6 raw raw", "9 raw raw", f"25 1x16:8 raw | 15 {subspaces}x4:32 2", "7 shared 3")
    for seed, kind in enumerate(networks.KINDS):
        own = mixed(
            dim, *described, pads=(0, 3, None, None), shared=(2, 0, 2), numeric=(False, True, False), link="identity",
            poolings={"f1": "mean", "s1": "sum", "s0": "sqrtn/sum"}, seed=seed,
        )  # fmt: skip
        value_bytes = [(1, 2, 4)[(seed + number) % 3] for number in range(len(hidden) + 1)]
        own = networks.quantized_with(own, kind, tuple(value_bytes), hidden=hidden, activation=activation)
        packed = pack_model(own, origin())
        ids, values = random_rows(packed.schema, 1100)
        bags = random_bags(packed.schema, ids)
        expected = NumpyScorer(packed).predict(ids, values, bags=bags)
        native = NativeScorer(packed)
        found = native.predict(ids, values, bags=bags)
        tolerance = 2e-6 * max(1, float(np.abs(expected).max()))
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
        # A row has one prediction, whatever stands beside it.
        np.testing.assert_array_equal(native.predict(ids.astype(np.int64), values, bags=bags, threads=2), found)
        for rows in (slice(1), slice(6), slice(40, 77)):
            own_bags = {name: bag.take(rows) for name, bag in bags.items()}
            np.testing.assert_array_equal(native.predict(ids[rows], values[rows], bags=own_bags), found[rows])


def test_wrong_rows_are_told_by_both_scorers_in_the_same_words():
    packed = pack_model(model("deepfm", (1, 1, 1)), origin())
    ids, values = random_rows(packed.schema, 50)
    bags = random_bags(packed.schema, ids)
    wrong = [(ids.copy(), values.copy(), {**bags}) for _ in range(4)]
    wrong[0][0][37, 0] = 10**6
    wrong[1][1][41, 0] = np.inf
    wrong[2][2]["f1"] = replace(bags["f1"], ids=np.full_like(bags["f1"].ids, 99))
    wrong[3][0][44, packed.schema.id_names.index("f1")] = 2
    for rows in wrong:
        said = []
        for scorer in (NumpyScorer(packed), CompressedFM.of(packed)):
            with pytest.raises(fc.DataError) as caught:
                scorer.predict(*rows[:2], bags=rows[2])
            said.append(str(caught.value))
        assert said[0] == said[1]


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
