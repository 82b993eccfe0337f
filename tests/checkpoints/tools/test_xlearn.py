"""Genuine models of xLearn in both forms, instance-wise normalisation, and files that are wrong."""

import struct

import numpy as np
import pytest

from fmcompress.checkpoints import load_checkpoint
from fmcompress.errors import CheckpointError
from fmcompress.fm.field_specs import parse_fields
from fmcompress.fm.scorer import FMScorer
from tests.checkpoints.samples import FIELDS, FILES

from .test_libfm import read_ids

FOLDER = FILES / "xlearn"
TEXT, BINARY = FOLDER / "model.txt", FOLDER / "model.out"
GIVEN = {"fields": FIELDS, "instance_norm": True}


@pytest.mark.parametrize(("path", "link"), [(TEXT, "sigmoid"), (BINARY, None)])
def test_predictions_are_the_tools_own(path, link):
    ckpt = load_checkpoint(path, link=link, **GIVEN)
    assert (ckpt.source.tool, ckpt.dim, ckpt.link) == ("xLearn", 5, "sigmoid")
    np.testing.assert_allclose(FMScorer(ckpt).predict(read_ids()), np.loadtxt(FOLDER / "pred.txt"), atol=1e-5)


def test_normalisation_is_folded_only_where_there_is_one():
    folded = load_checkpoint(BINARY, **GIVEN)
    plain = load_checkpoint(BINARY, fields=FIELDS, instance_norm=False)
    np.testing.assert_allclose(folded.linear, plain.linear / np.sqrt(3), rtol=1e-6)
    np.testing.assert_allclose(folded.embeddings, plain.embeddings / 3, rtol=1e-6)
    assert folded.bias == plain.bias


def test_what_the_file_does_not_tell_must_be_given():
    with pytest.raises(CheckpointError, match="which fields its 23"):
        load_checkpoint(BINARY, instance_norm=True)
    with pytest.raises(CheckpointError, match="instance-wise normalisation") as caught:
        load_checkpoint(BINARY, fields=FIELDS)
    assert "--instance-norm" in caught.value.hint
    assert "--no-instance-norm" in caught.value.hint
    with pytest.raises(CheckpointError, match="how a logit becomes a prediction"):
        load_checkpoint(TEXT, **GIVEN)


def test_normalisation_of_numeric_fields_is_refused():
    fields = parse_fields("user:7,item:5,cat:10,price:numeric")
    with pytest.raises(CheckpointError, match="depends on the value of numeric field 'price'"):
        load_checkpoint(BINARY, fields=fields, instance_norm=True)
    ckpt = load_checkpoint(BINARY, fields=fields, instance_norm=False)
    assert ckpt.numeric.embeddings.shape == (1, 5)


def written(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"v_0: ", b"v_0_0: ", "field-aware model.*v_0_0:"),
        (b"i_3: ", b"i_4: ", "line 5 is i_4, expected 'i_3: …'"),
        (b"v_3: ", b"w_3: ", "line 28 is .* expected 'v_3: …'"),
        (b"v_3: ", b"v_3 ", "line 28 is .* expected 'v_3: …'"),
        (b"0.139029 ", b"", "line 26 has 5 numbers, expected 4"),
        (b"0.139029", b"inf", "line 25 has inf"),
        (b"bias: -0.912187", b"bias: 1 2", r"biases of shape \(1, 2\)"),
        (b"i_22: 0.0921806\n", b"", r"linear weights of \(22, 1\) and embeddings of \(23, 5\)"),
    ],
)
def test_wrong_lines_are_named(tmp_path, old, new, message):
    path = written(tmp_path / "fm.txt", TEXT.read_bytes().replace(old, new, 1))
    with pytest.raises(CheckpointError, match=rf"^fm\.txt: .*{message}"):
        load_checkpoint(path, link="sigmoid", **GIVEN)


def test_linear_models_are_refused(tmp_path):
    text = TEXT.read_bytes()
    path = written(tmp_path / "fm.txt", text[: text.index(b"v_0")])
    with pytest.raises(CheckpointError, match="linear model of xLearn"):
        load_checkpoint(path, link="sigmoid", **GIVEN)
    path = written(tmp_path / "fm.out", struct.pack("<Q6sQ7s", 6, b"linear", 7, b"squared") + bytes(40))
    with pytest.raises(CheckpointError, match="a linear model of xLearn: its score function is 'linear'"):
        load_checkpoint(path, **GIVEN)


def binary(score=b"fm", loss=b"squared", rows=2, dim=3, kept=2, padded=4, more=b""):
    """Return a model in binary form whose weights count up, as xLearn lays it out."""
    sizes = struct.pack("<6I", rows, 0, dim, kept, rows * kept, rows * kept * padded)
    numbers = np.arange(rows * kept + kept + rows * kept * padded, dtype="<f4").tobytes()
    names = b"".join(struct.pack("<Q", len(name)) + name for name in (score, loss))
    return names + sizes + numbers + more


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_values_of_the_optimizer_are_left_out(tmp_path, kept):
    path = written(tmp_path / "fm.out", binary(kept=kept))
    ckpt = load_checkpoint(path, fields=parse_fields("a:1,b:1"), instance_norm=False)
    assert ckpt.link == "identity"
    assert ckpt.linear.tolist() == [0, kept]
    assert ckpt.bias == 2 * kept
    np.testing.assert_array_equal(ckpt.embeddings[:, 0], [3 * kept, 7 * kept])
    np.testing.assert_array_equal(np.diff(ckpt.embeddings), 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (binary(score=b"ffm"), "a field-aware model .* 'ffm'"),
        (binary(loss=b"hinge"), "its loss is hinge, expected one of cross-entropy, squared"),
        (binary(dim=0), "it claims 2 rows of 0"),
        (binary(padded=3), "it claims 2 rows of 3"),
        (binary(more=b"x"), "bytes, expected"),
        (binary()[:-1], "bytes, expected"),
        (binary()[:30], "its sizes cannot be read"),
        (binary()[:12], "name of a score or a loss"),
        (binary(loss=b"x" * 100), "name of a score or a loss"),
        (struct.pack("<Q2sQ7s6I", 2, b"fm", 7, b"squared", 2**30, 0, 1, 1, 2**30, 0), "it claims 1,073,741,824 rows"),
    ],
)
def test_damaged_binary_files_are_refused(tmp_path, content, message):
    path = written(tmp_path / "fm.out", content)
    with pytest.raises(CheckpointError, match=rf"^fm\.out: .*{message}"):
        load_checkpoint(path, fields=parse_fields("a:1,b:1"), instance_norm=False)
