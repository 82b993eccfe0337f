"""Files of tables: what a reader of the specification makes of them, and what Python and the native core refuse."""

import hashlib
import json
import math

import numpy as np
import pytest

import fmcompress as fc
from fmcompress.artifact import read_artifact
from fmcompress.artifact.io import sealed_bytes
from tests.format_reader import Part, Stream, check, embedding_codewords, sizes
from tests.native.library import NO_ARTIFACT, Model, RefusedError, library
from tests.tables.samples import packed_tables

ZEROS = "0" * 64
NO_MACHINE = "holds tables of vectors, not a factorization machine"


class TablesStream(Stream):
    """Takes one table after the other, by what docs/format.md says of them."""

    def part(self, size, quantizer, _, dim):
        name, _, suffix = quantizer.partition(":")
        take = {"": self.take, "8": self.take_int8, "32": self.take_fp32}[suffix]
        codewords = embedding_codewords(name)
        shapes = [(size, dim)] if name == "raw" else zip(codewords, sizes(dim, len(codewords)), strict=True)
        tables = [take(*shape) for shape in shapes]
        codes = self.rows(size, [math.ceil(math.log2(k)) for k in codewords])
        return Part(size, tables, codes, np.empty(0), name == "raw", raw_linear=True)


def read_plainly(data):
    """Return the vectors of each table of a file, by its name."""
    length = int.from_bytes(data[:8], "little")
    layout = json.loads(data[8 : 8 + length])
    metadata = json.loads(layout.pop("__metadata__")["fmcompress"])
    check(metadata["schema_version"] == 2 and metadata["content"] == "tables", "version")
    check([name for name in layout if name != "axes"] == ["values", "codes"], "tensors")
    first = 8 + length + layout["values"]["data_offsets"][0]
    axes, axes_at = np.frombuffer(data[8 + length : first], "<f2").astype(np.float64), 0
    start, end = (8 + length + place for place in layout["codes"]["data_offsets"])
    stream = TablesStream(np.frombuffer(data[first:start], "<f2").astype(np.float64), data[start:end])
    found = {}
    for name, kind, *rest in metadata["fields"]:
        if kind != "as":
            (n, dim, *zeros), *stored = rest
            field = stream.field([name, kind, n, *stored], dim)
            places = [field.place(row) for row in range(n)]
            found[name] = np.array([part.embedding(row) for part, row in places])
            if kind == "vec:axes":
                found[name] = found[name] @ axes[axes_at : axes_at + dim * dim].reshape(dim, dim)
                axes_at += dim * dim
            found[name][zeros] = 0
    return found | {name: found[rest[0]] for name, kind, *rest in metadata["fields"] if kind == "as"}


@pytest.fixture(params=[False, True], ids=["whole", "tiers"])
def data(request):
    return sealed_bytes(packed_tables(with_tiers=request.param))


def test_a_reader_of_the_specification_finds_the_same(data, tmp_path):
    (tmp_path / "a.safetensors").write_bytes(data)
    loaded = fc.load(tmp_path / "a.safetensors")
    found = read_plainly(data)
    assert tuple(found) != loaded.tables  # copies come last
    for name in loaded.tables:
        np.testing.assert_allclose(np.asarray(loaded.table(name)), found[name], rtol=1e-6, atol=1e-6)
    assert sealed_bytes(loaded) == data


