"""Torch files made to exhaust memory, to hang or to deceive: each ends at once in an error of one line."""

import os
import pickle
import struct
import warnings
import zipfile

import pytest

from tests.checkpoints.limits import MEBIBYTE, refused
from tests.checkpoints.pickle.test_hostile_pickles import LONG, Calls
from tests.checkpoints.samples import write_torch_zip

from .test_torch_file import tensor_pickle


def test_names_are_only_names(tmp_path):
    path = write_torch_zip(tmp_path / "fm.pt", b"\x80\x02}.")
    for name in ("../../outside", "/etc/passwd", "C:\\outside"):
        data = tensor_pickle().replace(b"X\x01\x00\x00\x000", b"X" + struct.pack("<I", len(name)) + name.encode())
        refused(write_torch_zip(path, data, [bytes(4 * 92)]), message="pickle cannot be read")
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("../data.pkl", b"\x80\x02}.")
    refused(path)
    assert os.listdir(tmp_path) == ["fm.pt"]


def test_names_that_try_to_write_to_the_terminal(tmp_path):
    path = tmp_path / "fm.pt"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("fm/data.pkl", b"x", zipfile.ZIP_DEFLATED)
    refused(path, message="compressed")
    key = "\x1b[31m\nweight"
    refused(write_torch_zip(path, pickle.dumps({key: 1}, 2)), message=r"found no tensors, only .*\\x1b")
    refused(write_torch_zip(path, pickle.dumps(Calls(Escaping), 2)), message=r"asks to call .*Escaping")


class Escaping:
    """A class whose name a pickle may choose."""


def zipped(path, entries, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, data in entries:
            file.writestr(name, data)
    return path


def test_zip_bombs_are_not_unpacked(tmp_path):
    bomb = zipped(tmp_path / "fm.pt", [("fm/data.pkl", bytes(64 * MEBIBYTE))], zipfile.ZIP_DEFLATED)
    refused(bomb, message="compressed", mebibytes=4)
    inner = zipped(tmp_path / "inner.zip", [("0", bytes(2**20))], zipfile.ZIP_DEFLATED).read_bytes()
    refused(zipped(tmp_path / "fm.pt", [("fm/data.pkl", inner)]), mebibytes=4)


def test_two_entries_of_one_name_are_refused(tmp_path):
    path = zipped(tmp_path / "fm.pt", [("fm/data.pkl", b"\x80\x02}."), ("fm/data.pkl", b"\x80\x02N.")])
    refused(path, message="two entries")


def test_entries_in_one_place_are_refused(tmp_path):
    """All but the first say that they begin where the first one does."""
    path = zipped(
        tmp_path / "fm.pt", [("fm/data.pkl", b"N" * 3000), *((f"fm/{number:08}", b"") for number in range(9))]
    )
    data = bytearray(path.read_bytes())
    first = data.index(b"PK\x01\x02")
    sizes = data[first + 16 : first + 28]
    at = first
    while (at := data.find(b"PK\x01\x02", at + 1)) > 0:
        data[at + 16 : at + 28] = sizes
        data[at + 42 : at + 46] = bytes(4)
    path.write_bytes(data)
    refused(path, message="lie over each other")


def test_endless_lists_of_entries_are_refused(tmp_path):
    path = tmp_path / "fm.pt"
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 3, 20, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0)
    for count in (50_000, 500_000):
        names = b"".join(entry + b"%08d" % number for number in range(count))
        end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, len(names), 4, 0)
        path.write_bytes(b"PK\x03\x04" + names + end)
        refused(path, message="list of entries is too long" if count > 50_000 else "")


@pytest.mark.parametrize("field", [(12, 0xFFFFFFFF), (12, 10), (16, 0xFFFFFFFF), (16, 0)])
def test_ends_of_zip_files_that_lie(tmp_path, field):
    place, value = field
    data = bytearray(write_torch_zip(tmp_path / "fm.pt", b"\x80\x02}.").read_bytes())
    end = data.rindex(b"PK\x05\x06")
    data[end + place : end + place + 4] = struct.pack("<L", value)
    (tmp_path / "fm.pt").write_bytes(data)
    refused(tmp_path / "fm.pt")


def test_tensors_that_share_all_bytes_are_refused(tmp_path):
    """A thousand tables of the same megabyte would fill a gigabyte."""
    one = tensor_pickle(elements=2**18, shape=(2**16, 4))
    start, end = one.index(b"ctorch._utils"), one.rindex(b"s.")
    tables = b"".join(
        b"X" + struct.pack("<I", len(key)) + key + one[start:end] + b"s"
        for key in (b"embedding_layer.embedding_layer.embedding_layers.%d.weight" % number for number in range(1000))
    )
    path = write_torch_zip(tmp_path / "fm.pt", b"\x80\x02}" + tables + b".", [bytes(2**20)])
    refused(path, message="again and again", mebibytes=16)


def test_long_names_of_shared_modules_do_not_multiply(tmp_path):
    """Ten thousand modules that are one, with a tensor that has a name of a megabyte."""
    whole = tensor_pickle()
    tensor = whole[whole.index(b"ctorch._utils") : whole.rindex(b"s.")]
    child = b"cm\nM\nq\x08)\x81q\x09}X\x0b\x00\x00\x00_parameters}" + LONG + tensor + b"ssb0"
    modules = b"".join(b"X\x05\x00\x00\x00%05dh\x09" % number for number in range(10_000))
    data = b"\x80\x02" + child + b"h\x08)\x81}X\x08\x00\x00\x00_modules}(" + modules + b"usb."
    refused(write_torch_zip(tmp_path / "fm.pt", data, [bytes(4 * 92)]), message="names that no module", mebibytes=32)


def test_pickles_inside_files_are_limited(tmp_path):
    path = zipped(tmp_path / "fm.pt", [("fm/data.pkl", b"N" * (2**25 + 1))])
    refused(path, message="more than it can have", mebibytes=4)
