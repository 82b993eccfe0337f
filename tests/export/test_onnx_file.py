"""An ONNX file predicts in onnxruntime what the model does, and is hardly larger."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fmcompress as fc
from docs.golden.models import GOLDEN
from fmcompress.errors import DependencyError, OutputError, UsageError
from fmcompress.export import onnx_file
from fmcompress.export.columns import WRONG_ID
from fmcompress.export.onnx_file import onnx_model
from fmcompress.export.scoring import WRONG_VALUE
from tests import kinds
from tests.docs.test_golden import bags_of, golden
from tests.export.runtime import Runtime, assert_scored_alike, onnx, padded
from tests.mixed import LINKS, mixed_models, packed_mixed, random_rows
from tests.models import EVERY_SHAPE, origin, pack_model, packed, random_ids

ELSEWHERE = sorted((Path(__file__).parents[1] / "artifact" / "elsewhere").glob("*.safetensors"))
EVERY_KIND = ("300 2x16 4 | 200 raw:8 3 | 50 raw raw", "40 b84 raw", "9 raw raw")


def every_kind(**changes):
    return packed_mixed(5, *EVERY_KIND, pads=[3, None, 0], shared=[0, 2], numeric=[False, True], **changes)


@pytest.mark.parametrize("shape", EVERY_SHAPE)
def test_every_way_of_storing_is_scored_alike(shape):
    model = packed(*EVERY_SHAPE[shape], seed=3)
    for rows, missing in ((0, 0.0), (1, 0.0), (60, 0.0), (60, 0.4), (2, 1.0)):
        assert_scored_alike(model, random_ids(model.schema, rows, missing=missing))


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(model=mixed_models(), rows=st.sampled_from([0, 1, 2, 70]), seed=st.integers(0, 9))
def test_any_model_is_scored_alike(model, rows, seed):
    packed_model = pack_model(model, origin())
    assert_scored_alike(packed_model, *random_rows(model.schema, rows, seed=seed))


@pytest.mark.parametrize("link", LINKS)
def test_every_link_and_kind_of_field_is_scored_alike(link):
    model = every_kind(link=link)
    assert_scored_alike(model, *random_rows(model.schema, 80))


def test_nothing_depends_on_what_the_runtime_makes_better():
    model = every_kind()
    assert_scored_alike(model, *random_rows(model.schema, 30), optimised=False)


@pytest.mark.parametrize("path", ELSEWHERE, ids=lambda path: path.stem)
def test_artifacts_from_elsewhere_are_scored_alike(path):
    with np.load(path.with_suffix(".npz")) as kept:
        rows = {name: kept[name] for name in ("ids", "values") if name in kept}
        found = Runtime(onnx_model(fc.load(path))).predict(**rows)
        np.testing.assert_allclose(found, kept["predictions"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_vectors_are_scored_alike(name):
    expected, model = golden(name), GOLDEN[name].packed(name)
    rows = padded(model.schema, expected["ids"], bags_of(expected))
    exported = onnx_model(model, weights=bool(model.schema.poolings))
    found = Runtime(exported).predict(values=expected["values"], **rows)
    np.testing.assert_allclose(found, expected["predictions"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "name", ["raw", "raw-int8", "shared", "codes", "unequal-codes", "uneven-subspaces", "numeric", "clip"]
)
def test_another_runtime_scores_alike(name):
    """The evaluator of the package onnx itself, which takes numbers from small tables only."""
    from onnx.reference import ReferenceEvaluator

    expected = golden(name)
    rows = {"ids": expected["ids"], "values": expected["values"].astype(np.float32)}
    evaluator = ReferenceEvaluator(onnx_model(GOLDEN[name].packed(name)))
    (found,) = evaluator.run(None, {name: rows[name] for name in evaluator.input_names})
    np.testing.assert_allclose(found, expected["predictions"], rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("link", kinds.LINKS)
def test_a_quantized_checkpoint_is_scored_alike(link):
    checkpoint = kinds.checkpoint(link)
    rows = kinds.batch(checkpoint, 50)
    assert_scored_alike(fc.quantize(checkpoint, "4KB", device="cpu"), rows.ids, rows.values)


def test_values_of_any_size_are_computed_in_double():
    model = packed_mixed(3, "4 raw raw", numeric=[False, False, True], link="identity")
    ids, values = random_rows(model.schema, 20)
    assert_scored_alike(model, ids, values * 1e4)


LARGE = {
    "codes": (16, "100000 8x256 16", "30000 4x64 raw", "500 raw raw"),
    "tiers": (8, "60000 2x256 4 | 300000 1x16 2 | 300000 shared shared", "120000 4x64 16 | 150000 2x16:8 2"),
    "raw": (16, "30000 raw raw", "30000 raw:8 raw", "60 raw raw"),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", LARGE)
def test_the_file_is_at_most_a_tenth_larger(what):
    model = packed(*LARGE[what])
    assert 10**6 < model.file_bytes < 2 * 10**6
    assert assert_scored_alike(model, random_ids(model.schema, 200)) <= 1.05 * model.file_bytes


MIDDLING = {
    "codes": (16, "30000 4x64 8", "5000 2x16 4"),
    "tiers": (8, "14000 4x64:8 8 | 40000 2x16:8 4", "3000 raw:8 raw | 50000 1x16 4 | 90000 shared shared"),
    "many fields": (8, *["300 raw:8 raw | 4000 2x64:8 8"] * 20, *["99 raw raw"] * 10),
}


@pytest.mark.parametrize("what", MIDDLING)
def test_so_it_is_from_some_100_kilobytes_on(what):
    model = packed(*MIDDLING[what])
    assert 80_000 < model.file_bytes < 250_000
    assert onnx_model(model).ByteSize() <= 1.1 * model.file_bytes


def test_small_files_are_larger_by_some_kilobytes():
    for shape in EVERY_SHAPE.values():
        model = packed(*shape)
        assert onnx_model(model).ByteSize() <= 1.1 * model.file_bytes + 16_000


@pytest.mark.parametrize("wrong", [-2, -(2**63), 40, 2**31, 2**62])
def test_an_id_out_of_range_fails_and_says_so(wrong):
    model = packed(4, "40 2x4 4", "41 raw raw", "7 1x2 raw | 9 raw raw")
    runtime = Runtime(onnx_model(model))
    ids = np.zeros((5, 3), np.int64)
    runtime.predict(ids)
    ids[3, 0] = wrong
    with pytest.raises(Exception, match=WRONG_ID):
        runtime.predict(ids)


def test_the_id_of_a_larger_field_is_out_of_range_of_a_smaller_one():
    runtime = Runtime(onnx_model(packed(4, "40 2x4 4", "41 raw raw", "7 1x2 raw | 9 raw raw")))
    runtime.predict([[39, 40, 15]])
    for ids in ([40, 0, 0], [0, 41, 0], [0, 0, 16]):
        with pytest.raises(Exception, match=WRONG_ID):
            runtime.predict([ids])


def test_an_infinite_value_fails_and_says_so():
    runtime = Runtime(onnx_model(every_kind()))
    names = runtime.names
    values = np.zeros((2, len(names["values"])))
    values[1, 0] = np.inf
    with pytest.raises(Exception, match=WRONG_VALUE):
        runtime.predict(np.full((2, len(names["ids"])), -1), values)


def test_nothing_is_shifted_by_64_bits():
    """Runtimes disagree on what that gives."""
    for shape in EVERY_SHAPE.values():
        graph = onnx_model(packed(*shape)).graph
        constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
        by = [node.input[1] for node in graph.node if node.op_type == "BitShift"]
        assert all(int(constants[name].max()) < 64 for name in by if name in constants)


def test_the_same_model_gives_the_same_bytes_and_says_which_it_is(tmp_path):
    model = every_kind()
    model.save(tmp_path / "a")
    fc.export_onnx(model, tmp_path / "a.onnx")
    size = fc.export_onnx(fc.load(tmp_path / "a"), tmp_path / "b.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert size == (tmp_path / "b.onnx").stat().st_size
    names = Runtime(tmp_path / "b.onnx").names
    assert names["ids"] == list(model.schema.id_names)
    assert names["values"] == list(model.schema.numeric_names)
    assert names["link"] == model.link
    assert names["sha256"].encode() in (tmp_path / "a").read_bytes()


def test_errors_are_told_before_anything_is_written(tmp_path, monkeypatch):
    model = every_kind()
    (tmp_path / "there.onnx").write_text("")
    with pytest.raises(OutputError, match="exists"):
        fc.export_onnx(model, tmp_path / "there.onnx")
    fc.export_onnx(model, tmp_path / "there.onnx", force=True)
    with pytest.raises(UsageError, match="carries no vocabulary"):
        fc.export_onnx(model, tmp_path / "new.onnx", tokens=True)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(DependencyError, match="the package onnx") as caught:
        fc.export_onnx(model, tmp_path / "new.onnx")
    assert "fmcompress[onnx]" in caught.value.hint
    monkeypatch.setattr(onnx_file, "_LARGEST_BYTES", 1000)
    with pytest.raises(UsageError, match=r"the model has [\d,]+ bytes, one file of ONNX holds 1,000"):
        fc.export_onnx(model, tmp_path / "new.onnx")
    assert not (tmp_path / "new.onnx").exists()


def test_the_command_writes_what_the_function_does(tmp_path, fmcompress):
    model = every_kind()
    model.save(tmp_path / "a.safetensors")
    fc.export_onnx(model, tmp_path / "expected.onnx")
    done = fmcompress("export", "a.safetensors", "--format", "onnx", "-o", "model.onnx")
    size = (tmp_path / "model.onnx").stat().st_size
    assert (tmp_path / "model.onnx").read_bytes() == (tmp_path / "expected.onnx").read_bytes()
    assert done.stdout.startswith("model.onnx has ")
    assert f"({size:,} bytes), " in done.stdout


def test_the_command_errs_in_one_line(here, tmp_path):
    every_kind().save(tmp_path / "a.safetensors")
    here("export", "a.safetensors", "-o", "a.onnx")
    again = here("export", "a.safetensors", "-o", "a.onnx", rc=2).stderr
    assert "--force" in again
    assert again.count("\n") == 1
    assert "input of this job" in here("export", "a.safetensors", "-o", "a.safetensors", "--force", rc=2).stderr
    assert "vocabulary" in here("export", "a.safetensors", "-o", "b.onnx", "--tokens", rc=2).stderr
    (tmp_path / "b.safetensors").write_bytes(b"nothing")
    assert "b.safetensors" in here("export", "b.safetensors", "-o", "b.onnx", rc=2).stderr


def test_a_pad_is_missing_in_all_fields_of_its_table():
    model = every_kind()
    runtime = Runtime(onnx_model(model))
    ids, values = random_rows(model.schema, 30)
    pads = model.schema.pads
    padded = np.where((ids == -1) & (pads >= 0), pads, ids)
    assert (padded != ids).any()
    np.testing.assert_array_equal(runtime.predict(ids, values), runtime.predict(padded, values))


def test_a_vocabulary_stays_out_unless_it_is_asked_for():
    names = [[tensor.name for tensor in onnx_model(every_kind(vocabulary=v)).graph.initializer] for v in (True, False)]
    assert names[0] == names[1]