def changed(data, edit):
    """Return an artifact whose metadata an edit has changed in place, its seal set right."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    metadata = json.loads(header["__metadata__"]["fmcompress"])
    edit(metadata)
    metadata["sha256"] = ZEROS
    header["__metadata__"]["fmcompress"] = json.dumps(metadata)
    raw = json.dumps(header).encode()
    unsealed = len(raw).to_bytes(8, "little") + raw + data[8 + length :]
    return unsealed.replace(ZEROS.encode(), hashlib.sha256(unsealed).hexdigest().encode())


def entry(place, *path):
    """Return an edit that sets a part of the entry of a table to the last item of a path."""
    *steps, last, value = path

    def edit(metadata):
        at = metadata["fields"][place]
        for step in steps:
            at = at[step]
        at[last] = value

    return edit


HOSTILE = {
    "nothing": lambda metadata: None,
    "version 1": lambda metadata: metadata.update(schema_version=1),
    "version 3": lambda metadata: metadata.update(schema_version=3),
    "another content": lambda metadata: metadata.update(content="graph"),
    "no content": lambda metadata: metadata.pop("content"),
    "a machine's field": lambda metadata: metadata["fields"].append(["day", "cat", 1, "raw", "raw", 0]),
    "a numeric field": lambda metadata: metadata["fields"].append(["day", "num"]),
    "axes that are not there": entry(0, 1, "vec:axes"),
    "an unknown kind": entry(0, 1, "vec:turned"),
    "a kind that is no text": entry(0, 1, ["vec"]),
    "a pooling": entry(1, 1, "as:mean"),
    "a copy of nothing": entry(1, 2, "nobody"),
    "no table": lambda metadata: metadata.update(fields=[]),
    "a name twice": entry(2, 0, "user"),
    "sizes that are no list": entry(0, 2, 9),
    "no size of vectors": entry(0, 2, [9]),
    "vectors of size 0": entry(0, 2, [9, 0]),
    "vectors of a huge size": entry(0, 2, [9, 2**40]),
    "no vectors": entry(0, 2, [0, 4]),
    "huge": entry(0, 2, [2**30, 2**16]),
    "too many": entry(0, 2, [2**62, 4]),
    "a zero out of range": entry(0, 2, [9, 4, 9]),
    "zeros that fall": entry(0, 2, [9, 4, 3, 0]),
    "a zero twice": entry(0, 2, [9, 4, 3, 3]),
    "a negative zero": entry(0, 2, [9, 4, -1]),
    "a text for a zero": entry(0, 2, [9, 4, "3"]),
    "linear weights": entry(0, 3, ["raw", "raw", 0]),
    "a machine's quantizers": lambda metadata: metadata["fields"][0].insert(4, "raw"),
    "an unknown quantizer": entry(0, 3, "9x"),
    "more subspaces than coordinates": entry(0, 3, "5x2:8"),
    "one tier in a list": entry(0, 3, [[9, "raw:8", 0]]),
    "vectors of another size": entry(2, 2, [40, 8]),
}
HARMLESS = {"nothing"}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_makes_no_sense_is_refused(case, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(changed(sealed_bytes(packed_tables()), HOSTILE[case]))
    if case in HARMLESS:
        assert fc.load(path).tables == ("user", "copy", "item")
        return
    with pytest.raises(fc.ArtifactError) as caught:
        fc.load(path)
    assert "\n" not in str(caught.value)


def test_any_byte_that_is_another_is_noticed(data, tmp_path):
    path, rng = tmp_path / "a.safetensors", np.random.default_rng(0)
    for place in rng.integers(0, len(data), 100):
        damaged = bytearray(data)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        with pytest.raises(fc.ArtifactError):
            fc.load(path)
    for size in rng.integers(0, len(data), 20):
        path.write_bytes(data[:size])
        with pytest.raises(fc.ArtifactError):
            fc.load(path)


@pytest.mark.parametrize("case", HOSTILE)
def test_who_needs_a_machine_refuses_in_the_words_of_the_native_core(case, tmp_path):
    path, crafted = tmp_path / "a.safetensors", changed(sealed_bytes(packed_tables()), HOSTILE[case])
    path.write_bytes(crafted)
    with pytest.raises(RefusedError) as native:
        Model.of_bytes(library(), crafted)
    assert native.value.status == NO_ARTIFACT
    with pytest.raises(fc.ArtifactError) as caught:
        read_artifact(path)
    said = str(caught.value).removeprefix(f"{path}: ")
    assert str(native.value).partition("(")[0] == said.partition("(")[0]
    assert (said == NO_MACHINE) == (case not in ("version 1", "version 3", "another content", "no content"))
