"""The example of a model server, asked by a client while its artifact is replaced."""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from tests.mixed import packed_mixed, random_rows

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[2] / "examples" / "serving" / "http"
MODELS = [
    packed_mixed(4, "30 2x4 4", "5 raw raw", pads=[0, None], numeric=(False,), poolings={"f1": "mean"}, seed=seed)
    for seed in (1, 2)
]
IDS, VALUES = random_rows(MODELS[0].schema, 30)
ROWS = {
    "ids": [[None if number < 0 else number for number in row] for row in IDS.tolist()],
    "values": [[None if np.isnan(number) else number for number in row] for row in VALUES.tolist()],
}


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Server:
    """A server process, and the folder with its artifact."""

    def __init__(self, folder):
        self.artifact = folder / "artifact.safetensors"
        self.releases = {}
        for name, model in zip(("old", "new"), MODELS, strict=True):
            path = folder / f"{name}.safetensors"
            model.save(path)
            self.releases[digest(path)] = model.predict(IDS, VALUES)
        self.put("old")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "server:app", "--port", "0"],
            cwd=FOLDER,
            env={**os.environ, "ARTIFACT": str(self.artifact), "PYTHONDONTWRITEBYTECODE": "1"},
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        self.told = []
        for line in self.process.stderr:
            self.told.append(line)
            if found := re.search(r"running on (http://[\d.:]+)", line):
                self.url = found[1]
                break
        else:
            raise AssertionError("".join(self.told))

    def put(self, name):
        """Put a release in place as an operator does: beside, then by a rename."""
        beside = self.artifact.with_name("beside")
        beside.write_bytes(self.artifact.with_name(f"{name}.safetensors").read_bytes())
        beside.replace(self.artifact)

    def ask(self, path, body=None):
        """Return the status of an answer, and the answer."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def assert_scores(self, release):
        status, answer = self.ask("/predict", ROWS)
        assert status == 200, answer
        assert answer["sha256"] == digest(self.artifact.with_name(f"{release}.safetensors"))
        self.assert_right(answer)

    def assert_right(self, answer):
        np.testing.assert_allclose(answer["predictions"], self.releases[answer["sha256"]], rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("served"))
    yield server
    server.process.terminate()
    server.process.wait(60)
    server.process.stderr.close()


@pytest.fixture
def server(started):
    """Return the server with the old release in place."""
    started.put("old")
    return started


def test_rows_are_scored(server):
    server.assert_scores("old")
    assert server.ask("/predict", {"ids": [], "values": []})[1]["predictions"] == []


def test_what_a_row_is_made_of(server):
    schema = MODELS[0].schema
    status, answer = server.ask("/model")
    assert (status, answer["ids"], answer["values"]) == (200, list(schema.id_names), ["n0"])
    assert answer["bags"] == ["f1"]


def test_several_values_in_a_row_are_scored(server):
    rows = {"ids": [[3, None], [None, None]], "values": [[0.5], [None]], "bags": {"f1": [[4, 2, 4], []]}}
    status, answer = server.ask("/predict", rows)
    assert status == 200
    expected = MODELS[0].predict([[3, -1], [-1, -1]], [[0.5], [np.nan]], bags=rows["bags"])
    np.testing.assert_allclose(answer["predictions"], expected, rtol=0, atol=1e-6)
    for wrong, says in (({"f1": [[5], []]}, "row 0, field 'f1': id 5 is out of range"), ({"f0": [[1], []]}, "'f0'")):
        status, answer = server.ask("/predict", rows | {"bags": wrong})
        assert status == 400
        assert says in json.dumps(answer)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"ids": [[99, 0]], "values": [[0]]}, r"99"),
        ({"ids": [[0, 0], [0]], "values": [[0], [0]]}, r"ids\.1: 1 numbers, expected 2"),
        ({"ids": [[0, 0]]}, "values"),
        ({"ids": [["x", 0]], "values": [[0]]}, r"ids\.0\.0.*: Input should be a valid integer"),
        ({"ids": [[10**30, 0]], "values": [[0]]}, r"ids\.0\.0"),
        ({"rows": []}, "ids: Field required"),
        (b"{", "JSON decode error"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(server, body, says):
    status, answer = server.ask("/predict", body)
    assert status == 400
    assert re.search(says, answer["error"])
    assert "\n" not in answer["error"]
    server.assert_scores("old")


def test_a_new_file_is_taken_up_and_a_broken_one_is_not(server):
    server.put("new")
    server.assert_scores("new")
    server.artifact.with_name("broken.safetensors").write_bytes(server.artifact.read_bytes()[:-1])
    server.put("broken")
    server.assert_scores("new")
    server.artifact.unlink()
    server.assert_scores("new")
    server.put("old")
    server.assert_scores("old")


def test_requests_that_run_while_the_file_is_replaced_are_all_answered(server):
    found, errors = set(), []

    def score():
        status, answer = server.ask("/predict", ROWS)
        assert status == 200, answer
        server.assert_right(answer)
        found.add(answer["sha256"])

    def client():
        try:
            for _ in range(25):
                score()
        except Exception as error:
            errors.append(error)

    clients = [threading.Thread(target=client) for _ in range(3)]
    for thread in clients:
        thread.start()
    for turn in range(8):
        server.put("new" if turn % 2 == 0 else "old")
        score()
    for thread in clients:
        thread.join()
    assert not errors
    assert found == set(server.releases)
