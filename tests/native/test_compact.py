"""The native core unpacks compact files as the Python package does, and refuses the rest in the same words."""

import ctypes

import numpy as np
import pytest

from fmcompress import ArtifactError, load
from tests.models import EVERY_SHAPE, ODD_NAMES, packed

from .compact_files import GOLDEN, mutations, start_of, with_body
from .library import MESSAGE_BYTES, NO_ARTIFACT, OK, SHARED, UNSEALED, WRONG_CALL, Model, RefusedError, library

REFUSED = sorted(path.stem for path in (GOLDEN / "refused").glob("*.safetensors") if path.stem != "sound")
MUTATIONS = 400


@pytest.fixture(scope="module")
def native():
    return library()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.safetensors"


class Unpacked(ctypes.Structure):
    """The struct ``fmc_unpacked``."""

    _fields_ = tuple(
        field
        for name in ("values", "codes", "network")
        for field in ((name, ctypes.c_void_p), (f"{name}_bytes", ctypes.c_size_t))
    )


def unpacked(native, data, sizes):
    """Return a status, and what a file is unpacked to, arrays of bytes of these sizes."""
    arrays = [np.zeros(size + 1, np.uint8) for size in sizes]
    into = Unpacked(*(part for own in arrays for part in (own.ctypes.data, len(own) - 1)))
    message = ctypes.create_string_buffer(MESSAGE_BYTES)
    native.fmc_unpack_compact.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.POINTER(Unpacked), ctypes.c_char_p)
    status = native.fmc_unpack_compact(data, len(data), into, message)
    assert all(own[-1] == 0 for own in arrays)
    return status, [own[:-1] for own in arrays]


def stored(model):
    arrays = model.values, model.codes, model.network_data
    return [np.empty(0, np.uint8) if own is None else np.ascontiguousarray(own).view(np.uint8) for own in arrays]


def assert_alike(native, path):
    """Whatever the instructions, a file is unpacked to what Python makes of it, and opens in every way."""
    model, data = load(path), path.read_bytes()
    expected = stored(model)
    for isa in ("portable", "avx2", "avx512"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FMCOMPRESS_ISA", isa)
            status, found = unpacked(native, data, [len(own) for own in expected])
        assert status == OK
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)
    seal = data[start_of(data) :][:32].hex()
    for flags in (0, SHARED, UNSEALED):
        for opened in (Model.open(native, path, flags), Model.of_bytes(native, data, flags)):
            with opened:
                assert opened.about["ids"] == list(model.schema.id_names)
                assert opened.about["link"] == model.link
                assert opened.ask("fmc_sha256").decode() == seal
                assert opened.ask("fmc_resident_bytes") > sum(len(own) for own in expected)


@pytest.mark.parametrize("shape", EVERY_SHAPE)
def test_every_shape_is_unpacked(native, path, shape):
    packed(*EVERY_SHAPE[shape], layout="compact").save(path)
    assert_alike(native, path)


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.safetensors")))
def test_golden_files_are_unpacked(native, name):
    assert_alike(native, GOLDEN / f"{name}.safetensors")


def test_many_lanes_and_odd_names(native, path):
    packed(4, *["90000 2x8 4"] * len(ODD_NAMES), names=ODD_NAMES, layout="compact").save(path)
    assert_alike(native, path)


def python_says(path, data):
    """Return in which words Python refuses a file, up to what it stumbled over; an empty text where it does not."""
    path.write_bytes(data)
    try:
        load(path)
    except ArtifactError as error:
        return str(error).removeprefix(f"{path}: ").partition("(")[0]
    return ""


def native_says(native, data):
    try:
        with Model.of_bytes(native, data):
            return ""
    except RefusedError as error:
        return str(error).partition("(")[0] if error.status == NO_ARTIFACT else f"status {error.status}"


@pytest.mark.parametrize("name", REFUSED)
def test_what_must_be_refused_is_refused_in_the_same_words(native, path, name):
    data = (GOLDEN / "refused" / f"{name}.safetensors").read_bytes()
    assert native_says(native, data) == python_says(path, data) != ""


def test_files_that_were_changed_and_sealed_again_are_refused_in_the_same_words(native, path):
    opened = 0
    for data in mutations(MUTATIONS):
        expected = python_says(path, data)
        if says_more(data):
            continue
        assert native_says(native, data) == expected
        opened += not expected
    assert MUTATIONS / 40 < opened < MUTATIONS / 2


def says_more(data):
    """Return whether a file has provenance or a vocabulary, which the native core does not read."""
    return bool(data[start_of(data) + 33] & (1 | 4))


def test_every_change_of_a_byte_is_noticed(native):
    sound = (GOLDEN / "few-bits.safetensors").read_bytes()
    for at in range(len(sound)):
        for data in (sound[:at] + bytes([sound[at] ^ 0x20]) + sound[at + 1 :], sound[:at]):
            assert native_says(native, data)
    assert native_says(native, sound + b"\0")


def test_memory_of_other_sizes_and_plain_files_are_not_unpacked_into(native):
    data = (GOLDEN / "codes.safetensors").read_bytes()
    sizes = [len(own) for own in stored(load(GOLDEN / "codes.safetensors"))]
    for wrong in ([sizes[0] + 2, *sizes[1:]], [sizes[0], sizes[1] - 1, sizes[2]], [*sizes[:2], 1]):
        assert unpacked(native, data, wrong)[0] == WRONG_CALL
    plain = (GOLDEN.parent / "codes.safetensors").read_bytes()
    assert unpacked(native, plain, sizes)[0] == WRONG_CALL


def test_a_claim_takes_no_memory(native):
    data = (GOLDEN / "refused" / "huge.safetensors").read_bytes()
    assert native_says(native, data) == "is damaged: its size is not the one that its fields need"
    for short in (b"\3", b"\3\0\0"):
        assert native_says(native, with_body(short)) == "is damaged: its header cannot be used "
