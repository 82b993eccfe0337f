"""Genuine models of libFM, the parts that they may lack, and lines that are wrong."""

import numpy as np
import pytest

from fmcompress.checkpoints import load_checkpoint
from fmcompress.errors import CheckpointError
from fmcompress.fm.field_specs import parse_fields
from fmcompress.fm.scorer import FMScorer
from tests.checkpoints.samples import FIELDS, FILES

FOLDER = FILES / "libfm"
MODEL = FOLDER / "model_clf_sgd.txt"


def read_ids(path=FOLDER / "test.libfm"):
    """Return the ids of rows ``label 0:1 10:1 22:1``, counted from 0 in each field."""
    rows = [[int(word.split(":")[0]) for word in line.split()[1:]] for line in path.read_text().splitlines()]
    return np.array(rows) - FIELDS.offsets


@pytest.mark.parametrize(
    ("name", "link", "dim"),
    [("clf_sgd", "sigmoid", 4), ("nolin_sgd", "sigmoid", 4), ("k1_sgd", "sigmoid", 1), ("reg_als", "clip:0:1", 4)],
)
def test_predictions_are_the_tools_own(name, link, dim):
    ckpt = load_checkpoint(FOLDER / f"model_{name}.txt", fields=FIELDS, link=link)
    assert (ckpt.source.tool, ckpt.dim, ckpt.link) == ("libFM", dim, link)
    expected = np.loadtxt(FOLDER / f"pred_{name}.txt")
    np.testing.assert_allclose(FMScorer(ckpt).predict(read_ids()), expected, atol=1e-5)


def test_absent_parts_are_zeros(tmp_path):
    path = tmp_path / "fm.txt"
    path.write_text("#pairwise interactions Vj,f\n1 2\n3 4\n5 6\n")
    ckpt = load_checkpoint(path, fields=parse_fields("a:2,price:numeric"), link="identity")
    assert ckpt.bias == 0
    np.testing.assert_array_equal(ckpt.linear, [0, 0])
    np.testing.assert_array_equal(ckpt.embeddings, [[1, 2], [3, 4]])
    np.testing.assert_array_equal(ckpt.numeric.embeddings, [[5, 6]])


def test_windows_line_ends(tmp_path):
    (tmp_path / "fm.txt").write_bytes(MODEL.read_bytes().replace(b"\n", b"\r\n"))
    found = load_checkpoint(tmp_path / "fm.txt", fields=FIELDS, link="sigmoid")
    np.testing.assert_array_equal(found.embeddings, load_checkpoint(MODEL, fields=FIELDS, link="sigmoid").embeddings)


def test_fields_and_link_must_be_given():
    with pytest.raises(CheckpointError, match="which fields its 23 categories belong to") as caught:
        load_checkpoint(MODEL)
    assert "--fields" in caught.value.hint
    with pytest.raises(CheckpointError, match="how a logit becomes a prediction") as caught:
        load_checkpoint(MODEL, fields=FIELDS)
    assert "--link" in caught.value.hint
    with pytest.raises(CheckpointError, match="23 rows, but its fields have 12"):
        load_checkpoint(MODEL, fields=parse_fields("user:7,item:5"), link="sigmoid")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("-0.11346\n", "nan\n", r"line 4 has nan, expected a finite number"),
        ("-0.11346\n", "1e39\n", r"line 4 has 1e39, expected a finite number"),
        ("-0.11346\n", "1_0\n", r"line 4 has 1_0, expected a finite number"),
        ("-0.11346\n", "0,11\n", r"line 4 has 0,11, expected a finite number"),
        ("-0.11346\n", "\n", r"line 4 has 0 numbers"),
        ("-0.11346\n", "1 2\n", r"line 5 has 1 numbers, expected 2"),
        ("-1.13968\n", "1\n2\n", r"biases of shape \(2, 1\)"),
        ("-1.13968\n", "", r"biases of shape \(0, 0\)"),
        ("-0.11346\n", "", r"linear weights of \(22, 1\) and embeddings of \(23, 4\)"),
        (" -0.332802 ", " ", r"line 29 has 4 numbers, expected 3"),
        (" 0.181298\n", "\n", r"line 50 has 3 numbers, expected 4"),
        ("#unary", "#cubic", r"line 3 is '#cubic interactions Wj', expected a header"),
        ("#unary interactions Wj", "#global bias W0", r"line 3 is .* expected a header of libFM that was not there"),
        ("#unary", "one\n#unary", r"line 3 has one"),
    ],
)
def test_wrong_lines_are_named(tmp_path, old, new, message):
    path = tmp_path / "fm.txt"
    path.write_text(MODEL.read_text().replace(old, new, 1))
    with pytest.raises(CheckpointError, match=rf"^fm\.txt: .*{message}"):
        load_checkpoint(path, fields=FIELDS, link="sigmoid")


def test_wrong_line_far_down_is_named(tmp_path):
    path = tmp_path / "fm.txt"
    path.write_text("#pairwise interactions Vj,f\n" + "0.5 1\n" * 20_000 + "0.5 x\n" + "0.5 1\n" * 10)
    with pytest.raises(CheckpointError, match="line 20,002 has x"):
        load_checkpoint(path, fields=parse_fields("a:20011"), link="sigmoid")


def test_file_that_ends_early(tmp_path):
    path = tmp_path / "fm.txt"
    whole = MODEL.read_text()
    for end in range(len("#global bias W0"), len(whole) - len("0.181298\n"), 7):
        path.write_text(whole[:end])
        with pytest.raises(CheckpointError, match=r"^fm\.txt: "):
            load_checkpoint(path, fields=FIELDS, link="sigmoid")


def test_linear_model_is_refused(tmp_path):
    path = tmp_path / "fm.txt"
    path.write_text("#global bias W0\n1\n#unary interactions Wj\n1\n2\n#pairwise interactions Vj,f\n\n\n")
    with pytest.raises(CheckpointError, match="no embeddings: it is a linear model"):
        load_checkpoint(path, fields=parse_fields("a:2"), link="sigmoid")
