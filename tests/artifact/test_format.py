"""docs/format.md is true: a reader written from it alone gets the same model, and its example is an artifact."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmcompress.artifact import Origin, unpack_model
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.fm.quantized_fm import QuantizedField, QuantizedFM
from fmcompress.fm.quantizer import INT8, Quantizer
from fmcompress.fm.schema import Field, NumericField, Schema, SharedField
from fmcompress.fm.tiers import Tiers
from fmcompress.serve.compressed_fm import load
from tests import format_reader
from tests.models import EVERY_SHAPE, ODD_NAMES, pack_model, packed, random_ids
from tests.strategies import fields

FORMAT = Path(__file__).parents[2] / "docs" / "format.md"


def assert_read_alike(model, path):
    model.save(path)
    read = format_reader.read(path.read_bytes())
    working = unpack_model(load(path))
    assert list(read.tables) == list(model.schema.names)
    parts = iter(working.fields)
    for one, of in zip(read.tables.values(), working.schema.split(working.tiers.of), strict=True):
        assert one.tiers == of.tolist()
        for mine, other in zip(one.parts, parts, strict=False):
            for table, expected in zip(mine.tables, other.tables, strict=True):
                np.testing.assert_array_equal(table, expected)
            np.testing.assert_array_equal(mine.linear, other.linear_table)
            codes = np.concatenate([other.codes, other.linear_codes.reshape(len(other.codes), -1)], axis=1)
            assert mine.codes == codes.tolist()
    assert next(parts, None) is None
    for missing in (0.0, 0.3, 1.0):
        ids = random_ids(model.schema, 60, missing=missing)
        np.testing.assert_allclose(load(path).predict(ids), read.predict(ids), rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", EVERY_SHAPE)
def test_a_reader_of_the_specification_reads_the_same_model(tmp_path, shape):
    assert_read_alike(packed(*EVERY_SHAPE[shape], seed=3), tmp_path / "a")


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(dim=st.integers(1, 8), seed=st.integers(0, 99), data=st.data())
def test_a_reader_of_the_specification_reads_any_tiers_and_quantizers(tmp_path_factory, dim, seed, data):
    model = packed(dim, *data.draw(st.lists(fields(dim), min_size=1, max_size=4)), seed=seed)
    assert_read_alike(model, tmp_path_factory.mktemp("format") / "a")


def test_a_reader_of_the_specification_reads_names_of_any_unicode(tmp_path):
    model = packed(4, "12 2x4 2 | 3 raw:8 raw", "8 raw raw", "4 shared raw", "5 1x4 4", "3 raw 2", names=ODD_NAMES)
    assert_read_alike(model, tmp_path / "a")


def test_the_reader_knows_nothing_of_this_package():
    assert "fmcompress" not in re.findall(r"^(?:from|import) (\w+)", Path(format_reader.__file__).read_text(), re.M)


def example(part, which="example"):
    """Return the lines of a block of an example."""
    text = FORMAT.read_text(encoding="utf-8")
    block = text.split(f"<!-- {which}: {part} -->\n\n")[1].split("\n\n")[0]
    return [line.removeprefix("    ") for line in block.splitlines()]


def example_file(which="example"):
    """Return the bytes of an example's file, put together from the page."""

    def in_hex(part):
        lines = example(part, which)
        return b"".join(bytes.fromhex(re.match(r"(?:[0-9a-f]{2} ?)+", line)[0]) for line in lines)

    length = in_hex("length")
    (header,) = example("header", which)
    return length + header.encode().ljust(int.from_bytes(length, "little"), b" ") + in_hex("tensors")


def part(quantizer, tables, codes, linear_table, linear_codes, error=0.0):
    tables = [np.array(table, np.float32) for table in (*tables, linear_table)]
    codes = np.array(codes, np.uint16), np.array(linear_codes, np.uint16)
    return QuantizedField(quantizer, tuple(tables[:-1]), codes[0], tables[-1], codes[1], error)


def example_model():
    user = part(
        Quantizer((4, 2), 3),
        ([[0, 0], [1, 0], [0, 0.5], [-1, 0.25]], [[0.5], [-0.5]]),
        [[1, 0], [3, 1], [2, 1], [0, 0], [3, 0]],
        [0, 0.5, -0.25],
        [1, 0, 2, 2, 0],
        error=0.00012,
    )
    day = part(Quantizer(), ([[1, 0, 2], [-1, 0.5, 0]],), np.empty((2, 0)), [0.25, -0.75], [])
    embeddings, linear = np.array([[127, 2, -64], [-6, 0, 32]]) / 128, np.array([127, -127]) / 256
    often = part(Quantizer((), 0, INT8), (embeddings,), np.empty((2, 0)), linear, [], error=0.000045)
    rare = part(Quantizer((1,), 2), ([[0.5, 0, 0]],), [[0], [0], [0]], [0, -1], [1, 0, 1], error=0.001)
    schema = Schema.of([("user", 5), ("day", 2), ("item", 5)])
    tiers = Tiers(schema, np.array([0] * 5 + [0] * 2 + [1, 0, 1, 1, 0], np.uint8))
    model = QuantizedFM(schema, 3, "sigmoid", -1.0, (user, day, often, rare), tiers)
    return pack_model(model, Origin(budget_bytes=1000, method="auto", seed=0))


def second_model():
    user = part(Quantizer(), ([[0, 0], [1, 0.5], [-1, 0.5]],), np.empty((3, 0)), [0, 0.5, -0.25], [], error=0.0001)
    price, friend, age = NumericField("price"), SharedField("friend", "user"), NumericField("age", linear_only=True)
    schema = Schema.in_order([price, Field("user", 3, pad=0), friend, age])
    numeric = NumericWeights(np.array([0.5, -0.25], np.float32), np.array([[1, -0.5], [0, 0]], np.float32))
    model = QuantizedFM(schema, 2, "clip:1:5", 3.0, (user,), numeric=numeric)
    return pack_model(model, Origin(budget_bytes=1000, method="auto", seed=0))


EXAMPLES = {"example": example_model, "second example": second_model}


@pytest.mark.parametrize("which", EXAMPLES)
def test_the_examples_are_what_this_package_writes(tmp_path, which):
    EXAMPLES[which]().save(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == example_file(which)
    assert f"file has {len(example_file(which))} bytes." in FORMAT.read_text(encoding="utf-8")


@pytest.mark.parametrize("which", EXAMPLES)
def test_the_examples_predict_what_they_say(tmp_path, which):
    (tmp_path / "a").write_bytes(example_file(which))
    model, read = load(tmp_path / "a"), format_reader.read(example_file(which))
    names, *rows = map(str.split, example("predictions", which))
    schema = model.schema
    for *cells, logit, prediction in rows:
        row = dict(zip(names, map(float, cells), strict=False))
        ids, values = [int(row[name]) for name in schema.id_names], [row[name] for name in schema.numeric_names]
        assert f"{read.logit(ids, values):.2f} {read.predict([ids], [values])[0]:.6f}" == f"{logit} {prediction}"
        assert model.predict([ids], [values])[0] == pytest.approx(float(prediction), abs=1e-6)


def test_the_example_shows_its_bits():
    codes = example_model().codes[:4]
    text = FORMAT.read_text(encoding="utf-8")
    bits = "".join(f"{byte:08b}"[::-1] for byte in codes.tolist())
    assert "  ".join(bits[at : at + 5] for at in range(0, 25, 5)) in text
    assert not int(bits[25:])
