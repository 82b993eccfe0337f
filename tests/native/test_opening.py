"""The native core opens what the Python package loads, says the same of it, and refuses the rest in the same words."""

import json
import os
import threading

import numpy as np
import pytest

from fmcompress.artifact import with_vocabulary
from fmcompress.errors import ArtifactError
from fmcompress.fm.field_keys import FieldKeys
from fmcompress.fm.vocabulary import Vocabulary
from fmcompress.serve.compressed_fm import load
from tests.artifact.crafted import craft, craft_kinds, craft_tiered, small_artifacts
from tests.artifact.test_damage import HOSTILE
from tests.artifact.test_elsewhere import MADE
from tests.mixed import LINKS, packed_mixed, vocabulary_of
from tests.models import EVERY_SHAPE, ODD_NAMES, origin, pack_model, packed
from tests.serve.test_networks import KINDS as NETWORKS
from tests.serve.test_networks import model as network_model

from .library import (
    NO_ARTIFACT,
    OK,
    SHARED,
    SUFFIX,
    UNREADABLE,
    UNSEALED,
    VISIBLE,
    WRONG_CALL,
    Model,
    Pieces,
    RefusedError,
    library,
    made,
)

NOT_UNPACKED = {
    "a vocabulary of noise", "a vocabulary cut short", "a vocabulary with more", "a vocabulary of a huge size",
    "a vocabulary of another field", "a vocabulary of a number", "a token's id out of range",
    "a token's id out of range of the shared table", "an id of unknown tokens out of range",
    "an id of missing values out of range", "keys of another field", "a key's id out of range",
    "a key's rank out of range", "keys cut short", "keys with more", "keys of a huge number", "keys that are no text",
    "keys of a huge head", "keys without a head", "keys and tokens of a field",
}  # fmt: skip
"""Artifacts that only whoever unpacks a vocabulary can refuse: the native core scores ids."""


@pytest.fixture(scope="module")
def native():
    return library()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.safetensors"


def refusal(native, data, flags=0):
    with pytest.raises(RefusedError) as caught:
        Model.of_bytes(native, data, flags)
    assert caught.value.status == NO_ARTIFACT
    message = str(caught.value)
    assert "\n" not in message
    return message


def about(model):
    schema = model.schema
    return {
        "ids": list(schema.id_names),
        "cardinalities": schema.id_cardinalities.tolist(),
        "pads": schema.pads.tolist(),
        "poolings": [str(schema.poolings.get(name, "")) for name in schema.id_names],
        "values": list(schema.numeric_names),
        "link": model.link,
        "dim": model.header.dim,
    }


def parts_of(data):
    """Return the metadata of a file and its tensors by name, as ``Model.of_pieces`` takes them."""
    length = int.from_bytes(data[:8], "little")
    layout = json.loads(data[8 : 8 + length])
    metadata = layout.pop("__metadata__")["fmcompress"].encode()
    layout.pop("vocabulary", None)
    tensors = {name: data[8 + length :][slice(*tensor["data_offsets"])] for name, tensor in layout.items()}
    return {"metadata": metadata, **tensors}


def every_opening(native, path):
    data = path.read_bytes()
    for flags in (0, SHARED, UNSEALED, SHARED | UNSEALED):
        yield Model.open(native, path, flags)
        yield Model.of_bytes(native, data, flags)
    yield Model.of_pieces(native, **parts_of(data))


def assert_opened_alike(native, path):
    model, seal = load(path), json.loads(parts_of(path.read_bytes())["metadata"])["sha256"]
    for opened in every_opening(native, path):
        with opened:
            assert opened.about == about(model)
            assert opened.ask("fmc_sha256").decode() == seal


@pytest.mark.parametrize("shape", EVERY_SHAPE)
def test_every_shape_is_opened(native, path, shape):
    packed(*EVERY_SHAPE[shape]).save(path)
    assert_opened_alike(native, path)


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("vocabulary", [False, True])
def test_fields_of_every_kind_are_opened(native, path, link, vocabulary):
    model = packed_mixed(
        *(6, "40 2x8 4", "9 3x3 raw | 21 raw:8 4", "7 raw raw"),
        pads=(0, None, 6), shared=(1, 0, 1), numeric=(True, False), link=link, vocabulary=vocabulary,
    )  # fmt: skip
    model.save(path)
    assert_opened_alike(native, path)


