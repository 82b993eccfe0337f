"""Pickles and joblib's files of arrays, compressed or not: read through the map, without running anything."""

import gzip
import pickle
import sys
import types

import joblib
import numpy as np
import pytest

from fmcompress.checkpoints import load_checkpoint
from fmcompress.errors import CheckpointError
from tests.checkpoints.limits import refused
from tests.checkpoints.samples import FIELDS, FILES

RNG = np.random.default_rng(0)
V, W = RNG.normal(size=(5, 4)), RNG.normal(size=5).astype(np.float32)
DICT = {"V": V, "w": W, "b": -0.5, "epoch": 3, "names": ["a", "b"]}
GIVEN = {"fields": "a:3,b:2", "keys": "v=V,w=w,b=b"}
COMPRESSED = (0, 3, ("zlib", 9), ("gzip", 3), ("bz2", 3), ("lzma", 3), ("xz", 3))


def check(ckpt):
    np.testing.assert_array_equal(ckpt.embeddings, V.astype(np.float32))
    np.testing.assert_array_equal(ckpt.linear, W)
    assert (ckpt.bias, ckpt.source.tool) == (-0.5, "own model")


@pytest.mark.parametrize("protocol", range(6))
def test_dict_of_arrays(tmp_path, protocol):
    (tmp_path / "fm.pkl").write_bytes(pickle.dumps(DICT, protocol))
    ckpt = load_checkpoint(tmp_path / "fm.pkl", **GIVEN)
    check(ckpt)
    assert ckpt.source.also == ("epoch", "names")


@pytest.mark.parametrize("compress", COMPRESSED, ids=str)
def test_joblib(tmp_path, compress):
    joblib.dump(DICT, tmp_path / "fm.joblib", compress=compress)
    check(load_checkpoint(tmp_path / "fm.joblib", **GIVEN))


def test_gzipped_pickle_and_nested_values(tmp_path):
    (tmp_path / "fm.pkl.gz").write_bytes(gzip.compress(pickle.dumps({"model": {"fm": DICT}, "seed": 1})))
    check(load_checkpoint(tmp_path / "fm.pkl.gz", **GIVEN))


