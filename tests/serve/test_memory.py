"""The memory that a scorer takes: as counted from the header, and not much."""

import tracemalloc

import numpy as np
import pytest
import torch

from fmcompress.artifact import unpack_model
from fmcompress.artifact.layout import field_layouts
from fmcompress.serve.memory import directory_bytes, resident_bytes
from fmcompress.serve.numpy_scorer import NumpyScorer
from tests import networks
from tests.mixed import mixed, packed_mixed
from tests.models import EVERY_SHAPE, origin, pack_model, packed, plain_logits, random_ids, sigmoid


def held_bytes(found):
    """Return the bytes of all arrays and tensors of floats, fp16 and counts of tiers that an object holds."""
    return sum(dict(_held(found)).values())


def _held(found):
    """Yield place in memory and bytes of arrays and tensors; what several look at has one place."""
    if isinstance(found, torch.Tensor):
        yield found.data_ptr(), found.numel() * found.element_size()
    elif isinstance(found, np.ndarray):
        if _among_codes(found):
            return
        if found.dtype.kind == "f" or found.dtype == np.int32:
            yield found.__array_interface__["data"][0], found.nbytes
    elif isinstance(found, dict | list | tuple):
        for value in found.values() if isinstance(found, dict) else found:
            yield from _held(value)
    elif hasattr(found, "__dict__") and type(found).__module__.startswith("fmcompress.serve"):
        yield from _held(vars(found))


def _among_codes(array):
    """Whether floats are a view of the codes."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array.dtype == np.uint64


@pytest.mark.parametrize("shape", EVERY_SHAPE)
def test_resident_bytes_are_those_that_a_scorer_holds(shape):
    model = packed(*EVERY_SHAPE[shape])
    scorer = NumpyScorer(model)
    counted = resident_bytes(model.header)
    held = held_bytes(scorer) + model.codes.nbytes
    # Each group adds one row of zeros for missing values, and the bias is held as a plain number.
    assert counted - 4 <= held <= counted + 4 * (model.header.dim + 2) * len(model.header.quantizers)


def test_dense_layers_are_kept_in_fp32():
    plain = mixed(5, "9 2x4 4", "7 raw raw")
    models = [pack_model(model, origin()) for model in (plain, networks.quantized_with(plain, "deepfm", (1, 1, 1)))]
    weights = sum(layer.size for layer in models[1].network.layers)
    assert resident_bytes(models[1].header) - resident_bytes(models[0].header) == 4 * weights


def test_scoring_keeps_codes_packed_and_large_raw_tables_as_they_are():
    for shape in ("many raw rows", "many tiers"):
        model = packed(*EVERY_SHAPE[shape])
        assert resident_bytes(model.header) < 1.5 * model.file_bytes


def test_tiers_take_little_memory():
    """No number per category: a directory of half a byte beside two bits of tiers, and ten of codes."""
    model = packed(8, " | ".join(["100000 2x32 shared"] * 4))
    NumpyScorer(model)  # what is set up once and for all
    tracemalloc.start()
    scorer = NumpyScorer(model)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert resident_bytes(model.header) < 1.5 * model.file_bytes
    assert held < 1.1 * resident_bytes(model.header)
    assert scorer.predict(random_ids(model.schema, 3)).shape == (3,)


@pytest.mark.parametrize("kind", ["raw:8", "raw:32"])
def test_a_large_raw_table_among_the_codes_is_held_once_and_as_it_is(kind):
    model = packed(16, f"100000 {kind} shared")
    tracemalloc.start()
    scorer = NumpyScorer(model)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 1.1 * model.file_bytes
    assert resident_bytes(model.header) < 1.1 * model.file_bytes
    ids = random_ids(model.schema, 100)
    np.testing.assert_allclose(scorer.predict(ids), sigmoid(plain_logits(unpack_model(model), ids)), atol=1e-6)


def test_a_directory_takes_half_a_byte_per_category_at_most():
    model = packed(1, *(" | ".join(["8000 shared shared"] * tiers) for tiers in (2, 3, 4)))
    for field in field_layouts(model.header):
        assert directory_bytes(field) <= sum(field.sizes) / 2 + 32
    assert directory_bytes(next(field_layouts(packed(1, "8000 shared shared").header))) == 0


@pytest.mark.parametrize("shape", EVERY_SHAPE)
def test_what_fields_share_is_held_once(shape):
    dim, *fields = EVERY_SHAPE[shape]
    tables = range(len(fields))
    model = packed_mixed(dim, *fields, shared=[*tables, *tables], numeric=(False, True))
    counted = resident_bytes(model.header)
    held = held_bytes(NumpyScorer(model)) + model.codes.nbytes + held_bytes(list(vars(model.numeric).values()))
    assert counted - 4 <= held <= counted + 4 * (model.header.dim + 2) * len(model.header.quantizers)