@pytest.mark.parametrize(("kind", "value_bytes"), NETWORKS)
def test_networks_are_opened(native, path, kind, value_bytes):
    pack_model(network_model(kind, value_bytes), origin()).save(path)
    assert_opened_alike(native, path)
    parts = parts_of(path.read_bytes())
    for changed in (None, parts["network"][:-1], parts["network"] + b"\0"):
        with pytest.raises(RefusedError, match="its tensors are not those"):
            Model.of_pieces(native, **{**parts, "network": changed})


@pytest.mark.parametrize("made", MADE, ids=lambda path: path.stem)
def test_artifacts_of_other_machines_are_opened(native, made):
    assert_opened_alike(native, made)


def test_names_are_any_text(native, path):
    packed(4, *["5 raw raw"] * len(ODD_NAMES), names=ODD_NAMES).save(path)
    assert_opened_alike(native, path)
    names = [f"{number}" for number in range(3000)]
    packed(1, *["1 shared shared"] * len(names), names=names).save(path, force=True)
    assert_opened_alike(native, path)


@pytest.mark.parametrize("name", sorted(set(HOSTILE) - NOT_UNPACKED))
def test_hostile_files_are_refused_in_the_same_words(native, path, name):
    path.write_bytes(HOSTILE[name])
    with pytest.raises(ArtifactError) as caught:
        load(path)
    # Of what is in brackets only the beginning is the same: there Python says what it stumbled over.
    expected, _, _ = str(caught.value).removeprefix(f"{path}: ").partition("(")
    found, _, _ = refusal(native, HOSTILE[name]).partition("(")
    assert found == expected
    with pytest.raises(RefusedError):
        Model.open(native, path, SHARED)


@pytest.mark.parametrize("name", sorted(NOT_UNPACKED))
def test_a_vocabulary_is_not_unpacked(native, name):
    with Model.of_bytes(native, HOSTILE[name]) as model:
        assert model.about["ids"] == ["a", "b", "c"]


@pytest.mark.parametrize("kind", ["fp16", "tiers", "kinds"])
def test_every_change_of_a_byte_is_noticed(native, path, kind):
    small_artifacts()[kind].save(path)
    sound = path.read_bytes()
    for at in range(len(sound)):
        for flip in (1, 0x20, 0x80):
            refusal(native, sound[:at] + bytes([sound[at] ^ flip]) + sound[at + 1 :])
        refusal(native, sound[:at])
    for more in (b"\0", b" ", sound):
        refusal(native, sound + more)
        refusal(native, more + sound)


def test_only_the_seal_is_left_out_on_request(native):
    sound = craft()
    for seal in ("0", "e"):
        other = sound.replace(sealed_digits(sound), seal.encode() * 64)
        assert "its SHA-256 is not" in refusal(native, other)
        Model.of_bytes(native, other, UNSEALED).__exit__()
    assert "a code names" in refusal(native, HOSTILE["a code without codeword"], UNSEALED)
    assert "is damaged: it has" in refusal(native, sound + b"\0", UNSEALED)


def sealed_digits(data):
    return json.loads(parts_of(data)["metadata"])["sha256"].encode()


def test_what_is_accepted_may_be_odd(native, path):
    metadata = json.dumps(json.loads(parts_of(craft())["metadata"]) | {"sha256": "0" * 64})
    odd = {
        "escapes": craft(more=metadata.replace("dim", "\\u0064im")),
        "a later key": craft(more=metadata.replace('"dim"', '"remark": {"a": [1e999, null, true, "\\ud800"]}, "dim"')),
        "spaces": craft(more=json.dumps(json.loads(metadata), indent=3)),
        "versions": craft(metadata={"libraries": "faiss 1, , numpy 2"}),
        "standard errors": craft(metadata={"quality": [9, [0.5, 0.7, 0.01], None, [None, 0.7, None]]}),
        "warnings": craft(metadata={"warnings": ["there are 19 training rows", ""]}),
        "no figures": craft(metadata={"quality": ["?", None, None, None]}),
        "no defaults": craft(more=json.dumps({k: v for k, v in json.loads(metadata).items() if k not in (
            "link", "source", "libraries", "quality")})),
        "a field's name with a zero": craft(metadata={"fields": [
            ["a\0b", "cat", 9, "2x3", "4", 0], ["a", "cat", 2, "raw", "raw", 0.0]]}),
        "a zero of its own kind": craft(metadata={"seed": -0}),
        "metadata last": craft(layout=lambda h: h | {"__metadata__": h.pop("__metadata__")}),
        "a seal written twice": craft(metadata={"method": "0" * 64}),
        "a list of powers of two": craft(metadata={"fields": [
            ["a", "cat", 9, "4,1", "4", 0], ["b", "cat", 2, "raw", "raw", 0.0]]},
            values=b"\0\0" * (4 * 2 + 2 + 4 + 8 + 2), codes=b"\0" * 5),
    }  # fmt: skip
    for name, data in odd.items():
        path.write_bytes(data)
        expected = about(load(path))
        with Model.of_bytes(native, data) as model:
            expected["ids"] = [name.partition("\0")[0] for name in expected["ids"]]
            assert model.about == expected, name


