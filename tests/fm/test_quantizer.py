"""Quantizers: their names and their bytes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmcompress.artifact.bitpack import pack
from fmcompress.errors import UsageError
from fmcompress.fm.quantizer import (
    FLOAT,
    HALF,
    INT8,
    INTEGER_BITS,
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
powers = st.integers(0, 12).map(lambda bits: 1 << bits)
quantizers = st.builds(
    Quantizer,
    st.one_of(
        st.lists(sizes, max_size=40).map(tuple),
        st.lists(powers, max_size=40).map(tuple),
        st.tuples(sizes, st.integers(1, MAX_SUBSPACES)).map(lambda pair: pair[:1] * pair[1]),
    ),
    st.integers(0, MAX_CODEWORDS),
    st.sampled_from([FLOAT, HALF, INT8]),
)  # fmt: skip
quantizers |= st.builds(replace, quantizers, value_bytes=st.just(INT8), integer_bits=st.sampled_from(INTEGER_BITS))


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
        ("b8666", "2", Quantizer((256, 64, 64, 64), 2)),
        ("bc0a", "raw", Quantizer((4096, 1, 1024))),
        ("256,100", "raw", Quantizer((256, 100))),
        ("raw:8", "raw", Quantizer((), 0, INT8)),
        ("raw:32", "raw", Quantizer((), 0, FLOAT)),
        ("shared:32", "shared", Quantizer((1,), 1, FLOAT)),
        ("b8666:32", "4", Quantizer((256, 64, 64, 64), 4, FLOAT)),
        ("256,100:32", "raw", Quantizer((256, 100), 0, FLOAT)),
        ("shared:8", "shared", Quantizer((1,), 1, INT8)),
        ("4x256:8", "16", Quantizer((256,) * 4, 16, INT8)),
        ("b8666:8", "raw", Quantizer((256, 64, 64, 64), 0, INT8)),
        ("256,100:8", "raw", Quantizer((256, 100), 0, INT8)),
        ("raw:4", "raw", Quantizer((), 0, INT8, 4)),
        ("b8666:2", "raw", Quantizer((256, 64, 64, 64), 0, INT8, 2)),
        ("256,100:6", "3", Quantizer((256, 100), 3, INT8, 6)),
        ("2x1", "raw", Quantizer((1, 1))),
    ],
)
def test_names_mean_what_the_format_says(embedding, linear, quantizer):
    assert parse_quantizer(embedding, linear) == quantizer
    assert (embedding_spec(quantizer), linear_spec(quantizer)) == (embedding, linear)


def test_the_names_of_the_first_artifacts_are_understood():
    assert parse_quantizer("256,64,64,64", "2") == parse_quantizer("b8666", "2")


@pytest.mark.parametrize(
    "embedding",
    ["", " raw", "Raw", "x", "4x", "x4", "0x4", "4x0", "4x4097", "257x2", "4x4x4", "4,", "4,x", "-4", "4.0", "1x1",
     "4,4", "07x4", "4x07", "7", ",".join(["4"] * 256 + ["5"]), "99999x4", "b", "b8", "b88", "b0", "bd1", "b8-6", "B86",
     "b8,6", "raw:7", "raw:1", "raw:08",
     "b" + "1" * 256 + "2", "b86:", "b86:16", ":8", "raw:8:8", "raw :8", "8,4:8", "b٨6"],
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
    quantizer = replace(quantizer, codewords=codewords)
    stream = pack(np.zeros((cardinality, len(quantizer.widths)), np.uint16), quantizer.widths)
    assert quantizer.code_bytes(cardinality) == len(stream)
    assert quantizer.row_bits == quantizer.embedding_code_bits + sum(quantizer.widths[len(quantizer.codewords) :])
    bounds = subspace_bounds(dim, len(codewords)) if codewords else [(0, dim)]
    rows = codewords or (cardinality,)
    tables = sum(k * (end - start) for k, (start, end) in zip(rows, bounds, strict=True))
    linear = quantizer.linear_codewords or cardinality
    scales = (max(1, len(codewords)) + 1) * 2 if quantizer.value_bytes == INT8 else 0
    stored = quantizer.value_bytes * (tables + linear) + scales
    assert quantizer.payload_bytes(cardinality, dim) == stored + len(stream)
    assert 2 * quantizer.scales == scales
    if quantizer.integer_bits < 8:  # one stream of bits and one scale of embeddings, one of linear weights
        stored = -(-quantizer.integer_bits * tables // 8) + linear + 2 * 2
    assert quantizer.compact_bytes(cardinality, dim) == stored + len(stream)


def test_the_papers_bits():
    assert Quantizer((1024,) * 4, 16).row_bits == 44
    assert Quantizer((1024,) * 4).widths == (10, 10, 10, 10)
    assert Quantizer((1,), 1).row_bits == Quantizer().row_bits == 0