@pytest.mark.parametrize("kind", [list, tuple])
@pytest.mark.parametrize("dump", [joblib.dump, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_items_of_a_list(tmp_path, kind, dump):
    dump(kind([-0.5, W, V]), tmp_path / "fm.pkl")
    check(load_checkpoint(tmp_path / "fm.pkl", fields="a:3,b:2", keys="v=2,w=1,b=0"))


@pytest.mark.parametrize(
    "array", [np.asfortranarray(V), V.astype(">f8"), V[::-1, ::-1][::-1, ::-1], np.repeat(V, 2, axis=0)[::2]]
)
@pytest.mark.parametrize("compress", [0, 3])
def test_arrays_of_any_layout_as_joblib_writes_them(tmp_path, array, compress):
    joblib.dump({**DICT, "V": array, "other": array}, tmp_path / "fm.pkl", compress=compress)
    check(load_checkpoint(tmp_path / "fm.pkl", fields="a:3,b:2", keys="v=V,w=w,b=b,ignore=other"))


def test_known_keys_need_no_map(tmp_path):
    table = np.arange(92, dtype=np.float32).reshape(23, 4)
    state = {"embedding.embedding.weight": table, "linear.fc.weight": table[:, :1], "linear.bias": np.ones(1)}
    joblib.dump({"state": state}, tmp_path / "fm.pkl")
    ckpt = load_checkpoint(tmp_path / "fm.pkl", fields=FIELDS)
    np.testing.assert_array_equal(ckpt.embeddings, table)
    assert ckpt.source.tool == "pytorch-fm"


class Estimator:
    """What a user's own class may look like."""

    def __setstate__(self, state):
        raise AssertionError("it was run")


@pytest.mark.parametrize("dump", [joblib.dump, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_attributes_of_any_object(tmp_path, dump):
    model = Estimator()
    model.__dict__.update(V_=V.T, w_=W, w0_=-0.5, rank=4)
    dump(model, tmp_path / "fm.pkl")
    check(load_checkpoint(tmp_path / "fm.pkl", fields="a:3,b:2", keys="v=V_,w=w_,b=w0_"))
    with pytest.raises(CheckpointError, match=r"a pickle of .*\.Estimator, expected a model of fastFM") as caught:
        load_checkpoint(tmp_path / "fm.pkl")
    assert "--map v=V_,w=w_,b=w0_" in caught.value.hint
    with pytest.raises(CheckpointError, match="it has no tensor 'U', found 'V_', 'w_'"):
        load_checkpoint(tmp_path / "fm.pkl", fields="a:3,b:2", keys="v=U")


@pytest.mark.parametrize("compress", [0, ("zlib", 3), ("lzma", 1)])
@pytest.mark.parametrize("name", ["fastfm/als_clf.pkl", "fastfm/sgd_clf.pkl", "myfm/vb_clf.pkl"])
def test_estimators_in_joblib_files(tmp_path, name, compress, monkeypatch):
    plain = load_checkpoint(FILES / name, fields=FIELDS)
    joblib.dump(stood_in(FILES / name, monkeypatch), tmp_path / "fm.joblib", compress=compress)
    found = load_checkpoint(tmp_path / "fm.joblib", fields=FIELDS)
    assert (found.source.tool, found.link, found.bias) == (plain.source.tool, plain.link, plain.bias)
    np.testing.assert_array_equal(found.embeddings, plain.embeddings)
    np.testing.assert_array_equal(found.linear, plain.linear)


def stood_in(path, monkeypatch):
    """Return the object of a pickle, of classes that keep its state as it is."""

    class Unpickler(pickle.Unpickler):
        def find_class(self, module, name):
            if module.startswith(("numpy", "builtins", "copyreg")):
                return super().find_class(module, name)
            parts = module.split(".")
            for count in range(1, len(parts) + 1):
                made = ".".join(parts[:count])
                if made not in sys.modules:
                    monkeypatch.setitem(sys.modules, made, types.ModuleType(made))
            home = sys.modules[module]
            if not hasattr(home, name):
                state = {
                    "__module__": module,
                    "__setstate__": lambda self, state: self.__dict__.update(kept=state),
                    "__getstate__": lambda self: self.kept,
                }
                setattr(home, name, type(name, (), state))
            return getattr(home, name)

    with path.open("rb") as file:
        return Unpickler(file).load()


def test_arrays_of_objects_are_named(tmp_path):
    joblib.dump({**DICT, "tokens": np.array(["a", None], object)}, tmp_path / "fm.pkl")
    with pytest.raises(CheckpointError, match="it holds a numpy array of type O8, expected plain numbers or text"):
        load_checkpoint(tmp_path / "fm.pkl", **GIVEN)


def test_tensors_of_torch_in_a_pickle_name_the_remedy(tmp_path):
    import torch

    (tmp_path / "fm.pkl").write_bytes(pickle.dumps({"V": torch.ones(5, 4)}))
    with pytest.raises(CheckpointError, match=r"_load_from_bytes, which is refused; nothing was run") as caught:
        load_checkpoint(tmp_path / "fm.pkl", **GIVEN)
    assert "save model.state_dict() with torch.save" in caught.value.hint


def test_a_compressed_file_of_something_else_is_named(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"1 2 3\n" * 100))
    with pytest.raises(CheckpointError, match="it is compressed with gzip"):
        load_checkpoint(tmp_path / "a.gz")
    (tmp_path / "a.gz").write_bytes(gzip.compress(pickle.dumps(DICT))[:-30])
    with pytest.raises(CheckpointError, match="it cannot be unpacked"):
        load_checkpoint(tmp_path / "a.gz", **GIVEN)


@pytest.mark.parametrize("compress", [("zlib", 9), ("gzip", 9), ("bz2", 9), ("lzma", 3), ("xz", 3)], ids=str)
def test_bombs_are_not_unpacked(tmp_path, compress):
    joblib.dump({"V": np.zeros((2**20, 7), np.float32)}, tmp_path / "fm.pkl", compress=compress)
    refused(tmp_path / "fm.pkl", mebibytes=64, message="would unpack to more than")


def joblib_pickle(**changes):
    """Return what joblib writes of an array of float32, with other values in its wrapper, and 20 numbers behind."""
    state = {
        "subclass": np.ndarray,
        "shape": (5, 4),
        "order": "C",
        "dtype": np.dtype("<f4"),
        "allow_mmap": True,
        "numpy_array_alignment_bytes": None,
        **changes,
    }
    text = pickle.dumps(state, 2)[2:-1]
    return b"\x80\x02cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81" + text + b"b" + bytes(80) + b"."


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": (2**40, 4)},
        {"shape": (5, 2**61)},
        {"shape": (-5, 4)},
        {"shape": [5, 4]},
        {"shape": (5.0, 4)},
        {"shape": (6, 4)},
        {"order": "A"},
        {"dtype": "<f4"},
        {"dtype": None},
        {"subclass": dict},
        {"numpy_array_alignment_bytes": 16, "shape": (6, 4)},
    ],
)
def test_arrays_of_joblib_that_lie_are_refused(tmp_path, changes):
    path = tmp_path / "fm.pkl"
    path.write_bytes(joblib_pickle())
    given = {"fields": "a:3,b:2", "keys": {"v": "V"}}
    with pytest.raises(CheckpointError, match="it holds no tensors"):  # an array alone has no key
        load_checkpoint(path, **given)
    path.write_bytes(joblib_pickle(**changes))
    with pytest.raises(CheckpointError, match=r"the pickle cannot be read|numpy array of type"):
        load_checkpoint(path, **given)


def test_an_array_of_joblib_has_one_state(tmp_path):
    data = joblib_pickle()[:-1]
    again = b"}b."
    (tmp_path / "fm.pkl").write_bytes(data + again)
    with pytest.raises(CheckpointError, match="the pickle cannot be read"):
        load_checkpoint(tmp_path / "fm.pkl", keys={"v": "V"}, fields="a:3")


def test_arrays_of_an_old_joblib_name_the_remedy(tmp_path):
    (tmp_path / "fm.pkl").write_bytes(b"\x80\x02}U\x01Vcjoblib.numpy_pickle\nNDArrayWrapper\n)\x81}bs.")
    with pytest.raises(CheckpointError, match=r"joblib of before version 0\.10") as caught:
        load_checkpoint(tmp_path / "fm.pkl", **GIVEN)
    assert "pickle.dump" in caught.value.hint