def test_origins_that_make_no_sense_are_refused(native, path):
    for entries in (
        {"budget": 1.0}, {"budget": 2**63}, {"budget": None}, {"method": 1}, {"seed": "1"}, {"seed": True},
        {"source": [1]}, {"source": None}, {"libraries": "faiss"}, {"libraries": "faiss 1 2"}, {"libraries": []},
        {"libraries": {"a": 1}}, {"libraries": "a 1,b 2"}, {"quality": None}, {"quality": []}, {"quality": [1, None]},
        {"quality": [1.5, [0.5, 0.5], None, None]}, {"quality": [1, [0.5], None, None]},
        {"quality": {"a": [1, 2, 3, 4, 5]}}, {"link": "identity", "quality": {"a": [1, 2, 3]}},
        {"quality": [1, [0.5, 0.5, "0.5"], None, None]},
        {"warnings": "a"}, {"warnings": ["a", 1]}, {"warnings": None},
        {"quality": {"a": ["1", 2, 3]}}, {"quality": {"a": [1, True, 3]}}, {"quality": {"a": []}}, {"quality": 3},
        {"quality": {"a": [1, int("9" * 400), 3]}}, {"link": "identity", "quality": [1, [0.5, 0.5], None, None]},
    ):  # fmt: skip
        data = craft(metadata=entries)
        path.write_bytes(data)
        with pytest.raises(ArtifactError):
            load(path)
        assert "where it comes from" in refusal(native, data), entries


def test_pieces_are_checked_as_files_are(native):
    for data in (craft(), craft_kinds(), craft_tiered()):
        parts = parts_of(data)
        Model.of_pieces(native, **parts).__exit__()
        for name, piece in parts.items():
            if name == "bias":
                continue
            for changed in (piece[:-1], piece[:-2], piece + b"\0", piece + b"\0\0\0\0"):
                with pytest.raises(RefusedError) as caught:
                    Model.of_pieces(native, **{**parts, name: changed + (b"?" if name == "metadata" else b"")})
                assert caught.value.status == NO_ARTIFACT
    with pytest.raises(RefusedError, match="holds NaN or infinite weights"):
        Model.of_pieces(native, **{**parts_of(craft()), "bias": np.float32(np.nan).tobytes()})
    with pytest.raises(RefusedError, match="has no schema version"):
        Model.of_pieces(native, **{**parts_of(craft()), "metadata": b"\xff"})
    with pytest.raises(RefusedError, match="an argument is NULL") as caught:
        Model(native, native.fmc_open_pieces, Pieces())
    assert caught.value.status == WRONG_CALL


def test_what_is_no_file_is_said_so(native, path, tmp_path):
    messages = {
        path: "no such file",
        path / "more": "no such file",
        tmp_path: "is not a file",
        "/dev/null": "is not a file",
    }
    for given, message in messages.items():
        with pytest.raises(RefusedError) as caught:
            Model.open(native, given)
        assert str(caught.value) == f"{given}: {message}"
        assert caught.value.status == UNREADABLE
    path.touch()
    for flags in (0, SHARED):
        with pytest.raises(RefusedError, match="cannot be read: it is empty"):
            Model.open(native, path, flags)
    long = f"/{'größe/' * 200}end"
    with pytest.raises(RefusedError, match=r"….*/größe/end: no such file"):
        Model.open(native, long)


def test_a_pipe_is_not_waited_for(native, path):
    os.mkfifo(path)
    said = []

    def open_it():
        try:
            Model.open(native, path)
        except RefusedError as error:
            said.append(str(error))

    opening = threading.Thread(target=open_it, daemon=True)
    opening.start()
    opening.join(10)
    assert said == [f"{path}: is not a file"]


