"""Reading codes through 64-bit windows, against unpacking all of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmcompress.artifact import unpack_model
from fmcompress.artifact.layout import part_layouts
from fmcompress.serve.windows import CodeReader, as_words
from tests.models import EVERY_SHAPE, packed


def assert_codes_read(model):
    expected = unpack_model(model).fields
    for parts, field in zip(part_layouts(model.header), expected, strict=True):
        codes = np.concatenate([field.codes, field.linear_codes.reshape(len(field.codes), -1)], axis=1)
        ids = np.arange(parts.cardinality, dtype=np.uint64)[:, None]
        if codes.shape[1]:
            found = CodeReader(as_words(model.codes), [parts]).read(ids)
            np.testing.assert_array_equal(found[:, :, 0].T, codes)


@pytest.mark.parametrize("shape", EVERY_SHAPE)
def test_every_code_of_every_shape_is_read(shape):
    assert_codes_read(packed(*EVERY_SHAPE[shape]))


@settings(deadline=None)
@given(
    codewords=st.lists(st.sampled_from([1, 2, 3, 100, 1024, 4096]), min_size=1, max_size=14),
    rows=st.integers(1, 30),
    before=st.integers(1, 20),
)
def test_windows_reach_across_words_wherever_a_stream_begins(codewords, rows, before):
    name = ",".join(map(str, [*codewords, 7, 8]))
    assert_codes_read(packed(16, f"{before} 1x8 raw", f"{rows} {name} raw"))


def test_words_have_room_to_read_beyond_the_end():
    for size in range(20):
        codes = np.full(size, 255, dtype=np.uint8)
        words = as_words(codes)
        assert words.view(np.uint8)[:size].tolist() == [255] * size
        assert len(words) >= (size * 8) // 64 + 2
        assert not words.view(np.uint8)[size:].any()
