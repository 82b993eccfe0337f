"""Two thousand damaged files of each tool: an error of one line, or a model that passes every check; nothing else."""

import io
import json
import random
import resource
import shutil
import signal
import warnings
import zipfile
from contextlib import contextmanager
from pathlib import Path

import joblib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torch.distributed.checkpoint as dcp
from safetensors.torch import save_file

from fmcompress.checkpoints import FMCheckpoint, load_checkpoint, save_checkpoint
from fmcompress.checkpoints.load import DIALECTS
from fmcompress.errors import FMCompressError
from fmcompress.fm.field_specs import parse_fields

from .pickles import rewritten_pickle
from .samples import FIELDS, FILES, STATE_DICT, small_checkpoint
from .tools.test_fastfm import CLASSIFIER, NAMES

pytestmark = pytest.mark.slow

MUTATIONS = 2000
"""Damaged files per dialect."""

MAX_BYTES = 2**29
MAX_SECONDS = 5
SPARK_FIELDS = parse_fields("user:9,item:7,ctx:13")
GIVEN = {"fields": FIELDS}
KEYS = {"v": "embedding.embedding.weight", "w": "linear.fc.weight", "b": "linear.bias"}
MADE_KEYS = {"v": "V", "w": "w", "b": "b"}

CASES = (
    ("pytorch-fm", "pytorch-fm/fm.pt", {}),
    ("pytorch-fm", "pytorch-fm/fm_state_dict.pt", GIVEN),
    ("RecBole", "recbole/cat/FM-Nov-23-2026_17-13-12.pth", {}),
    ("RecBole", "recbole/num/FM-Nov-23-2026_17-13-19.pth", {}),
    ("FuxiCTR", "fuxictr/tiny_cat/FM_tiny_cat.model", {}),
    ("FuxiCTR", "fuxictr/tiny_num/FM_tiny_num.model", {}),
    ("DeepCTR-Torch", "deepctr-torch/deepfm.h5", {}),
    ("DeepCTR-Torch", "deepctr-torch/deepfm_dense.h5", {}),
    ("DeepCTR-Torch", "deepctr-torch/deepfm_weights.h5", {}),
    ("DeepCTR-Torch", "deepctr-torch/deepfm_dense_weights.h5", {}),
    ("torch-rechub", "torch-rechub/model.pth", {}),
    ("torch-rechub", "networks/torch-rechub/sequence.pth", {}),
    ("pytorch-fm", "networks/pytorch-fm/nfm.pt", {}),
    ("RecBole", "networks/recbole/NFM-Nov-28-2026_10-51-59.pth", {}),
    ("FuxiCTR", "networks/fuxictr/net_all/DeepFM_net_all.model", {"activation": "tanh"}),
    ("DeepCTR-Torch", "networks/deepctr-torch/deepfm_prelu.h5", {}),
    ("DeepCTR-Torch", "networks/deepctr-torch/nfm_weights.h5", {}),
    ("fastFM", "fastfm/als_clf.pkl", GIVEN),
    ("fastFM", "fastfm/als_reg.pkl", GIVEN),
    ("fastFM", "fastfm/sgd_clf.pkl", GIVEN),
    ("fastFM", "protocol_0.pkl", GIVEN),
    ("fastFM", "protocol_5.pkl", GIVEN),
    ("myFM", "myfm/vb_clf.pkl", GIVEN),
    ("myFM", "myfm/vb_reg.pkl", GIVEN),
    ("libFM", "libfm/model_clf_sgd.txt", {**GIVEN, "link": "sigmoid"}),
    ("libFM", "libfm/model_k1_sgd.txt", {**GIVEN, "link": "sigmoid"}),
    ("libFM", "libfm/model_nolin_sgd.txt", {**GIVEN, "link": "sigmoid"}),
    ("libFM", "libfm/model_reg_als.txt", {**GIVEN, "link": "clip:0:1"}),
    ("xLearn", "xlearn/model.txt", {**GIVEN, "link": "sigmoid", "instance_norm": True}),
    ("xLearn", "xlearn/model.out", {**GIVEN, "instance_norm": True}),
    ("Spark MLlib", "spark/fm_clf", {"fields": SPARK_FIELDS}),
    ("Spark MLlib", "spark/fm_reg", {"fields": SPARK_FIELDS}),
    ("Spark MLlib", "spark/pipeline_clf", {}),
    ("Spark MLlib", "spark4/fm_clf", {"fields": SPARK_FIELDS}),
    ("Spark MLlib", "spark4/fm_reg", {"fields": SPARK_FIELDS}),
    ("Spark MLlib", "spark4/pipeline_clf", {}),
    ("own model", "pytorch-fm/fm_state_dict.pt", {**GIVEN, "keys": KEYS}),
    ("own model", "made.npz", {**GIVEN, "keys": MADE_KEYS}),
    ("own model", "made.joblib", {**GIVEN, "keys": MADE_KEYS}),
    ("own model", "made.joblib.gz", {**GIVEN, "keys": MADE_KEYS}),
    ("pytorch-fm", "lightning.ckpt", GIVEN),
    ("pytorch-fm", "shards", GIVEN),
    ("pytorch-fm", "distributed", GIVEN),
    ("Parquet table", "made.parquet", {}),
    ("fmcompress", "native.pt", {}),
    ("fmcompress", "native.safetensors", {}),
)
"""Tool, genuine file or directory, and what has to be said about it; what tells its fields is damaged as well."""


