"""A model server: scores rows over HTTP, and takes up a new file in the artifact's place between two requests.

    ARTIFACT=artifact.safetensors uvicorn server:app

POST /predict with {"ids": [[3, null, 7], …], "values": [[0.5], …]} returns {"predictions": [0.123, …], "sha256": "…"}.
Fields with several values in a row may be given beside: "bags": {"genres": [[4, 8, 15], …]}; their ids are null.
"""

import hashlib
import logging
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

import fmcompress as fc

MOST_ROWS = 100_000

Id = Annotated[int, Field(ge=-1, lt=2**31)]
Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class Release:
    """An artifact in memory, the SHA-256 of its file, and what tells that the file is another one."""

    model: fc.CompressedFM
    sha256: str
    stamp: Stamp


class Served:
    """The artifact at a path. Its file is replaced by renaming another one to it, never written to in place."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._loading = threading.Lock()
        self._current = load(path)
        self._refused: Stamp | None = None

    def current(self) -> Release:
        """Return the release that is in place. One request loads what is new; others go on with the old meanwhile."""
        stamp = stamp_of(self._path)
        if stamp not in (None, self._current.stamp, self._refused) and self._loading.acquire(blocking=False):
            try:
                # Requests that score with the old one hold on to it: it is freed when the last of them is done.
                self._current = load(self._path)
                log.info("serving %s", self._current.sha256)
            except fc.ArtifactError as error:
                self._refused = stamp
                log.error("still serving %s: %s", self._current.sha256, error)
            finally:
                self._loading.release()
        return self._current


def stamp_of(path: str) -> Stamp | None:
    """Return what tells a file from another one at the same path; None where there is no file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def load(path: str) -> Release:
    """Load an artifact; where its file is replaced meanwhile, the one that replaces it."""
    while True:
        stamp = stamp_of(path)
        model = fc.load(path)
        sha256 = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        if stamp is not None and stamp == stamp_of(path):
            return Release(model, sha256, stamp)


class Rows(BaseModel):
    """Rows to score: ids of each in the order of the artifact's fields, then values; null where one is missing.

    Bags are the ids of fields with several values in a row, by name.
    """

    ids: Annotated[list[list[Id | None]], Field(max_length=MOST_ROWS)]
    values: list[list[float | None]] | None = None
    bags: dict[str, list[list[Id]]] = {}


class Predictions(BaseModel):
    """A prediction for each row, and which release made them."""

    predictions: list[float]
    sha256: str


log = logging.getLogger("uvicorn.error")
app = FastAPI(title="fmcompress")
served = Served(os.environ["ARTIFACT"])


@app.post("/predict")
def predict(rows: Rows) -> Predictions:
    """Score all rows of a request at once. Requests run in threads, and scoring lets the other threads run."""
    release = served.current()
    schema = release.model.schema
    ids = matrix("ids", rows.ids, len(schema.id_names), -1, np.int32)
    values = None if rows.values is None else matrix("values", rows.values, len(schema.numeric), np.nan, np.float64)
    predictions = release.model.predict(ids, values, bags=rows.bags)
    return Predictions(predictions=predictions.tolist(), sha256=release.sha256)


@app.get("/model")
def model() -> dict[str, object]:
    """Return what a row is made of."""
    release = served.current()
    schema = release.model.schema
    return {
        "ids": list(schema.id_names),
        "values": [field.name for field in schema.numeric],
        "bags": list(schema.poolings),
        "sha256": release.sha256,
    }


def matrix(name: str, rows: list[list], width: int, missing: float, dtype: type) -> np.ndarray:
    """Return rows as an array, (rows, width)."""
    for number, row in enumerate(rows):
        if len(row) != width:
            raise fc.DataError(f"{name}.{number}: {len(row)} numbers, expected {width}")
    filled = [[missing if number is None else number for number in row] for row in rows]
    return np.array(filled, dtype).reshape(len(rows), width)


@app.exception_handler(fc.DataError)
def refuse(request: Request, error: fc.DataError) -> JSONResponse:
    """Tell what is wrong with rows in one line."""
    return JSONResponse({"error": str(error)}, status_code=400)


@app.exception_handler(RequestValidationError)
def refuse_request(request: Request, error: RequestValidationError) -> JSONResponse:
    """Tell what is wrong with a request in one line."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"][1:])) or "request"
    return JSONResponse({"error": f"{place}: {first['msg']}"}, status_code=400)
