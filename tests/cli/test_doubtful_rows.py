"""Rows that say too little: gates that do not pass for them, and warnings that --quiet shows too."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fmcompress as fc

pytestmark = pytest.mark.slow

FEW = "warning: there are 19 training rows: tuning takes 1,000 or more, and what is fitted to fewer may be chance\n"


@pytest.fixture(scope="module")
def doubtful(files, tmp_path_factory):
    """Return a function that writes rows of the test data, changed, and returns their file."""
    folder = tmp_path_factory.mktemp("doubtful")
    table = pq.read_table(files.test)
    labels = table["label"].to_numpy()

    def written(name):
        clicked, others = (np.flatnonzero(labels == label) for label in (1, 0))
        made = {
            "three": lambda: table.take(np.concatenate([others, clicked[:3]])),
            "none": lambda: table.take(others),
            "twenty": lambda: table.slice(0, 20),
            "no city": lambda: table.set_column(
                table.column_names.index("city"), "city", pa.nulls(len(labels), pa.int32())
            ),
        }[name]()
        pq.write_table(made, folder / f"{name}.parquet")
        return folder / f"{name}.parquet"

    return written


LIMITS = ("--min-auc", "0.5", "--max-auc-drop", "0.2", "--max-logloss-rise", "50%")


def test_three_clicks_judge_nothing(here, files, doubtful):
    few = doubtful("three")
    limits = ("--baseline", files.fm, *LIMITS)
    assert here("check", files.tuned, "--data", files.test, *limits).stdout.count("  pass") == 3
    done = here("check", files.tuned, "--data", few, *limits, "--max-size", "6KB", "--exit-zero", rc=2)
    assert done.stdout.count("not judged\n") == 3
    assert "3 of 2," in done.stdout
    assert "error: 3 of 4 checks could not be judged: min-auc: " in done.stderr
    assert "have label 1, too few to judge by: expected 30 or more of each label" in done.stderr
    found = json.loads(here("check", files.tuned, "--data", few, *limits, "--format", "json", rc=2).stdout)
    assert [check["passed"] for check in found["checks"]] == [None] * 3
    assert all(check["standard_error"] > 0 for check in found["checks"])
    marked = here("check", files.tuned, "--data", few, *limits, "--format", "github", rc=2).stdout
    assert marked.count("::error title=") == 3


def test_confidence_decides(here, files):
    arguments = ("check", files.ptq, "--data", files.test, "--baseline", files.fm, "--format", "json")
    found = json.loads(here(*arguments, "--max-auc-drop", "1").stdout)["checks"][0]
    assert found["confidence"] is found["upper"] is None
    actual, error = found["actual"], found["standard_error"]
    for limit, code in ((actual + 2 * error, 0), (actual + error, 2), (max(0, actual - 2 * error), 1)):
        if limit == 0:
            continue
        done = here(*arguments, "--max-auc-drop", f"{limit:.9f}", "--confidence", "0.95", rc=code)
        found = json.loads(done.stdout)["checks"][0]
        assert found["passed"] is {0: True, 1: False, 2: None}[code]
        assert found["lower"] < found["actual"] < found["upper"]
    assert "some " in json.loads(here(*arguments, "--max-auc-drop", f"{actual + error:.9f}", "--confidence", "0.95",
                                      rc=2).stdout)["checks"][0]["reason"]  # fmt: skip


def test_confidence_makes_sense_or_is_refused(here, files, tmp_path):
    scores = ("check", files.ptq, "--data", files.test, "--min-auc", "0.5")
    assert "confidence is 95.0, expected a number from 0.5" in here(*scores, "--confidence", "95", rc=2).stderr
    assert "--confidence is 'high', expected a number" in here(*scores, "--confidence", "high", rc=2).stderr
    sizes = ("check", files.ptq, "--max-size", "6KB")
    assert "no limit of a score" in here(*sizes, "--confidence", "0.9", rc=2).stderr
    (tmp_path / "release.toml").write_text("[check]\nconfidence = 0.9\n")
    assert "90% bounds" in here("--config", tmp_path / "release.toml", *scores).stdout
    here("--config", tmp_path / "release.toml", *sizes)  # a setting for other gates


def test_every_report_has_the_standard_error(here, files):
    score = fc.evaluate(fc.load(files.tuned), files.test)
    shown = f"{score.auc:.5f} ± {score.auc_standard_error:.5f}"
    done = here("evaluate", files.fm, files.tuned, "--data", files.test)
    assert shown in done.stdout
    assert done.stdout.count("±") == 3  # and of the difference
    assert shown in here("compare", files.ptq, files.tuned, "--data", files.test).stdout
    assert shown in here("check", files.tuned, "--data", files.test, "--min-auc", "0.5").stdout
    quality = json.loads(here("report", files.tuned, "--format", "json").stdout)["quality"]["artifact"]
    shown = f"{quality['auc']:.5f} ± {quality['auc_standard_error']:.5f}"
    for format_ in (["text"], ["markdown"], ["html"], ["github"], ["markdown", "--card"]):
        assert shown in here("report", files.tuned, "--format", *format_).stdout
    done = here("sweep", files.fm, "--budgets", "4KB", "--data", files.test)
    assert "the checkpoint's AUC with a standard error of 0.0" in done.stdout


@pytest.mark.parametrize("method", ["auto", "lightfm"])
def test_quantize_warns_of_a_few_rows(here, files, doubtful, method):
    how = ("--epochs", "1", "--method", method, *(() if method == "auto" else ("--codewords", "16")))
    done = here("--quiet", "quantize", files.fm, "--budget", "9KB", "--train", doubtful("twenty"), *how, "-o", "a")
    first, second = done.stderr.splitlines(keepends=True)
    assert first == FEW
    assert second.startswith("warning: the only validation row has label ")
    told = "there are 19 training rows; the only validation row has label"
    for format_ in (["text"], ["markdown"], ["markdown", "--card"]):
        assert told in here("report", "a", "--format", *format_).stdout
    assert "<strong>Warning:</strong> there are 19 training rows" in here("report", "a", "--format", "html").stdout
    assert here("report", "a", "--format", "github").stdout.startswith("::warning ")
    assert json.loads(here("report", "a", "--format", "json").stdout)["warnings"][0] == "there are 19 training rows"


def test_quantize_warns_of_one_label_and_of_fields_that_do_not_occur(here, files, doubtful):
    rest = ("--budget", "6KB", "--epochs", "1", "--force", "-o", "a")
    done = here("--quiet", "quantize", files.fm, "--train", doubtful("none"), "--valid", files.test, *rest)
    assert done.stderr.startswith("warning: all 2,")
    assert done.stderr.endswith(" training rows have label 0: what is fitted to them cannot tell labels apart\n")
    done = here("-q", "quantize", files.fm, "--train", files.test, "--valid", doubtful("none"), *rest)
    assert " validation rows have label 0: the state that is chosen by them may be chance\n" in done.stderr
    done = here("-q", "quantize", files.fm, "--train", doubtful("no city"), "--valid", files.test, *rest)
    assert done.stderr == (
        "warning: no training row has a value of field 'city': it is stored as if none of its categories mattered\n"
    )
    assert here("-q", "quantize", files.fm, "--train", files.test, "--valid", files.test, *rest).stderr == ""


def test_sweep_warns_once(here, files, doubtful):
    done = here("-q", "sweep", files.fm, "--budgets", "4KB,6KB", "--train", doubtful("twenty"), "--epochs", "1")
    assert done.stderr.count("training rows") == 1


def test_train_warns_or_refuses(here, files, doubtful):
    how = ("--epochs", "1", "--l2", "1e-3", "--lr", "1e-3", "--dim", "4", "-o", "fm.pt")
    done = here("--quiet", "train", doubtful("none"), "--valid", files.test, *how, rc=2)
    assert " training rows have label 0, expected 0 and 1: there is nothing to tell apart\n" in done.stderr
    done = here("--quiet", "train", doubtful("twenty"), *how)
    assert done.stderr.startswith(FEW)
    assert here("-q", "train", files.test, "--valid", files.test, *how, "--force").stderr == ""


def test_python_warns_as_python_does(files, doubtful):
    checkpoint = fc.load_checkpoint(files.fm)
    with pytest.warns(fc.FMCompressWarning, match="there are 20 training rows"):
        fc.quantize(checkpoint, "6KB", train=doubtful("twenty"), valid=files.test, tuning=fc.TuneOptions(epochs=0))
