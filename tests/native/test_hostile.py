"""Whatever is opened, nothing is read outside of it: damaged files, and files that were changed and sealed again.

They are opened in every way and scored with where they open, by a program that is built with sanitizers of addresses
and of undefined behaviour; see ``hostile_driver.c``. What it finds is held against the Python package.
"""

import json
import math
import os
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from fmcompress.artifact.io import read_artifact
from fmcompress.errors import ArtifactError
from tests import format_reader
from tests.artifact.crafted import craft, craft_kinds, craft_tiered, small_artifacts
from tests.artifact.test_damage import HOSTILE

from .compact_files import GOLDEN, SOURCES
from .compact_files import mutations as compact_mutations
from .library import NO_ARTIFACT, OK, built
from .mutations import bases, mutations, parts_of
from .test_opening import NOT_UNPACKED

pytestmark = pytest.mark.slow

ISAS = ("portable", "avx2", "avx512") if os.uname().machine == "x86_64" else ("portable", "neon")
ROWS = 6
VALUES = (0, 1, -2.5, math.nan, 0.125, 3)
MUTATIONS = 10_000
COMPACT_MUTATIONS = 1_200
CHECKED = 3
"""Of so many one is held against Python, which takes longer."""

MODERATE = 1e4
"""Of numbers that are not larger, predictions are finite."""

LAYERED = 1
"""How much the sizes of what a network sums up count."""

UNBOUNDED = 1e30
"""Of terms that are larger, they may be anything."""


@dataclass
class Found:
    """What came of a file.

    Attributes:
        sealed: status of opening it.
        unsealed: the same, where the SHA-256 is not looked at.
        predictions: float32 (ISAs, ROWS), where that is OK; else None.
    """

    sealed: int
    unsealed: int
    predictions: np.ndarray | None


