"""The examples in other languages, built as docs/serving.md says: Python's numbers, and a message where one fails."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import fmcompress as fc
import fmcompress.serve
from fmcompress.artifact import save
from tests.docs.pages import ROOT, blocks
from tests.mixed import packed_mixed, random_rows

pytestmark = pytest.mark.slow

PAGE = ROOT / "docs" / "serving.md"
FMC = Path(fmcompress.serve.__file__).parent
COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)$", re.MULTILINE)
NEEDED = {
    "serving/c/score.c -I$FMC": ("cc",),
    "native/build": ("cc", "make", "ar"),
    "cpp/": ("c++",),
    "rust/": ("rustc", "cc"),
    "go/": ("go", "cc"),
    "java/": ("javac", "java", "cc"),
}
MODELS = {
    "demo": packed_mixed(8, "300 4x16 16", "70 raw raw", "5 shared 3", numeric=()),
    "kinds": packed_mixed(6, "9 2x4 4", "5 raw raw", pads=[0, 1], shared=(0,), numeric=(False, True)),
    "tiers": packed_mixed(5, "40 1x300 raw|90 raw:8 raw", numeric=(), link="identity"),
}
ROWS = 1100
"""More than an example scores at a time."""


def session(part):
    """Return the commands of the block of the page that builds a part of the examples, the last of which scores."""
    found = (
        block for block in blocks(PAGE, "console") if part in block and " artifact.safetensors < rows.txt" in block
    )
    return COMMAND.findall(next(found))


def text(ids, values, separator=","):
    rows = [[*map(str, own)] for own in ids.tolist()]
    for row, own in zip(rows, values.tolist(), strict=True):
        row.extend(map(repr, own))
    return "".join(separator.join(row) + "\n" for row in rows)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("artifacts")
    for name, model in MODELS.items():
        save(model, folder / name)
    return folder


class Example:
    """A program that has been built, in its folder."""

    def __init__(self, folder, part):
        (folder / "examples").symlink_to(ROOT / "examples")
        shutil.copytree(ROOT / "native", folder / "native", ignore=shutil.ignore_patterns("build"))
        *build, run = session(part)
        self.folder = folder
        self.program = run.removesuffix(" artifact.safetensors < rows.txt")
        assert self.program != run
        done = self.bash("\n".join(["set -e", *build]))
        assert done.returncode == 0, done.stderr

    def bash(self, script, **options):
        env = {**os.environ, "FMC": str(FMC), "GOCACHE": str(self.folder / "go"), "MAKEFLAGS": "-s", "CFLAGS": "-O0"}
        env.setdefault("JAVA_HOME", str(Path(shutil.which("javac") or "/").resolve().parents[1]))
        argv = ["bash", "--noprofile", "--norc", "-c", script]
        told = {"capture_output": True, "encoding": "utf-8"}
        return subprocess.run(argv, cwd=self.folder, env=env, check=False, **told, **options)

    def __call__(self, artifact, rows):
        return self.bash(f"{self.program} {shlex.quote(str(artifact))}", input=rows)


def needs(*programs):
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"there is no {program}")
    if not any(FMC.glob("libfmcompress.*")):
        pytest.skip("the native core has not been built")


@pytest.fixture(scope="module", params=NEEDED, ids=["c", "static", "cpp", "rust", "go", "java"])
def example(request, tmp_path_factory):
    needs(*NEEDED[request.param])
    return Example(tmp_path_factory.mktemp("example"), request.param)


@pytest.mark.parametrize("name", MODELS)
def test_the_numbers_are_those_of_python(example, artifacts, name):
    model = fc.load(artifacts / name)
    ids, values = random_rows(model.schema, ROWS)
    predictions = model.predict(ids, values if values.size else None)
    for separator in (",", " \t"):
        done = example(artifacts / name, text(ids, values, separator))
        assert (done.returncode, done.stderr) == (0, "")
        found = np.array(done.stdout.split(), dtype=float)
        assert all(re.fullmatch(r"-?\d+\.\d{6}", line) for line in done.stdout.splitlines())
        np.testing.assert_allclose(found, predictions, rtol=1e-6, atol=1.5e-6)


def test_no_rows_have_no_predictions(example, artifacts):
    done = example(artifacts / "kinds", "")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("0,0,0,0,0\n99,0,0,0,0\n", r"id 99 is out of range"),
        ("0,0,0,1e300,0\n", r"1e\+300"),
        ("0,0,0,0,0\n0,0,0,0\n", r"line 2: expected 3 ids and 2 values"),
        ("0,0,0,0,0,0\n", r"line 1: expected 3 ids and 2 values"),
        ("0,x,0,0,0\n", r"line 1: expected 3 ids and 2 values"),
    ],
)
def test_rows_that_cannot_be_scored_end_it_with_a_message(example, artifacts, rows, says):
    done = example(artifacts / "kinds", rows)
    assert done.returncode == 2
    assert re.fullmatch(rf"error: .*{says}.*\n", done.stderr)


def test_a_file_that_is_no_artifact_ends_it_with_a_message(example, artifacts, tmp_path):
    (tmp_path / "cut").write_bytes((artifacts / "demo").read_bytes()[:-1])
    done = example(tmp_path / "cut", "")
    assert done.returncode == 2
    assert re.fullmatch(r"error: .*cut: is damaged.*\n", done.stderr)
    done = example.bash(f"{example.program} größe.safetensors")
    assert done.returncode == 2
    assert re.fullmatch(r"error: .*größe.safetensors.*no such file\n", done.stderr)


SWAPPED = """
#include <stdio.h>
#include <string.h>

