"""Quantizers: their names and their bytes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmcompress.artifact.bitpack import pack
from fmcompress.errors import UsageError
from fmcompress.quantizer import (
    MAX_CODEWORDS,
    MAX_SUBSPACES,
    Quantizer,
    code_bits,
    embedding_spec,
    linear_spec,
    parse_quantizer,
    subspace_bounds,
)

sizes = st.integers(1, MAX_CODEWORDS)
quantizers = st.builds(
    Quantizer,
    st.one_of(
        st.lists(sizes, max_size=40).map(tuple),
        st.tuples(sizes, st.integers(1, MAX_SUBSPACES)).map(lambda pair: pair[:1] * pair[1]),
    ),
    st.integers(0, MAX_CODEWORDS),
)  # fmt: skip


@settings(deadline=None)
@given(quantizers)
def test_parse_is_the_inverse_of_the_names(quantizer):
    assert parse_quantizer(embedding_spec(quantizer), linear_spec(quantizer)) == quantizer


@pytest.mark.parametrize(
    ("embedding", "linear", "quantizer"),
    [
        ("raw", "raw", Quantizer()),
        ("shared", "shared", Quantizer((1,), 1)),
        ("4x256", "16", Quantizer((256,) * 4, 16)),
        ("1x4096", "4096", Quantizer((4096,), 4096)),
        ("256,64,64,64", "2", Quantizer((256, 64, 64, 64), 2)),
        ("2x1", "raw", Quantizer((1, 1))),
    ],
)
def test_names_mean_what_the_format_says(embedding, linear, quantizer):
    assert parse_quantizer(embedding, linear) == quantizer
    assert (embedding_spec(quantizer), linear_spec(quantizer)) == (embedding, linear)


@pytest.mark.parametrize(
    "embedding",
    ["", " raw", "Raw", "x", "4x", "x4", "0x4", "4x0", "4x4097", "257x2", "4x4x4", "4,", "4,x", "-4", "4.0", "1x1",
     "4,4", "07x4", "4x07", "7", ",".join(["4"] * 256 + ["5"]), "99999x4"],
)  # fmt: skip
def test_names_of_no_quantizer_are_refused(embedding):
    with pytest.raises(UsageError):
        parse_quantizer(embedding, "raw")


@pytest.mark.parametrize("linear", ["", "0", "1", "4097", "1x4", "-1", "٣", "03", "Shared"])
def test_names_of_no_linear_quantizer_are_refused(linear):
    with pytest.raises(UsageError):
        parse_quantizer("raw", linear)


@settings(deadline=None)
@given(st.integers(1, MAX_CODEWORDS))
def test_a_code_has_just_enough_bits(codewords):
    bits = code_bits(codewords)
    assert 2**bits >= codewords
    assert bits == 0 or 2 ** (bits - 1) < codewords
    assert bits <= 12


@settings(deadline=None)
@given(dim=st.integers(1, 200), data=st.data())
def test_subspaces_cover_all_coordinates_and_differ_by_one_at_most(dim, data):
    bounds = subspace_bounds(dim, data.draw(st.integers(1, dim)))
    assert [i for start, end in bounds for i in range(start, end)] == list(range(dim))
    lengths = [end - start for start, end in bounds]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] - lengths[-1] <= 1 <= lengths[-1]


@settings(deadline=None)
@given(quantizer=quantizers, cardinality=st.integers(1, 50), dim=st.integers(1, 40))
def test_bytes_are_counted_as_they_are_packed(quantizer, cardinality, dim):
    codewords = quantizer.codewords[:dim]
    quantizer = Quantizer(codewords, quantizer.linear_codewords)
    stream = pack(np.zeros((cardinality, len(quantizer.widths)), np.uint16), quantizer.widths)
    assert quantizer.code_bytes(cardinality) == len(stream)
    assert quantizer.row_bits == sum(quantizer.widths) == quantizer.embedding_code_bits + quantizer.linear_code_bits
    bounds = subspace_bounds(dim, len(codewords)) if codewords else [(0, dim)]
    rows = codewords or (cardinality,)
    tables = sum(k * (end - start) for k, (start, end) in zip(rows, bounds, strict=True))
    linear = quantizer.linear_codewords or cardinality
    assert quantizer.payload_bytes(cardinality, dim) == 2 * (tables + linear) + len(stream)


def test_the_papers_bits():
    assert Quantizer((1024,) * 4, 16).row_bits == 44
    assert Quantizer((1024,) * 4).widths == (10, 10, 10, 10)
    assert Quantizer((1,), 1).row_bits == Quantizer().row_bits == 0