@pytest.fixture(scope="module")
def driven(tmp_path_factory):
    """Return a function that lets the driver loose on files."""
    folder = tmp_path_factory.mktemp("driver")
    driver = built("hostile_driver.c", "address,undefined", folder)

    def drive(files):
        stream = b"".join(struct.pack("<I", len(data)) + data for data in files)
        done = subprocess.run([driver, folder / "scratch", *ISAS], input=stream, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode(errors="replace")[-5000:]
        return list(taken(done.stdout, len(files)))

    return drive


def taken(out, files):
    at, size = 0, 4 * len(ISAS) * ROWS
    for _ in range(files):
        sealed, unsealed = struct.unpack_from("<ii", out, at)
        at += 8
        predictions = None
        if unsealed == OK:
            predictions = np.frombuffer(out, "<f4", len(ISAS) * ROWS, at).reshape(len(ISAS), ROWS)
            at += size
        yield Found(sealed, unsealed, predictions)
    assert at == len(out)


def damaged():
    """Yield files of which one byte is changed, or the end is missing, or another file is before or behind them."""
    for model in small_artifacts().values():
        sound = saved(model)
        for at in range(len(sound)):
            yield sound[:at] + bytes([sound[at] ^ (1, 0x20, 0x80)[at % 3]]) + sound[at + 1 :]
            yield sound[:at]
        yield from (sound + b"\0", b"\0" + sound, sound + sound, sound[len(sound) // 2 :])


def saved(model):
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "a")
        return (Path(folder) / "a").read_bytes()


def test_damaged_files_are_refused(driven):
    files = list(damaged())
    assert len(files) > 4000
    found = driven(files)
    for data, one in zip(files, found, strict=True):
        assert one.sealed == (NO_ARTIFACT), data
    # Without a look at the seal some are scored with: numbers are others, but they are numbers.
    assert 300 < sum(one.unsealed == OK for one in found) < len(files) / 3


def test_hostile_files_are_refused(driven):
    sound = [craft(), craft_kinds(), craft_tiered()]
    for found in driven(sound):
        assert found.sealed == found.unsealed == OK
    for name, found in zip(HOSTILE, driven(list(HOSTILE.values())), strict=True):
        assert found.sealed == (OK if name in NOT_UNPACKED else NO_ARTIFACT), name


def test_compact_files_are_unpacked_within_bounds(driven):
    """Damaged ones are refused; of those that were sealed again some open, and are scored with."""
    sound = [(GOLDEN / f"{name}.safetensors").read_bytes() for name in SOURCES[:4]]
    damaged = [data[:at] + bytes([data[at] ^ 0x81]) + data[at + 1 :] for data in sound for at in range(0, len(data), 4)]
    for found in driven(damaged + [data[:at] for data in sound for at in range(0, len(data), 7)]):
        assert found.sealed == NO_ARTIFACT
    opened = 0
    for found in driven(list(compact_mutations(COMPACT_MUTATIONS, seed=1))):
        assert found.sealed in (OK, NO_ARTIFACT)
        opened += found.sealed == OK
    assert COMPACT_MUTATIONS / 40 < opened < COMPACT_MUTATIONS / 2


@pytest.fixture(scope="module")
def changed(driven, tmp_path_factory):
    """What was changed, the files, and what came of them."""
    sources = bases(tmp_path_factory.mktemp("bases"))
    names, files = zip(*mutations(sources, MUTATIONS), strict=True)
    return names, files, driven(files)


def test_changed_files_are_refused_or_scored_within_bounds(changed):
    opened = 0
    for name, data, found in zip(*changed, strict=True):
        assert found.sealed in (OK, NO_ARTIFACT)
        if found.unsealed != OK:
            continue
        opened += found.sealed == OK
        parts = parts_of(data)
        if largest(parts) < MODERATE:
            assert np.isfinite(found.predictions).all(), name
        if parts.metadata.get("link", "sigmoid") in ("sigmoid", "probit"):
            assert not ((found.predictions < 0) | (found.predictions > 1)).any(), name
    assert MUTATIONS / 6 < opened < MUTATIONS / 2


def largest(parts):
    """Return the largest number of a file; infinity where some are in fp32, for these may be of any size."""
    if ":32" in json.dumps(parts.metadata) or parts.metadata.get("network"):
        return math.inf
    halves = np.frombuffer(parts.tensors["values"], "<f2").astype(np.float64)
    singles = [np.frombuffer(parts.tensors.get(name, b""), "<f4").astype(np.float64) for name in ("bias", "numeric")]
    return max(np.abs(numbers).max(initial=0) for numbers in (halves, *singles))


def test_changed_files_are_opened_as_python_opens_them(changed, tmp_path):
    path = tmp_path / "a"
    for name, data, found in list(zip(*changed, strict=True))[::CHECKED]:
        refused = refusal(path, data)
        if found.sealed == OK and refused and "vocabulary" in parts_of(data).tensors:
            refused = refusal(path, without_vocabulary(data))  # only Python unpacks it
        assert (found.sealed == OK) == (refused is None), (name, refused, data)


def refusal(path, data):
    """Return what Python says of a file; None where it opens."""
    path.write_bytes(data)
    try:
        read_artifact(path)
    except ArtifactError as error:
        return str(error)
    return None


def without_vocabulary(data):
    parts = parts_of(data)
    parts.tensors.pop("vocabulary", None)
    return parts.sealed()


def test_changed_files_are_scored_as_the_format_says(changed):
    compared = 0
    for name, data, found in zip(*changed, strict=True):
        if found.sealed != OK:
            continue
        compared += 1
        expected, logits, terms = reference(format_reader.read(without_vocabulary(data)))
        # Where large terms cancel each other, fp32 has fewer digits of what is left.
        tolerance = 1e-6 * np.maximum(1 + np.abs(logits), terms / 10)
        for isa, predictions in zip(ISAS, found.predictions, strict=True):
            fine = (np.abs(predictions - expected) <= tolerance) | ~(terms < UNBOUNDED)
            assert fine.all(), (name, isa, predictions, expected, tolerance)
    assert compared > MUTATIONS / 6


def reference(model):
    """Return predictions and logits of a plain reader, and the sizes of what adds up to these; float64 (ROWS,) each."""
    found = np.empty((3, ROWS))
    for row in range(ROWS):
        sizes = [len(model.tables[table].tiers) for _, table, _ in model.ids]
        ids = [chosen_id(row, column, size, model.ids[column][2]) for column, size in enumerate(sizes)]
        bags = chosen_bags(model, row, sizes)
        ids = [-1 if name in bags else i for i, (name, _, _) in zip(ids, model.ids, strict=True)]
        values = [VALUES[(row + 2 * column) % 6] for column in range(len(model.numeric))]
        values = [0 if math.isnan(value) else value for value in values]
        with np.errstate(all="ignore"):
            logit = model.logit(ids, values, bags)
            found[:, row] = model.predicted(logit), logit, size_of_terms(model, ids, values, bags)
    return found


def chosen_id(row, column, cardinality, pad):
    """Return the id that the driver chooses."""
    hashed = (row * 2654435761 + column * 40503) % 2**64 % cardinality
    return (0, cardinality - 1, -1, pad, hashed, cardinality // 2)[(row + 3 * column) % 6]


def chosen_bags(model, row, sizes):
    """Return the bags that the driver chooses, as (id, weight) of each value, by the names of fields."""
    found = {}
    for column, (name, _, pad) in enumerate(model.ids):
        if name in model.poolings and column % 3 != 1:
            size = (row * 7 + 3 * column) % 6
            ids = [chosen_id(row + value + 1, column, sizes[column], pad) for value in range(size)]
            found[name] = [(i, (0.5, -1.25, 2)[value % 3] if column % 2 == 0 else 1) for value, i in enumerate(ids)]
    return found


def size_of_terms(model, ids, values, bags):
    """Return the sum of the sizes of what adds up to a logit."""
    found = abs(model.bias)
    vectors = []
    for i, (name, table, pad) in zip(ids, model.ids, strict=True):
        for own, weight in bags.get(name, [(i, 1)]):
            if own not in (-1, pad):
                part, place = model.tables[table].place(own)
                found += abs(weight * part.weight(place))
                vectors.append(weight * part.embedding(place))
    for x, own in zip(values, model.numeric, strict=True):
        found += abs(x * own.weight)
        vectors.append(x * own.embedding)
    found += sum(np.sum(vector**2) for vector in vectors) * max(1, len(vectors))
    return found if model.network is None else found + LAYERED * size_of_network(model, ids, values, bags)


def size_of_network(model, ids, values, bags):
    """Return the most that the network's term can come to: all of its numbers count with their sizes."""
    vectors, raw = [], []
    for i, (name, table, pad) in zip(ids, model.ids, strict=True):
        given = [pair for pair in bags.get(name, [(i, 1)]) if pair[0] not in (-1, pad)]
        terms = model.terms(name, table, given)
        vectors += [np.abs(vector) for _, vector in terms] or [np.zeros(model.metadata["dim"])]
    for x, own in zip(values, model.numeric, strict=True):
        raw += [abs(x)] if own.linear_only else []
        vectors += [] if own.linear_only else [np.abs(x * own.embedding)]
    x = np.concatenate([*(vectors if model.network.kind == "deepfm" else [np.sum(vectors, axis=0) ** 2]), raw])
    for weight, bias, _ in model.network.layers:
        x = np.abs(weight) @ x + np.abs(bias) + 1
    return x[0]