enum { ROWS = 7, CALLS = 400, SCORERS = 3 };

static float expected[2][ROWS];

/* Scores again and again: each time all rows by the one model or all by the other. */
static void *scorer(void *seen)
{
    int64_t ids[ROWS * 3] = {0};
    float predictions[ROWS];
    char message[FMC_MESSAGE_BYTES];
    for (int call = 0; call < CALLS; call++) {
        release *borrowed = borrow();
        if (fmc_predict_i64(borrowed->model, ids, NULL, ROWS, 1, predictions, message)) abort();
        give_back(borrowed);
        if (memcmp(predictions, expected[0], sizeof predictions) == 0) *(int *)seen |= 1;
        else if (memcmp(predictions, expected[1], sizeof predictions) == 0) *(int *)seen |= 2;
        else abort();
    }
    return NULL;
}

int main(void)
{
    const char *paths[] = {"old", "new"};
    char message[FMC_MESSAGE_BYTES];
    int64_t ids[ROWS * 3] = {0};
    for (int turn = 1; turn >= 0; turn--) {
        if (!reload(paths[turn], message)) abort();
        if (fmc_predict_i64(current->model, ids, NULL, ROWS, 1, expected[turn], message)) abort();
    }
    if (memcmp(expected[0], expected[1], sizeof *expected) == 0) abort();
    pthread_t threads[SCORERS];
    int seen[SCORERS] = {0};
    for (int number = 0; number < SCORERS; number++) pthread_create(&threads[number], NULL, scorer, &seen[number]);
    for (int turn = 1; turn <= 50; turn++) {
        if (!reload(paths[turn % 2], message)) abort();
        if (reload("broken", message)) abort();
    }
    for (int number = 0; number < SCORERS; number++) pthread_join(threads[number], NULL);
    puts(message);
    give_back(current);
    return 0;
}
"""


def test_a_model_is_swapped_while_threads_score(tmp_path):
    needs("cc")
    for seed, name in enumerate(("old", "new")):
        save(packed_mixed(8, "300 4x16 16", "70 raw raw", "5 shared 3", numeric=(), seed=seed), tmp_path / name)
    (tmp_path / "broken").write_bytes((tmp_path / "old").read_bytes()[:-1])
    (block,) = (block for block in blocks(PAGE, "c") if "reload" in block)
    (tmp_path / "swap.c").write_text(block + SWAPPED, encoding="utf-8")
    flags = ["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-Werror", "-g", "-pthread"]
    library = [f"-I{FMC}", f"-L{FMC}", f"-Wl,-rpath,{FMC}", "-lfmcompress"]
    subprocess.run(["cc", *flags, "swap.c", *library, "-o", "swap"], cwd=tmp_path, check=True)
    done = subprocess.run(["./swap"], cwd=tmp_path, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0
    assert "broken" in done.stdout


BAGS = """
#include <stdio.h>

int main(void)
{
    float predictions[2];
    char message[FMC_MESSAGE_BYTES];
    fmc_model *model;
    if (fmc_open("artifact", 0, &model, message) || score_bags(model, predictions, message)) return puts(message), 1;
    printf("%s %.9g %.9g", fmc_pooling_name(model, 1), (double)predictions[0], (double)predictions[1]);
    fmc_close(model);
    return 0;
}
"""


def test_bags_are_scored_from_c(tmp_path):
    needs("cc")
    model = packed_mixed(8, "30 4x16 16", "70 raw raw", numeric=(), poolings={"f1": "mean/sum"})
    save(model, tmp_path / "artifact")
    (block,) = (block for block in blocks(PAGE, "c") if "score_bags" in block)
    (tmp_path / "bags.c").write_text(block + BAGS, encoding="utf-8")
    library = [f"-I{FMC}", f"-L{FMC}", f"-Wl,-rpath,{FMC}", "-lfmcompress"]
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["cc", *flags, "bags.c", *library, "-o", "bags"], cwd=tmp_path, check=True)
    done = subprocess.run(["./bags"], cwd=tmp_path, capture_output=True, encoding="utf-8", check=True)
    pooling, *predictions = done.stdout.split()
    expected = model.predict([[3, -1], [5, -1]], bags={"f1": [[4, 8, 15], []]})
    assert pooling == "mean/sum"
    np.testing.assert_allclose(list(map(float, predictions)), expected, rtol=0, atol=1e-6)