def test_a_file_that_may_not_be_read_is_said_so(native, path):
    path.write_bytes(craft())
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read any file")
    with pytest.raises(RefusedError, match="cannot be read: Permission denied"):
        Model.open(native, path)


def test_flags_that_do_not_exist_are_refused(native, path):
    path.write_bytes(craft())
    for flags in (4, 1 << 31):
        with pytest.raises(RefusedError, match="flags are") as caught:
            Model.open(native, path, flags)
        assert caught.value.status == WRONG_CALL


def test_a_message_is_not_needed(native):
    assert native.fmc_open_memory(b"", 0, 0, None, None) == WRONG_CALL
    assert native.fmc_open(None, 0, None, None) == WRONG_CALL
    from ctypes import byref, c_void_p

    model = c_void_p()
    assert native.fmc_open_memory(b"nothing", 7, 0, byref(model), None) == NO_ARTIFACT
    assert native.fmc_open(b"nowhere/at/all", 0, byref(model), None) == UNREADABLE
    data = craft()
    assert native.fmc_open_memory(data, len(data), 0, byref(model), None) == OK
    native.fmc_close(model)
    native.fmc_close(None)


def test_columns_that_do_not_exist_have_no_name(native):
    with Model.of_bytes(native, craft_kinds()) as model:
        assert model.ask("fmc_id_name", 3) is model.ask("fmc_value_name", 2) is None
        assert (model.ask("fmc_cardinality", 3), model.ask("fmc_pad", 3)) == (0, -1)
        assert model.ask("fmc_pooling_name", 3) is None


def test_memory_is_that_of_the_file_without_its_vocabulary(native, path):
    model = packed(8, "40000 8x256 16", "500 raw raw")
    model.save(path)
    size = path.stat().st_size
    keys = {"f0": FieldKeys.of(np.arange(40000), np.arange(40000))}
    with_vocabulary(model, Vocabulary(vocabulary_of(model.schema, seed=1).fields | keys)).save(path, force=True)
    for flags, file_bytes in ((0, size), (SHARED, path.stat().st_size)):
        with Model.open(native, path, flags) as opened:
            assert file_bytes <= opened.ask("fmc_resident_bytes") <= 1.2 * file_bytes + 2**22


@pytest.mark.parametrize(
    "name", ["huge cardinality", "huge cardinality, coded", "huge tiers", "products that overflow"]
)
def test_a_claim_takes_no_memory(native, name):
    before = peak()
    refusal(native, HOSTILE[name])
    assert peak() - before < 4_000_000


def test_many_wide_quantizers_are_no_bomb(native):
    lines = [[f"f{k}", "cat", 9, f"256x{k % 4096 + 1}", "raw", 0] for k in range(3000)]
    before = peak()
    refusal(native, craft(metadata={"dim": 256, "fields": lines}))
    assert peak() - before < 8_000_000


def test_a_large_field_of_one_shared_vector_costs_nothing(native):
    lines = [["a", "cat", 2**31 - 6, "shared", "shared", 0], ["b", "cat", 5, "shared", "shared", 0]]
    with Model.of_bytes(native, craft(metadata={"fields": lines}, values=b"\0\0" * 10, codes=b"")) as model:
        assert model.about["cardinalities"] == [2**31 - 6, 5]
        assert model.ask("fmc_resident_bytes") < 100_000


def test_many_fields_of_one_shared_vector_take_little(native):
    lines = [[f"f{number}", "cat", 4096, "shared", "shared", 0] for number in range(2000)]
    data = craft(metadata={"dim": 8, "fields": lines}, values=b"\0\0" * 9 * len(lines), codes=b"")
    with Model.of_bytes(native, data) as model:
        assert model.ask("fmc_resident_bytes") < 30 * len(data)


def peak():
    """Return the most bytes that this process has had so far."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_the_version_is_that_of_the_package(native):
    from fmcompress.version import __version__

    assert native.fmc_version().decode() == __version__
    assert native.fmc_abi() == 1


def test_the_library_is_installed_by_its_makefile(native, tmp_path):
    made("install", PREFIX=str(tmp_path), **VISIBLE)
    installed = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert installed == {"include/fmcompress.h", "lib/libfmcompress.a", f"lib/libfmcompress.{SUFFIX}"}