def test_every_tool_has_a_row():
    assert {tool for tool, _, _ in CASES} == {dialect.tool for dialect in DIALECTS} | {"own model"}


def flipped(data, rng):
    for _ in range(rng.choice((1, 1, 2, 8))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def overwritten(data, rng):
    for _ in range(rng.choice((1, 1, 2, 4))):
        data[rng.randrange(len(data))] = rng.randrange(256)


def filled(data, rng):
    start = rng.randrange(len(data))
    length = rng.choice((1, 2, 4, 8))
    data[start : start + length] = bytes([rng.choice((0, 0x7F, 0x80, 0xFF))]) * length


def cut(data, rng):
    del data[rng.randrange(len(data)) :]


def shortened(data, rng):
    start = rng.randrange(len(data))
    del data[start : start + rng.choice((1, 4, 16, 200))]


def repeated(data, rng):
    start = rng.randrange(len(data))
    chunk = data[start : start + rng.choice((1, 4, 16, 200))]
    data[start:start] = chunk * rng.choice((1, 1, 50))


def spliced(data, rng):
    """Put a part of the file in another place."""
    start, target = rng.randrange(len(data)), rng.randrange(len(data))
    chunk = data[start : start + rng.choice((2, 8, 40))]
    data[target : target + len(chunk)] = chunk


CHANGES = (flipped, flipped, overwritten, filled, cut, shortened, repeated, spliced)


def mutated(data, rng):
    """Return bytes with a change; of a zip file mostly one in its pickle, with a checksum that is right."""
    if data.startswith(b"PK\x03\x04") and rng.random() < 0.8:
        return with_mutated_entry(data, rng)
    changed = bytearray(data)
    if changed:
        rng.choice(CHANGES)(changed, rng)
    return bytes(changed)


def with_mutated_entry(data, rng):
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(target, "w") as new:
        names = [name for name in old.namelist() if rng.random() < 0.1 or name.endswith("data.pkl")]
        chosen = rng.choice(names or old.namelist())
        for info in old.infolist():
            content = old.read(info)
            new.writestr(info.filename, mutated(content, rng) if info.filename == chosen else content)
    return target.getvalue()


def write_lightning(path):
    state = {f"model._orig_mod.{key}": value for key, value in torch.load(STATE_DICT).items()}
    torch.save({"epoch": 2, "state_dict": {**state, "criterion.pos_weight": torch.ones(1)}, "loops": {}}, path)


def write_shards(path):
    state, names = torch.load(STATE_DICT), ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    path.mkdir()
    places = {key: names[number % 2] for number, key in enumerate(state)}
    for name in names:
        save_file({key: state[key] for key, place in places.items() if place == name}, path / name)
    (path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


def write_distributed(path):
    with warnings.catch_warnings(action="ignore"):
        dcp.save(torch.load(STATE_DICT), checkpoint_id=path, no_dist=True)


def write_parquet(path):
    vectors = np.random.default_rng(0).standard_normal((23, 4), dtype=np.float32)
    columns = {"field": ["user"] * 9 + ["item"] * 14, "key": [*range(9), *range(2**40, 2**40 + 14)], "w": vectors[:, 0]}
    pq.write_table(pa.table({**columns, "v": list(vectors)}), path)


ARRAYS = {"V": np.ones((23, 4)), "w": np.ones(23, np.float32), "b": -0.5}
MADE = {
    "made.npz": lambda path: np.savez_compressed(path, **ARRAYS),
    "made.joblib": lambda path: joblib.dump(ARRAYS, path),
    "made.joblib.gz": lambda path: joblib.dump(ARRAYS, path),
    "lightning.ckpt": write_lightning,
    "shards": write_shards,
    "distributed": write_distributed,
    "made.parquet": write_parquet,
}


@pytest.fixture
def copies(tmp_path):
    """Return a function that copies a genuine file, with what lies in its folder, or a directory."""

    def copied(path):
        if path.startswith("native."):
            save_checkpoint(small_checkpoint(), tmp_path / path)
            return tmp_path / path, [tmp_path / path]
        if path in MADE:
            MADE[path](tmp_path / path)
            return tmp_path / path, parts_of(tmp_path / path) if (tmp_path / path).is_dir() else [tmp_path / path]
        if path.startswith("protocol_"):
            protocol = int(path.removeprefix("protocol_").removesuffix(".pkl"))
            return rewritten_pickle(CLASSIFIER, tmp_path / path, NAMES, protocol=protocol), [tmp_path / path]
        source = FILES / path
        target = tmp_path / path
        shutil.copytree(
            source if source.is_dir() else source.parent,
            target if source.is_dir() else target.parent,
            dirs_exist_ok=True,
        )
        return target, parts_of(target)

    return copied


def parts_of(path):
    """Return the files that are read of a checkpoint."""
    if path.is_dir():
        return sorted(part for part in path.rglob("*") if part.is_file() and part.stat().st_size)
    beside = [part for part in path.parent.iterdir() if part.suffix == ".json" or part.name.endswith("-Dataset.pth")]
    return [path, *sorted(beside)]


@contextmanager
def limited():
    """Make more memory than a damaged file may take an error, and a hang too."""

    def stop(*_):
        raise TimeoutError("it hangs")

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MAX_BYTES, before[1]))
    handler = signal.signal(signal.SIGALRM, stop)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


def is_read(path, given):
    """Return whether a file is read, or else check that it is refused as it should be."""
    signal.alarm(MAX_SECONDS)
    try:
        return isinstance(load_checkpoint(path, **given), FMCheckpoint)
    except FMCompressError as error:
        message, hint = str(error), error.hint
    assert message.startswith(f"{path.name}: ")
    assert message.isprintable()
    assert len(message) < 500
    assert hint is None or "\n" not in hint
    return False


@pytest.mark.parametrize("tool", dict.fromkeys(tool for tool, _, _ in CASES))
def test_damaged_files(copies, tool):
    cases = [(path, given) for each, path, given in CASES if each == tool]
    for path, given in cases:
        rng = random.Random(path)
        copy, parts = copies(path)
        assert is_read(copy, given), "the genuine file is read"
        genuine = {part: part.read_bytes() for part in parts}
        with limited():
            for _ in range(-(-MUTATIONS // len(cases))):
                part = rng.choice(parts)
                part.write_bytes(mutated(genuine[part], rng))
                is_read(copy, given)
                part.write_bytes(genuine[part])
