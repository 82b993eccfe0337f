"""Parts of the native core that have a pair in Python: decimal numbers, quantizers, JSON, UTF-8, SHA-256."""

import ctypes
import hashlib
import json
import math
import random
import struct

import numpy as np
import pytest

from fmcompress.artifact.container import parse_json
from fmcompress.errors import UsageError
from fmcompress.fm.quantizer import parse_quantizer

from .library import library


@pytest.fixture(scope="module")
def native():
    found = library()
    found.fmc_write_decimal.argtypes = (ctypes.c_double, ctypes.c_char_p)
    found.fmc_decimal.argtypes, found.fmc_decimal.restype = (ctypes.c_char_p,), ctypes.c_double
    found.fmc_parse_quantizer.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
    found.fmc_parse_quantizer.restype = found.fmc_utf8_check.restype = ctypes.c_bool
    found.fmc_json_check.argtypes = found.fmc_utf8_check.argtypes = (ctypes.c_char_p, ctypes.c_size_t)
    found.fmc_json_decode.argtypes, found.fmc_json_decode.restype = (ctypes.c_char_p,) * 2, ctypes.c_size_t
    return found


def doubles():
    rng = random.Random(1)
    yield from (0.0, 1e15, 1e16, 1e17, 123456.5, 9007199254740993.0, 0.0001, 0.00001, 1.7976931348623157e308)
    yield from (2.0**power for power in range(-1074, 1024))
    yield from (10.0**power for power in range(-30, 30))
    yield from (round(rng.uniform(0, 1e3), decimals) for decimals in range(10) for _ in range(50))
    for _ in range(3000):
        (number,) = struct.unpack("d", struct.pack("Q", rng.getrandbits(63)))
        if math.isfinite(number):
            yield number


def test_doubles_are_written_and_read_as_python_does(native):
    written = ctypes.create_string_buffer(48)
    for positive in doubles():
        for number in (positive, -positive):
            native.fmc_write_decimal(number, written)
            assert written.value.decode() == repr(number).removesuffix(".0")
            assert struct.pack("d", native.fmc_decimal(repr(number).encode())) == struct.pack("d", number)


def test_decimal_numbers_of_any_length_are_read(native):
    zeros = "0" * 900
    for text in (
        "1e400", "-1e-400", f"0.{zeros}1", f"1{zeros}", f"1{zeros}e-900", f"0.{zeros}1e901", "0e99999999999999999999",
        "1e-99999999999999999999", "9007199254740993", f"9007199254740993.{zeros}", f"9007199254740993.{zeros}1",
        f"9007199254740992.99{'9' * 900}",
    ):  # fmt: skip
        assert native.fmc_decimal(text.encode()) == float(text), text


class Quantizer(ctypes.Structure):
    _fields_ = (
        ("codewords", ctypes.c_uint16 * 256),
        ("subspaces", ctypes.c_uint32),
        ("linear_codewords", ctypes.c_uint32),
        ("number_bytes", ctypes.c_uint32),
    )


def parsed(native, embedding, linear):
    found = Quantizer()
    if not native.fmc_parse_quantizer(json.dumps(embedding).encode(), json.dumps(linear).encode(), ctypes.byref(found)):
        return None
    return tuple(found.codewords[: found.subspaces]), found.linear_codewords, found.number_bytes


def expected(embedding, linear):
    try:
        found = parse_quantizer(embedding, linear)
    except UsageError:
        return None
    if found.integer_bits != 8:  # which compact files alone have, and say in another way
        return None
    return found.codewords, found.linear_codewords, found.value_bytes


_LISTED = """
raw shared 4x256 b8666 256,100 256,64,64,64 1x1 2x1 b0 b00 b01 1,2 1,1 b88 5 256x1 257x1 256x4096 1x4097 0x4 04x4 4x04
b bd bC raw:8:8 :8 1, x ,1 4x x4 1,2:8 b10:8 2,4:8 2,3:8 4x256:8 shared:8
raw:32 shared:32 4x256:32 2,3:32 2,4:32 b10:32 b11:32 raw:32:8 raw:8:32 :32 raw:3 raw:2 raw:16
rawx 99999x1 100000x1 4٣x2
"""
ODD = (
    *_LISTED.split(), "", "4x256 ", "3\x0000", "4x256\0", f"b{'8' * 256}", f"b{'87' * 128}", f"b{'87' * 128}1",
    ",".join(["3"] * 255 + ["5"]), ",".join(["3"] * 256 + ["5"]), ",".join(["4096"] * 255 + ["4095"]),
    ",".join(["4096"] * 255 + ["4095:8"]), ",".join(["4096"] * 255 + ["4095:32"]),
)  # fmt: skip


def test_names_of_quantizers_are_understood_alike(native):
    rng = random.Random(2)
    linear = ("raw", "shared", "16", "1", "0", "016", "4096", "4097", "99999", "2", " 2", "2:8", "", "raw:8", "x")
    pairs = [(name, other) for name in ODD for other in linear]
    for _ in range(4000):
        noise = "".join(rng.choice("0123456789abcx,:832rw") for _ in range(rng.randint(1, 7)))
        sizes = ",".join(str(rng.choice([1, 2, 4, 3, 256, 4096, 100, 4097])) for _ in range(rng.randint(1, 4)))
        pairs += [(noise, "raw"), (f"b{noise}", "raw"), (sizes + rng.choice(["", ":8", ":32"]), "4")]
    found = [parsed(native, *pair) for pair in pairs]
    assert found == [expected(*pair) for pair in pairs]
    assert sum(quantizer is not None for quantizer in found) > 1000


