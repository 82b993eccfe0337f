"""Whatever happens to a file, it is refused; and so is what somebody wrote with ill intent."""

import json
import tracemalloc

import numpy as np
import pytest

from fmcompress.errors import ArtifactError
from fmcompress.fm.field_keys import FieldKeys
from fmcompress.fm.field_vocabulary import FieldVocabulary
from fmcompress.fm.vocabulary import Vocabulary
from fmcompress.serve.compressed_fm import load

from .crafted import (
    CODES,
    KINDS,
    LAYERS,
    METADATA,
    TIERED,
    VALUES,
    craft,
    craft_kinds,
    craft_network,
    craft_tiered,
    sealed,
    small_artifacts,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.safetensors"


@pytest.fixture(params=["fp16", "tiers", "kinds"])
def sound(path, request):
    small_artifacts()[request.param].save(path)
    load(path)
    return path.read_bytes()


def refused(path, data):
    path.write_bytes(data)
    with pytest.raises(ArtifactError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert len(message) < 300 + len(str(path))
    return message


@pytest.mark.parametrize("flip", [1, 0x20, 0x80])
def test_every_changed_byte_is_noticed(path, sound, flip):
    for at in range(len(sound)):
        damaged = bytearray(sound)
        damaged[at] ^= flip
        refused(path, damaged)


def test_every_truncation_is_noticed(path, sound):
    for size in range(len(sound)):
        refused(path, sound[:size])


def test_appended_and_prepended_bytes_are_noticed(path, sound):
    for more in (b"\0", b" ", b"\n", sound):
        refused(path, sound + more)
        refused(path, more + sound)


def test_swapped_parts_are_noticed(path, sound):
    middle = len(sound) // 2
    refused(path, sound[middle:] + sound[:middle])
    refused(path, sound[:-4] + sound[-2:] + sound[-4:-2])


def test_files_of_others_are_refused(path):
    import torch
    from safetensors.numpy import save_file

    save_file({"bias": np.zeros(1, np.float32)}, path)
    assert "is not a safetensors file written by fmcompress" in refused(path, path.read_bytes())
    torch.save({"bias": torch.zeros(1)}, path)
    assert "is not a safetensors file" in refused(path, path.read_bytes())


def test_a_newer_version_with_a_fitting_seal_says_so(path):
    path.write_bytes(craft(metadata={"schema_version": 3}))
    with pytest.raises(ArtifactError, match=r"has schema version 3, this fmcompress reads version 2") as caught:
        load(path)
    assert caught.value.hint == "a newer fmcompress reads it"


def test_what_the_hostile_ones_are_made_of_is_sound(path):
    path.write_bytes(craft())
    assert load(path).predict([[0, 0], [8, -1]]).tolist() == [0.5, 0.5]
    path.write_bytes(craft_tiered())
    assert load(path).tiers.of.tolist() == [0, 0, 1, 1, 2]
    # Linear weights of the categories: 2 and 3 by 0.5, then 0.25; a single field has no products.
    np.testing.assert_allclose(load(path).predict([[0], [1], [2], [4]]), 1 / (1 + np.exp([-1, -1.5, -0.25, -0.25])))


def test_what_the_hostile_ones_of_every_kind_are_made_of_is_sound(path):
    path.write_bytes(craft_kinds())
    model = load(path)
    assert model.schema.order == ("price", "a", "c", "b", "age")
    assert model.schema.pads.tolist() == [0, -1, 0]
    assert model.vocabulary.fields["c"].known == {"z": 8}
    logits = 0.5 * 2 - 0.25 * 4  # a single vector has no products
    np.testing.assert_allclose(model.predict([[8, 1, -1]], [[2, 4]]), 1 / (1 + np.exp(-logits)))


def test_unknown_keys_are_ignored(path):
    path.write_bytes(craft(metadata={"remark": "from a later minor version"}))
    load(path)


def one_value(at, bits):
    values = np.zeros(VALUES, dtype="<u2")
    values[at] = bits
    return values.tobytes()


def codes_of(row, bits):
    """Return the stream of the crafted field a, all zeros but one row of 6 bits."""
    return (bits << 6 * row).to_bytes(CODES, "little")


def fields(*lines):
    return {"fields": [list(line) for line in lines]}


def line(cardinality, embedding="shared", linear="shared", name="a"):
    return (name, "cat", cardinality, embedding, linear, 0.0)


def tiers_of(sizes):
    return [[size, "raw:8", "raw", 0.0] for size in sizes]


def tiered(sizes):
    return {"fields": [["a", "cat", 5, [[size, *tier[1:]] for size, tier in zip(sizes, TIERS * 2, strict=False)]]]}


TIERS = TIERED["fields"][0][3]


def kinds_with(place, entry):
    """Return the entries of fields of every kind with another one in place of one of them."""
    return [*KINDS[:place], entry, *KINDS[place + 1 :]]


def numbers_with(place, number):
    return [number if at == place else 0.0 for at in range(6)]


def carrying(**fields):
    return craft_kinds(vocabulary=Vocabulary(fields).encode())


def keys_of(ids):
    return FieldKeys.of(np.arange(100, 100 + len(ids)), np.array(ids))


KEYS = Vocabulary({"a": keys_of(range(9))}).encode()


def spoiled(change):
    """Return a file whose vocabulary is changed; the seal fits."""
    sound = Vocabulary({"a": FieldVocabulary.of({"x": 1, "y": 8})}).encode()
    return craft_kinds(vocabulary=change(sound))


def resized(name, size):
    """Return a header in which one tensor claims another size; the others still follow each other."""

    def change(layout):
        start = 0
        for tensor, width in (("bias", 4), ("values", 2), ("codes", 1)):
            elements = size if tensor == name else layout[tensor]["shape"][0]
            layout[tensor] |= {"shape": [elements], "data_offsets": [start, start + width * elements]}
            start += width * elements
        return layout

    return change


def retyped(layout):
    layout["values"] |= {"dtype": "U8", "shape": [2 * VALUES]}
    return layout


def renamed(layout):
    return {{"values": "weights"}.get(key, key): value for key, value in layout.items()}


def craft_floats(numbers):
    """Return the bytes of a file with one field of three categories in fp32, 9 numbers and 3."""
    stored = np.array(numbers, dtype="<f4").tobytes()
    return craft(metadata={"dim": 3, **fields(line(3, "raw:32", "raw"))}, values=b"", codes=stored)


def test_sound_numbers_in_fp32_are_read(path):
    path.write_bytes(craft_floats(range(12)))
    assert load(path).predict([[2]])[0] == pytest.approx(1 / (1 + np.exp(-11)), rel=1e-6)


def test_what_the_hostile_networks_are_made_of_is_sound(path):
    path.write_bytes(craft_network(biases=(3, 1, 0.5)))
    assert load(path).predict([[0, 0]])[0] == pytest.approx(1 / (1 + np.exp(-2.5)))  # relu(3) − relu(1) + 0.5


def layer(at, entry):
    return [*LAYERS[:at], entry, *LAYERS[at + 1 :]]


NETWORKS = {
    "a network of another kind": craft_network(network=layer(0, "dnn")),
    "a network of no kind": craft_network(network=LAYERS[1:]),
    "a network without layers": craft_network(network=["deepfm"]),
    "a network that is null": craft_network(network=None),
    "a network that is an object": craft_network(network={}),
    "a network that returns two numbers": craft_network(network=LAYERS[:2]),
    "65 layers": craft_network(network=["deepfm", *[[1, "relu", 8]] * 65]),
    "huge layers": craft_network(network=["deepfm", *[[2**20, "relu", 32]] * 63, [1, "relu", 32]]),
    "a layer of nothing": craft_network(network=layer(1, [0, "relu", 8])),
    "a layer of too much": craft_network(network=layer(1, [2**20 + 1, "relu", 8])),
    "a layer of 2**63": craft_network(network=layer(1, [2**63, "relu", 8])),
    "a layer of half a number": craft_network(network=layer(1, [2.0, "relu", 8])),
    "an activation that does not exist": craft_network(network=layer(1, [2, "gelu", 8])),
    "an activation that is no text": craft_network(network=layer(1, [2, None, 8])),
    "four bits": craft_network(network=layer(1, [2, "relu", 4])),
    "bits that are a text": craft_network(network=layer(1, [2, "relu", "8"])),
    "a layer with more": craft_network(network=layer(1, [2, "relu", 8, 8])),
    "a layer with less": craft_network(network=layer(1, [2, "relu"])),
    "a layer that is no list": craft_network(network=layer(1, "relu")),
    "a network in version 1": craft_network(version=1),
    "version 2 of nothing new": craft(metadata={"schema_version": 2}),
    "tables in version 1": craft(metadata={"content": "tables"}),
    "dense layers of no network": craft(network=b"\0" * 36),
    "a network without tensor": craft(metadata={"schema_version": 2, "network": LAYERS}),
    "a network cut short": craft_network(halves=(1,)),
    "a network with more": craft_network(halves=(1, 1, 1)),
    "a network of other layers": craft_network(network=layer(1, [3, "relu", 8])),
    "a network of other fields": craft_network(metadata={"fields": METADATA["fields"][:1]}),
    "a network beside values that are terms": craft_network(
        metadata={"fields": [["a", "cat:each", *METADATA["fields"][0][2:]], METADATA["fields"][1]]}
    ),
    "a bias of a layer of NaN": craft_network(biases=(0, 0, np.nan)),
    "an infinite bias of a layer": craft_network(biases=(np.inf, 0, 0)),
    "an infinite scale of a layer": craft_network(scales=(1, np.inf)),
    "a negative scale of a layer": craft_network(scales=(1, -1)),
    "a scale of a layer of minus zero": craft_network(scales=(-0.0, 1)),
    "a weight of a layer of -128": craft_network(numbers=(*[0] * 15, -128)),
    "an infinite weight of a layer": craft_network(halves=(1, np.inf)),
    "a weight of a layer of NaN": craft_network(halves=(np.nan, 1)),
    "a vocabulary before the network": craft_network(
        layout=lambda h: {key: h[key] for key in ("__metadata__", "bias", "values", "codes", "vocabulary", "network")},
        vocabulary=Vocabulary().encode(),
    ),
}

HOSTILE = {
    **NETWORKS,
    "a bias of NaN": craft(bias=b"\0\0\xc0\x7f"),
    "an infinite bias": craft(bias=b"\0\0\x80\xff"),
    "a value of NaN": craft(values=one_value(5, 0x7E01)),
    "an infinite value, the last": craft(values=one_value(VALUES - 1, 0xFC00)),
    "a code without codeword": craft(codes=codes_of(0, 0b000011)),
    "a code without codeword, second subspace of the last row": craft(codes=codes_of(8, 0b001100)),
    "a tier that does not exist": craft_tiered(tiers=(0, 0, 1, 1, 3)),
    "more categories in a tier than its size": craft_tiered(tiers=(0, 1, 1, 1, 2)),
    "no category in a tier": craft_tiered(tiers=(0, 0, 1, 1, 1)),
    "a number in int8 of -128, the first": craft_tiered(numbers=(-128, 0, 0, 0, 0, 0)),
    "a number in int8 of -128, the last of the embeddings": craft_tiered(numbers=(0, 0, 0, -128, 0, 0)),
    "a linear weight in int8 of -128": craft_tiered(numbers=(0, 0, 0, 0, 0, -128)),
    "a number in fp32 of NaN": craft_floats(9 * [1.0] + [np.nan, 1.0, 1.0]),
    "an infinite linear weight in fp32": craft_floats(11 * [1.0] + [-np.inf]),
    "a negative scale": craft_tiered(scales=(-1.0, 1.0)),
    "a negative scale of linear weights": craft_tiered(scales=(1.0, -(2.0**-24))),
    "a scale of minus zero": craft_tiered(scales=(1.0, -0.0)),
    "a scale of NaN": craft_tiered(scales=(np.nan, 1.0)),
    "an infinite scale": craft_tiered(scales=(1.0, np.inf)),
    "sizes of tiers that do not add up": craft_tiered(metadata=tiered((2, 2, 2))),
    "a tier of nothing": craft_tiered(metadata=tiered((3, 2, 0))),
    "a negative tier": craft_tiered(metadata=tiered((3, 3, -1))),
    "one tier": craft_tiered(metadata=tiered((5,))),
    "five tiers": craft_tiered(metadata=tiered((1,) * 5)),
    "huge tiers": craft(metadata={"dim": 4, "fields": [["a", "cat", 2**31 - 1, tiers_of((2**30, 2**30 - 1))]]}),
    "huge numbers in fp32": craft(metadata=fields(line(2**31 - 1, "raw:32", "raw"))),
    "huge numbers in int8": craft(metadata=fields(line(2**31 - 1, "raw:8", "raw"))),
    "huge cardinality": craft(metadata=fields(line(2**31 - 1, "raw", "raw"))),
    "huge cardinality, coded": craft(metadata=fields(line(2**31 - 1, "4x256", "raw"))),
    "cardinalities beyond int64": craft(metadata=fields(line(2**62), line(2**62, name="b"))),
    "a cardinality beyond any integer": craft(metadata=fields(line(2**80))),
    "negative cardinality": craft(metadata=fields(line(-9))),
    "products that overflow": craft(metadata={"dim": 65_536, **fields(line(2**31 - 1, "raw", "raw"))}),
    "a huge dim": craft(metadata={"dim": 2**40, **fields(line(2**31 - 1, "raw", "raw"))}),
    "a dim of 0": craft(metadata={"dim": 0}),
    "more subspaces than dim": craft(metadata=fields(line(9, "5x3", "4"))),
    "too many subspaces": craft(metadata={"dim": 65_536, **fields(line(9, "65536x1", "raw"))}),
    "too many codewords": craft(metadata=fields(line(9, "1x8192", "raw"))),
    "a name twice": craft(metadata=fields(line(3), line(3))),
    "a name of half a character": craft(metadata=fields(line(3, name="\ud800"))),
    "no fields": craft(metadata=fields()),
    "fewer categories than the tensors need": craft(metadata=fields(line(9, "2x3", "4"), line(1, "raw", "raw", "b"))),
    "deep metadata": craft(more='{"sha256":"' + "0" * 64 + '","a":' + "[" * 100_000 + "]" * 100_000 + "}"),
    "a seal of nothing": craft(metadata={"sha256": ""}),
    "a seal of one letter": craft(metadata={"sha256": "0"}),
    "a seal in capitals": craft(more=json.dumps(METADATA).replace("0" * 64, "A" * 64)),
    "a numeric weight of NaN": craft_kinds(numeric=numbers_with(0, np.nan)),
    "an infinite numeric weight, the last": craft_kinds(numeric=numbers_with(5, -np.inf)),
    "a numeric weight less": craft_kinds(numeric=(0,) * 5),
    "a numeric weight more": craft_kinds(numeric=(0,) * 7),
    "no numeric weights": craft(metadata={"fields": list(KINDS)}),
    "numeric weights of no field": craft(numeric=b"\0" * 4),
    "numeric weights of nothing": craft(numeric=b""),
    "a numeric field of another kind": craft_kinds(fields=kinds_with(4, ["age", "log"])),
    "a numeric field with more": craft_kinds(fields=kinds_with(4, ["age", "lin", 3])),
    "a numeric field without kind": craft_kinds(fields=kinds_with(4, ["age"])),
    "a kind that is a list": craft_kinds(fields=kinds_with(4, ["age", ["lin"]])),
    "a numeric field's name twice": craft_kinds(fields=kinds_with(4, ["a", "lin"])),
    "a numeric field without name": craft_kinds(fields=kinds_with(4, ["", "lin"])),
    "many numeric fields of a large dim": craft(
        metadata={"dim": 65_536, "fields": [*([str(n), "lin"] for n in range(1025)), line(9)]},
        numeric=b"\0" * 4 * 1025, values=b"\0\0" * 65_537, codes=b"",
    ),
    "only numeric fields": craft(metadata={"fields": [KINDS[0], KINDS[4]]}, numeric=b"\0" * 24, values=b"", codes=b""),
    "a shared table that does not exist": craft_kinds(fields=kinds_with(2, ["c", "as", "z"])),
    "a shared table of a shared one": craft_kinds(fields=[*KINDS, ["d", "as", "c"]]),
    "a shared table of a number": craft_kinds(fields=kinds_with(2, ["c", "as", "price"])),
    "a shared table of its own": craft_kinds(fields=kinds_with(2, ["c", "as", "c"])),
    "a shared table that is no name": craft_kinds(fields=kinds_with(2, ["c", "as", 1])),
    "no shared table": craft_kinds(fields=kinds_with(2, ["c", "as"])),
    "two shared tables": craft_kinds(fields=kinds_with(2, ["c", "as", "a", "b"])),
    "a PAD that is no category": craft_kinds(fields=kinds_with(1, ["a", "cat", [9, 9], *KINDS[1][3:]])),
    "a negative PAD": craft_kinds(fields=kinds_with(1, ["a", "cat", [9, -1], *KINDS[1][3:]])),
    "a PAD that is no number": craft_kinds(fields=kinds_with(1, ["a", "cat", [9, None], *KINDS[1][3:]])),
    "two PADs": craft_kinds(fields=kinds_with(1, ["a", "cat", [9, 0, 1], *KINDS[1][3:]])),
    "a PAD without cardinality": craft_kinds(fields=kinds_with(1, ["a", "cat", [9], *KINDS[1][3:]])),
    **{f"link {link}": craft_kinds(link=link) for link in (
        "logit", "clip", "clip:", "clip:1", "clip:5:1", "clip:1:1", "clip:nan:5", "clip:1:inf", "clip:1.0:5",
        "clip:1:5 ", "clip:1:5:6", "clip:1_0:50", "identity:", "Probit", "", None, 1, ["sigmoid"],
    )},
    "a vocabulary of nothing": craft_kinds(vocabulary=b""),
    "a vocabulary of noise": craft_kinds(vocabulary=b"\x93" * 100),
    "a vocabulary cut short": spoiled(lambda data: data[:-1]),
    "a vocabulary with more": spoiled(lambda data: data + b"\0"),
    "a vocabulary of a huge size": spoiled(lambda data: (2**62).to_bytes(8, "little") + data[8:]),
    "a vocabulary of another field": carrying(z=FieldVocabulary.of({"x": 0})),
    "a vocabulary of a number": carrying(price=FieldVocabulary.of({"x": 0})),
    "a token's id out of range": carrying(b=FieldVocabulary.of({"x": 0, "y": 2})),
    "a token's id out of range of the shared table": carrying(c=FieldVocabulary.of({"x": 9})),
    "an id of unknown tokens out of range": carrying(b=FieldVocabulary.of({}, oov=2)),
    "an id of missing values out of range": carrying(b=FieldVocabulary.of({}, missing=2)),
    "keys of another field": carrying(z=keys_of([1])),
    "a key's id out of range": carrying(b=keys_of([0, 2])),
    "a key's rank out of range": carrying(b=FieldKeys.of(np.arange(3))),
    "keys cut short": spoiled(lambda _: KEYS[:-1]),
    "keys with more": spoiled(lambda _: KEYS + b"\0"),
    "keys of a huge number": spoiled(lambda _: KEYS.replace((9).to_bytes(8, "little"), (2**40).to_bytes(8, "little"))),
    "keys that are no text": spoiled(lambda _: KEYS.replace(b"null", b"nul;")),
    "keys of a huge head": spoiled(lambda _: KEYS[:8] + (2**60).to_bytes(8, "little") + KEYS[16:]),
    "keys without a head": spoiled(lambda _: KEYS[:8]),
    "keys and tokens of a field": spoiled(
        lambda sound: KEYS + sound,
    ),
    "a field that is an object": craft_kinds(fields=kinds_with(4, {"age": 0, "lin": 0})),
    "a source that is a text": craft(metadata={"source": "abc"}),
    "a source that is an object": craft(metadata={"source": {"abc": 1}}),
    "an offset with a decimal point": craft(layout=lambda h: {**h, "bias": {**h["bias"], "data_offsets": [0.0, 4.0]}}),
    "an offset of false": craft(layout=lambda h: {**h, "bias": {**h["bias"], "data_offsets": [False, 4]}}),
    "a vocabulary before the codes": craft(
        layout=lambda h: {key: h[key] for key in ("__metadata__", "bias", "values", "vocabulary", "codes")},
        vocabulary=Vocabulary().encode(),
    ),
    "other dtypes": craft(layout=retyped),
    "another name of a tensor": craft(layout=renamed),
    "a tensor more": craft(layout=lambda h: {**h, "more": {"dtype": "U8", "shape": [0], "data_offsets": [73, 73]}}),
    "values of 2**62": craft(layout=resized("values", 2**62)),
    "codes of 2**63": craft(layout=resized("codes", 2**63)),
    "codes of nothing": craft(layout=resized("codes", 0)),
    "a header of 2**63": sealed((2**63).to_bytes(8, "little") + craft()[8:]),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_with_little_memory(path, name):
    tracemalloc.start()
    refused(path, HOSTILE[name])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


def test_damage_says_what_it_is(path):
    assert "a code names a codeword that does not exist" in refused(path, HOSTILE["a code without codeword"])
    assert "its tiers have not as many categories" in refused(path, HOSTILE["a tier that does not exist"])
    assert "its tiers have not as many categories" in refused(path, HOSTILE["no category in a tier"])
    assert "below -127" in refused(path, HOSTILE["a linear weight in int8 of -128"])
    assert "negative scale" in refused(path, HOSTILE["a negative scale"])
    assert "NaN or infinite" in refused(path, HOSTILE["an infinite linear weight in fp32"])
    assert "NaN or infinite" in refused(path, HOSTILE["a scale of NaN"])
    assert "NaN or infinite" in refused(path, HOSTILE["a value of NaN"])
    assert "SHA-256" in refused(path, craft()[:-1] + b"\1")


def test_checking_codes_takes_little_memory_however_many_subspaces_have_none(path):
    # 400,000 rows of 256 codes, of which only the last has bits: 100 kB here, 205 MB as an array.
    widest = ",".join(["1"] * 255 + ["3"])
    data = craft(
        metadata={"dim": 256, **fields(line(400_000, widest, "shared"))},
        values=b"\0\0" * (255 + 3 + 1),
        codes=b"\0" * 99_999 + b"\xc0",
    )
    tracemalloc.start()
    refused(path, data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30_000_000


def test_checking_tiers_and_int8_takes_little_memory(path):
    half, stream = 2_000_000, b"\x55" * 500_000
    metadata = {
        "dim": 1,
        "fields": [["a", "cat", 2 * half, [[half, "raw:8", "shared", 0.0], [half, "shared", "shared", 0.0]]]],
    }
    data = craft(metadata=metadata, values=b"\0\0" * 4, codes=stream + b"\x80" * half + b"\0")
    tracemalloc.start()
    assert "below -127" in refused(path, data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8_000_000


@pytest.mark.slow
def test_a_header_of_many_wide_quantizers_is_no_bomb(path):
    lines = [line(9, f"256x{k % 4096 + 1}", "raw", f"f{k}") for k in range(1000)]
    tracemalloc.start()
    refused(path, craft(metadata={"dim": 256, **fields(*lines)}))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


def test_a_large_field_of_one_shared_vector_costs_nothing(path):
    path.write_bytes(craft(metadata=fields(line(2**31 - 6), line(5, name="b")), values=b"\0\0" * 10, codes=b""))
    assert load(path).predict([[2**31 - 7, 4]]).tolist() == [0.5]
