"""The native core meets the golden vectors, and refuses what it must."""

import ctypes

import numpy as np
import pytest

from docs.golden.files import FOLDER
from docs.golden.models import GOLDEN
from tests.docs.test_golden import REFUSED, bags_of, golden

from .library import MESSAGE_BYTES, OK, Bag, Model, RefusedError, library

OF_VOCABULARIES = {
    "vocabulary-claims", "vocabulary-damaged", "keys-claim", "keys-cut", "keys-twice", "keys-crowded",
}  # fmt: skip
"""Files that only whoever unpacks a vocabulary can refuse: the native core scores ids."""


@pytest.fixture(scope="module")
def native():
    return library()


def predictions(model, ids, values, bags, threads=1):
    ids, values = np.ascontiguousarray(ids, np.int64), np.ascontiguousarray(values, np.float64)
    found = np.empty(len(ids), np.float32)
    message = ctypes.create_string_buffer(MESSAGE_BYTES)
    addresses = [ctypes.c_void_p(array.ctypes.data) for array in (ids, values, found)]
    if not values.size:
        addresses[1] = None
    arguments = (addresses[0], addresses[1], ctypes.c_size_t(len(ids)), ctypes.c_uint(threads), addresses[2], message)
    if not bags:
        assert model.library.fmc_predict_i64(model.handle, *arguments) == OK, message.value
        return found
    given = (Bag * ids.shape[1])()
    for name, bag in bags.items():
        weights = None if bag.weights is None else bag.weights.ctypes.data
        place = model.about["ids"].index(name)
        given[place] = Bag(bag.starts.ctypes.data, bag.ids.ctypes.data, weights, len(bag.ids))
    assert model.library.fmc_predict_bags_i64(model.handle, *arguments[:2], given, *arguments[2:]) == OK, message.value
    return found


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("layout", [".", "compact"])
def test_it_predicts_them(native, name, layout):
    expected = golden(name)
    with Model.open(native, FOLDER / layout / f"{name}.safetensors") as model:
        assert (model.about["ids"], model.about["values"]) == (expected["id_names"], expected["value_names"])
        for threads in (1, 2):
            found = predictions(model, expected["ids"], expected["values"], bags_of(expected), threads)
            np.testing.assert_allclose(found, expected["predictions"], rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("name", [name for name in REFUSED if name != "sound" and name not in OF_VOCABULARIES])
def test_it_refuses_what_must_be_refused(native, name):
    with pytest.raises(RefusedError):
        Model.open(native, FOLDER / "refused" / f"{name}.safetensors")
