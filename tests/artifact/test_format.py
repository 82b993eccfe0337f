"""docs/format.md is true: a reader written from it alone gets the same model, and its example is an artifact."""

import re
from pathlib import Path

import numpy as np
import pytest

from fmcompress.artifact import Origin, load, pack_model, unpack_model
from fmcompress.quantized import QuantizedField, QuantizedFM
from fmcompress.quantizer import Quantizer
from fmcompress.schema import Schema
from tests import format_reader
from tests.models import ODD_NAMES, SHAPES, packed, random_ids

FORMAT = Path(__file__).parents[2] / "docs" / "format.md"


def assert_read_alike(model, path):
    model.save(path)
    read = format_reader.read(path.read_bytes())
    working = unpack_model(load(path))
    assert [field.name for field in read.fields] == list(model.schema.names)
    for one, other in zip(read.fields, working.fields, strict=True):
        for table, expected in zip(one.tables, other.tables, strict=True):
            np.testing.assert_array_equal(table, expected)
        np.testing.assert_array_equal(one.linear, other.linear_table)
        codes = np.concatenate([other.codes, other.linear_codes.reshape(len(other.codes), -1)], axis=1)
        assert one.codes == codes.tolist()
    for missing in (0.0, 0.3, 1.0):
        ids = random_ids(model.schema, 60, missing=missing)
        np.testing.assert_allclose(load(path).predict(ids), read.predict(ids), rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_reader_of_the_specification_reads_the_same_model(tmp_path, shape):
    assert_read_alike(packed(*SHAPES[shape], seed=3), tmp_path / "a")


def test_a_reader_of_the_specification_reads_names_of_any_unicode(tmp_path):
    model = packed(4, "12 2x4 2", "8 raw raw", "4 shared raw", "5 1x4 4", "3 raw 2", names=ODD_NAMES)
    assert_read_alike(model, tmp_path / "a")


def test_the_reader_knows_nothing_of_this_package():
    assert "fmcompress" not in re.findall(r"^(?:from|import) (\w+)", Path(format_reader.__file__).read_text(), re.M)


def example(part):
    """Return the lines of a block of the example."""
    text = FORMAT.read_text(encoding="utf-8")
    block = text.split(f"<!-- example: {part} -->\n\n")[1].split("\n\n")[0]
    return [line.removeprefix("    ") for line in block.splitlines()]


def example_file():
    """Return the bytes of the example's file, put together from the page."""

    def in_hex(part):
        return b"".join(bytes.fromhex(re.match(r"(?:[0-9a-f]{2} ?)+", line)[0]) for line in example(part))

    length = in_hex("length")
    (header,) = example("header")
    return length + header.encode().ljust(int.from_bytes(length, "little"), b" ") + in_hex("tensors")


def example_model():
    codebooks = np.array([[0, 0], [1, 0], [0, 0.5], [-1, 0.25]], np.float32), np.array([[0.5], [-0.5]], np.float32)
    codes = np.array([[1, 0], [3, 1], [2, 1], [0, 0], [3, 0]], np.uint16)
    user = QuantizedField(
        Quantizer((4, 2), 3),
        codebooks,
        codes,
        np.array([0, 0.5, -0.25], np.float32),
        np.array([1, 0, 2, 2, 0], np.uint16),
        error=0.000123,
    )
    day = QuantizedField(
        Quantizer(),
        (np.array([[1, 0, 2], [-1, 0.5, 0]], np.float32),),
        np.empty((2, 0), np.uint16),
        np.array([0.25, -0.75], np.float32),
        np.empty(0, np.uint16),
    )
    model = QuantizedFM(Schema.of([("user", 5), ("day", 2)]), 3, "sigmoid", -1.0, (user, day))
    return pack_model(model, Origin(budget_bytes=1000, method="auto", seed=0))


def test_the_example_is_what_this_package_writes(tmp_path):
    example_model().save(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == example_file()
    assert f"The file has {len(example_file())} bytes." in FORMAT.read_text(encoding="utf-8")


def test_the_example_predicts_what_it_says(tmp_path):
    (tmp_path / "a").write_bytes(example_file())
    _, *rows = example("predictions")
    for row in rows:
        *ids, logit, prediction = row.split()
        ids = [int(i) for i in ids]
        read = format_reader.read(example_file())
        assert f"{read.logit(ids):.2f} {read.predict([ids])[0]:.6f}" == f"{logit} {prediction}"
        assert load(tmp_path / "a").predict([ids])[0] == pytest.approx(float(prediction), abs=1e-6)


def test_the_example_shows_its_bits():
    codes = example_model().codes
    text = FORMAT.read_text(encoding="utf-8")
    bits = "".join(f"{byte:08b}"[::-1] for byte in codes.tolist())
    assert "  ".join(bits[at : at + 5] for at in range(0, 25, 5)) in text
    assert not int(bits[25:])