TEXTS = (
    '{"a":[1,-0.5e+3,"x\\u00e9\\ud83d\\ude00\\n",null,true,false,{}],"b":{"c":[]},"\\u0061b":0}',
    '[[],[[]],{"":1}]', '"\\ud800"', "-0", "[1e5,0.1,-1E-2]", '{"a":1,"\\u0061":2}', " [ 1 , 2 ] ", "NaN",
    "[Infinity]", "[-Infinity]", "01",
    '{"a" : "é😀","é":{"x":1,"y":2,"z":3,"u":4,"v":5,"w":6,"q":7,"r":8,"s":9,"t":10}}', "[1,]", "{,}", '{"a":1,}',
    '"\t"', '"\x7f"', "\ufeff[]", "1.", ".5", "1e", "+1", "[1 2]", "nul", "truefalse", "", '"', '"\\', '"\\u12',
    "[", '{"a"', '{"a":', '{"a":1', "{1:2}", "1" * 4300, "1" * 4301, f"-{'1' * 4300}", f"{'1' * 4301}.0", '"\\x"',
    "\x0b[]", "[]\0", '["\\u0000"]', '{"\\ud83d\\ude00":1,"😀":2}', '{"\\ud83d":1,"\\ude00":2}',
    "[" * 400 + "]" * 400, "[" * 10**5, "[" * 10**5 + "]" * 10**5,
)  # fmt: skip


def is_json(text):
    try:
        parse_json(text)
    except (ValueError, RecursionError):
        return False
    return True


def test_the_same_texts_are_json(native):
    rng = random.Random(3)
    texts = list(TEXTS)
    for _ in range(10_000):
        letters = list(rng.choice(TEXTS[:20]))
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(letters) + 1)
            new = rng.choice(["", rng.choice('{}[]",:\\u0189adeflnrst.+-E \n\té😀')])
            letters[at : at + rng.randrange(2)] = new
        texts.append("".join(letters))
    encoded = [text.encode() for text in texts]
    found = [native.fmc_json_check(text, len(text)) == 0 for text in encoded]
    assert found == list(map(is_json, texts))
    assert 1000 < sum(found) < 9000


def test_many_keys_are_each_there_once(native):
    keys = [f'"k{number}":{number}' for number in range(20_000)]
    for text, sound in ((keys, True), ([*keys, '"\\u006b777":0'], False)):
        joined = f"{{{','.join(text)}}}".encode()
        assert (native.fmc_json_check(joined, len(joined)) == 0) is sound


@pytest.mark.parametrize("escaped", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "é€😀\0",
        "\ud800",
        "\ud83d\ude00x",
        "\ude00\ud83d",
        "\ud83d\ud83d\ude00",
        '"\\/\b\f\n\r\t',
        "\uffff\U0010ffff",
    ],
)
def test_texts_are_decoded(native, text, escaped):
    into = ctypes.create_string_buffer(200)
    written = json.dumps(text, ensure_ascii=escaped)
    size = native.fmc_json_decode(written.encode("utf-8", "surrogatepass"), into)
    assert into.raw[:size] == json.loads(written).encode("utf-8", "surrogatepass")


def test_the_same_bytes_are_utf8(native):
    rng = random.Random(4)
    sound = "aé€😀\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff".encode()
    for _ in range(10_000):
        data = bytearray(sound)
        for _ in range(rng.randint(1, 2)):
            data[rng.randrange(len(data))] = rng.choice(b"\x7f\x80\xbf\xc0\xc1\xc2\xe0\xed\xf0\xf4\xf5\x9f\xa0\x8f\x90")
        data = bytes(data[: rng.randrange(len(data) + 1)])
        assert native.fmc_utf8_check(data, len(data)) == (data.decode(errors="replace").encode() == data), data


class Hash(ctypes.Structure):
    _fields_ = (("state", ctypes.c_uint32 * 8), ("bytes", ctypes.c_uint64), ("block", ctypes.c_uint8 * 64))


def digest(native, pieces):
    hash_, hexadecimal = Hash(), ctypes.create_string_buffer(65)
    native.fmc_sha256_start(ctypes.byref(hash_))
    for piece in pieces:
        native.fmc_sha256_add(ctypes.byref(hash_), piece, ctypes.c_size_t(len(piece)))
    native.fmc_sha256_end(ctypes.byref(hash_), hexadecimal)
    return hexadecimal.value.decode()


def test_sha256_is_that_of_hashlib(native):
    data = np.random.default_rng(5).bytes(5000)
    for size in [*range(260), 999, 4096, 5000]:
        own = data[:size]
        assert digest(native, [own]) == hashlib.sha256(own).hexdigest()
        assert digest(native, [own[: size // 3], b"", own[size // 3 : size // 2], own[size // 2 :]]) == digest(
            native, [own]
        )


def test_portable_sha256_is_that_of_the_processor(native):
    data = np.random.default_rng(6).bytes(64 * 50)
    states = [(ctypes.c_uint32 * 8)(*range(7, 15)) for _ in range(2)]
    for take, state in zip((native.fmc_sha256_portable, native.fmc_sha256_blocks), states, strict=True):
        take(state, data, ctypes.c_size_t(50))
    assert list(states[0]) == list(states[1])
