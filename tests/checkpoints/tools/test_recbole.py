"""Genuine checkpoints of RecBole with their datasets, and datasets of other kinds."""

import pickle
import shutil
import sys
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from fmcompress.checkpoints import load_checkpoint
from fmcompress.errors import CheckpointError
from fmcompress.evaluation.predictors import predictions_of, predictor
from fmcompress.evaluation.scores import open_rows_for
from fmcompress.fm.bags import Bag
from fmcompress.fm.field_specs import parse_fields
from fmcompress.fm.schema import Field, NumericField
from fmcompress.fm.scorer import FMScorer
from tests.checkpoints.pickles import stood_in
from tests.checkpoints.samples import FILES, predict, rewritten

FOLDER = FILES / "recbole"
CATEGORICAL = FOLDER / "cat" / "FM-Nov-23-2026_17-13-12.pth"
NUMERIC = FOLDER / "num" / "FM-Nov-23-2026_17-13-19.pth"
DATASET = "tiny-Dataset.pth"
FIELDS = parse_fields("user_id:8,item_id:6,ctx:12")
NUMERIC_FIELDS = parse_fields("user_id:8,item_id:6,ctx:12,price:numeric")

EMBEDDINGS = "token_embedding_table.embedding.weight"
NUMERIC_EMBEDDINGS = "float_embedding_table.embedding.weight"


def expected(name):
    """Return the rows that the tool scored, ids and values, and its predictions."""
    found = np.load(FOLDER / f"expected_{name}.npz")
    ids = np.stack([found[field] for field in FIELDS.names], axis=1)
    return ids, found["price"][:, :1] if "price" in found else None, found["prob"]


def copied(source, folder):
    """Copy a checkpoint without its dataset."""
    return shutil.copy(source, folder)


@pytest.mark.parametrize(("name", "path", "fields"), [("cat", CATEGORICAL, FIELDS), ("num", NUMERIC, NUMERIC_FIELDS)])
def test_predictions_are_the_tools_own(tmp_path, name, path, fields):
    ids, values, probabilities = expected(name)
    with_dataset = load_checkpoint(path)
    assert (with_dataset.source.tool, with_dataset.link, with_dataset.schema) == ("RecBole", "sigmoid", fields)
    with_fields = load_checkpoint(copied(path, tmp_path), fields=fields)
    assert with_fields.vocabulary is None
    for ckpt in (with_dataset, with_fields):
        np.testing.assert_allclose(predict(ckpt, ids, values), probabilities, atol=1e-5)


def test_dataset_tells_the_tokens():
    vocabulary = load_checkpoint(CATEGORICAL).vocabulary
    found = np.load(FOLDER / "expected_cat.npz")
    for name in FIELDS.names:
        own = vocabulary.fields[name]
        assert list(own.tokens) == found[f"vocab_{name}"].tolist()
        assert own.ids.tolist() == list(range(len(own.tokens)))
        assert (own.oov, own.missing) == (None, 0)


def test_raw_tokens_and_nulls_give_the_same_predictions(tmp_path):
    ckpt = load_checkpoint(NUMERIC)
    ids, values, probabilities = expected("num")
    tokens_of = [ckpt.vocabulary.fields[name].tokens for name in FIELDS.names]
    columns = {name: [tokens_of[place][number] for number in ids[:, place]] for place, name in enumerate(FIELDS.names)}
    columns["ctx"][0] = None
    pq.write_table(pa.table({**columns, "price": values[:, 0]}), tmp_path / "rows.parquet")
    (batch,) = open_rows_for(ckpt, tmp_path / "rows.parquet", labelled=False).batches()
    assert batch.ids[0, 2] == 0
    np.testing.assert_array_equal(batch.ids[1:], ids[1:])
    np.testing.assert_allclose(predictions_of(predictor(ckpt), batch)[1:], probabilities[1:], atol=1e-5)


def test_given_names_replace_those_of_the_dataset():
    ckpt = load_checkpoint(NUMERIC, fields=parse_fields("u:8,i:6,c:12,p:numeric"))
    assert ckpt.schema.order == ("u", "i", "c", "p")
    assert ckpt.vocabulary.fields["c"].tokens[1] == "c10"


def test_dataset_may_be_elsewhere(tmp_path):
    path = copied(CATEGORICAL, tmp_path)
    with pytest.raises(CheckpointError, match="which fields its 26 categories") as caught:
        load_checkpoint(path)
    assert "Dataset.pth beside it" in caught.value.hint
    assert load_checkpoint(path, dataset=CATEGORICAL.with_name(DATASET)).schema == FIELDS
    with pytest.raises(CheckpointError, match=r": none\.pth: there is no such file"):
        load_checkpoint(path, dataset=tmp_path / "none.pth")


def test_of_several_datasets_the_one_that_it_names_is_taken(tmp_path):
    path = copied(CATEGORICAL, tmp_path)
    for name in ("a-Dataset.pth", "b-Dataset.pth"):
        shutil.copy(CATEGORICAL.with_name(DATASET), tmp_path / name)
    with pytest.raises(CheckpointError, match=r"2 datasets beside it, 'a-Dataset\.pth', 'b-Dataset\.pth'"):
        load_checkpoint(path)
    shutil.copy(CATEGORICAL.with_name(DATASET), tmp_path)
    assert load_checkpoint(path).schema == FIELDS


def test_dataset_must_be_that_of_the_model():
    with pytest.raises(CheckpointError, match="27 rows, but its fields have 26 categories"):
        load_checkpoint(NUMERIC, dataset=CATEGORICAL.with_name(DATASET), fields=FIELDS)


def test_damaged_dataset_is_named(tmp_path):
    path = copied(CATEGORICAL, tmp_path)
    (tmp_path / DATASET).write_bytes(CATEGORICAL.with_name(DATASET).read_bytes()[:3000])
    with pytest.raises(CheckpointError, match=rf"^{CATEGORICAL.name}: {DATASET}: the pickle cannot be read") as caught:
        load_checkpoint(path)
    assert "damaged" in caught.value.hint


def test_rows_of_the_dataset_are_not_read(tmp_path):
    path = copied(CATEGORICAL, tmp_path)
    data = CATEGORICAL.with_name(DATASET).read_bytes()
    (tmp_path / DATASET).write_bytes(data[: data.index(b"field2token_id") + 20])
    assert load_checkpoint(path).schema == FIELDS


def test_dataset_is_no_model():
    with pytest.raises(CheckpointError, match=r"a pickle of recbole\.data\.dataset\.dataset\.Dataset") as caught:
        load_checkpoint(CATEGORICAL.with_name(DATASET))
    assert "FM-" in caught.value.hint


def test_other_models_are_refused(tmp_path):
    with zipfile.ZipFile(CATEGORICAL) as file:
        data = file.read(f"{CATEGORICAL.stem}/data.pkl")
    path = rewritten(CATEGORICAL, tmp_path / "fm.pth", **{"data.pkl": data.replace(b"\x8c\x02FM", b"\x8c\x02LR")})
    with pytest.raises(CheckpointError, match=r"^fm\.pth: it is a model LR of RecBole, expected FM"):
        load_checkpoint(path, fields=FIELDS)


class Made:
    """An object that is pickled as the call of a class that is stood in for."""

    def __init__(self, dotted, *args):
        self.module, _, self.name = dotted.rpartition(".")
        self.args = args

    def __reduce__(self):
        return getattr(sys.modules[self.module], self.name), self.args


def feature(kind, *, by_name=False):
    name = "FeatureType" if kind in ("token", "float", "token_seq", "float_seq") else "FeatureSource"
    dotted = f"recbole.utils.enum_type.{name}"
    return Attribute(dotted, kind.upper()) if by_name else Made(dotted, kind)


class Attribute(Made):
    """A member of an Enum as Python 3.11.0 pickles it."""

    def __reduce__(self):
        return getattr, (getattr(sys.modules[self.module], self.name), *self.args)


def write_dataset(path, fields, by_name=False, **config):
    """Write a dataset of fields ``name: (type, source, tokens)``."""
    names = ["recbole.data.dataset.dataset.Dataset", "recbole.config.configurator.Config"]
    with stood_in([*names, *(f"recbole.utils.enum_type.{kind}" for kind in ("FeatureType", "FeatureSource"))]):
        settings = sys.modules["recbole.config.configurator"].Config()
        settings.__setstate__({"final_config_dict": {"LABEL_FIELD": "label", "numerical_features": [], **config}})
        dataset = sys.modules["recbole.data.dataset.dataset"].Dataset()
        dataset.__setstate__(
            {
                "config": settings,
                "field2type": {name: feature(kind, by_name=by_name) for name, (kind, _, _) in fields.items()},
                "field2source": {name: feature(source, by_name=by_name) for name, (_, source, _) in fields.items()},
                "field2id_token": {name: tokens for name, (_, _, tokens) in fields.items() if tokens is not None},
                "field2token_id": {},
            }
        )
        path.write_bytes(pickle.dumps(dataset))


def state_dict(rows, numbers=0, dim=2):
    state = {EMBEDDINGS: torch.randn(rows, dim), f"first_order_linear.{EMBEDDINGS}": torch.randn(rows, 1)}
    if numbers:
        state[NUMERIC_EMBEDDINGS] = torch.randn(2 * numbers, dim)
        state[f"first_order_linear.{NUMERIC_EMBEDDINGS}"] = torch.randn(2 * numbers, 1)
    return state | {"first_order_linear.bias": torch.zeros(1)}


def tokens(*texts):
    return np.array(["[PAD]", *texts])


SHARED = tokens("x", "y")


@pytest.fixture
def load(tmp_path):
    def save_and_load(state, fields=None, **given):
        torch.save(state, tmp_path / "fm.pt")
        return load_checkpoint(tmp_path / "fm.pt", fields=fields and parse_fields(fields), **given)

    return save_and_load


@pytest.mark.parametrize("by_name", [False, True])
def test_fields_that_the_model_takes(load, tmp_path, by_name):
    fields = {
        "user": ("token", "user_id", tokens("a", "b")),
        "label": ("token", "item", tokens("0", "1")),
        "price": ("float", "item", None),
        "time": ("float", "user", None),
        "relation": ("token", "kg", tokens("r")),
        "item": ("token", "item_id", SHARED),
        "last": ("token", "user", SHARED),
    }
    write_dataset(tmp_path / "a-Dataset.pth", fields, by_name, numerical_features=["price"])
    ckpt = load(state_dict(9, numbers=1))
    assert ckpt.schema.all_fields == (Field("user", 3), NumericField("price"), Field("item", 3), Field("last", 3))
    assert ckpt.vocabulary.fields["last"].tokens == ("[PAD]", "x", "y")


def test_buckets_and_tokens_that_are_not_different_are_refused(load, tmp_path):
    fields = {"user": ("token", "user", tokens("a", "b", "a")), "price": ("float", "item", None)}
    write_dataset(tmp_path / "a-Dataset.pth", fields, discretization={"price": {"method": "LD"}})
    with pytest.raises(CheckpointError, match="cuts numeric fields into buckets"):
        load(state_dict(4))
    write_dataset(tmp_path / "a-Dataset.pth", fields)
    with pytest.raises(CheckpointError, match="the tokens of field 'user' are not all different"):
        load(state_dict(4))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"user": ("token", "user", None)}, "field user has no tokens"),
        ({"user": ("token", "user", np.arange(4))}, "field user has no tokens"),
        ({"user": ("float_seq", "user", None)}, "its field 'user' is a sequence of numbers"),
    ],
)
def test_wrong_datasets_are_refused(load, tmp_path, fields, message):
    write_dataset(tmp_path / "a-Dataset.pth", fields, numerical_features=["user"])
    with pytest.raises(CheckpointError, match=rf"a-Dataset\.pth: .*{message}"):
        load(state_dict(4))


def test_pad_is_one_where_its_row_is_zero(load):
    state = state_dict(7)
    for table in (EMBEDDINGS, f"first_order_linear.{EMBEDDINGS}"):
        state[table][3] = 0
        state[table][1] = 0
    assert load(state, "a:3,b:4").schema.fields == (Field("a", 3), Field("b", 4, pad=0))


@pytest.mark.parametrize(
    ("change", "fields", "message"),
    [
        ({"token_seq_embedding_table.0.weight": (3, 2)}, "a:4", r"'first_order_linear\.token_seq_embedding_table\.0"),
        ({"token_seq_embedding_table.1.weight": (3, 2)}, "a:4", "it also holds 'token_seq_embedding_table"),
        ({NUMERIC_EMBEDDINGS: (2, 2)}, "a:4,p:numeric", f"'first_order_linear.{NUMERIC_EMBEDDINGS}' is missing"),
        ({EMBEDDINGS: (5, 2)}, "a:5", r"has shape \(4, 1\), expected \(5, 1\)"),
        ({EMBEDDINGS: (4,)}, "a:4", r"has shape \(4,\), expected \(rows, dim\)"),
        ({"first_order_linear.bias": (2,)}, "a:4", r"has shape \(2,\), expected \(1,\)"),
        ({}, "a:3", "4 rows, but its fields have 3 categories"),
        ({}, "a:3,p:numeric", "it has 0 rows for numbers, but its fields have 1 numbers, expected 2 rows for each"),
    ],
)
def test_weights_that_disagree_are_refused(load, change, fields, message):
    state = state_dict(4) | {key: torch.ones(shape) for key, shape in change.items()}
    with pytest.raises(CheckpointError, match=message):
        load(state, fields)


def test_numbers_that_are_cut_into_buckets_have_more_rows(load):
    state = state_dict(4, numbers=2)
    with pytest.raises(CheckpointError, match="it has 4 rows for numbers, but its fields have 1 numbers"):
        load(state, "a:5,p:numeric")


def with_sequences(state, *sizes, dim=2):
    for number, size in enumerate(sizes):
        state[f"token_seq_embedding_table.{number}.weight"] = torch.randn(size, dim)
        state[f"first_order_linear.token_seq_embedding_table.{number}.weight"] = torch.randn(size, 1)
    return state


SEQUENCE_FIELDS = {
    "tags": ("token_seq", "item", tokens("x", "y", "z")),
    "user": ("token", "user_id", tokens("a", "b")),
    "price": ("float", "item", None),
    "words": ("token_seq", "user", SHARED),
    "item": ("token", "item_id", SHARED),
}
TAGS = np.array([[1, 2, 0], [3, 3, 3], [0, 0, 0], [2, 0, 0]])
WORDS = np.array([[1, 2], [2, 0], [1, 0], [0, 0]])
SINGLE = np.array([[1, 2], [0, 1], [2, 2], [1, 0]])
PRICES = np.array([0.5, -1, 2, 0])


def computed_as_the_tool_does(state):
    """Return logits by the tool's own formula: embeddings averaged over what is not PAD, first-order terms added."""
    logits = np.zeros(4)
    vectors = []
    offsets = np.array([0, 3])
    for table, first_order in ((EMBEDDINGS, False), (f"first_order_linear.{EMBEDDINGS}", True)):
        rows = state[table].double().numpy()[SINGLE + offsets]
        if first_order:
            logits += rows.sum(axis=(1, 2))
        else:
            vectors.extend(rows.transpose(1, 0, 2))
    for number, ids in enumerate((TAGS, WORDS)):
        mask = (ids != 0).astype(float)[:, :, None]
        pooled = state[f"token_seq_embedding_table.{number}.weight"].double().numpy()[ids] * mask
        vectors.append(pooled.sum(axis=1) / (mask.sum(axis=1) + 1e-8))
        linear = state[f"first_order_linear.token_seq_embedding_table.{number}.weight"].double().numpy()[ids]
        logits += (linear * mask).sum(axis=(1, 2))
    vectors.append(PRICES[:, None] * state[NUMERIC_EMBEDDINGS].double().numpy()[1])
    logits += PRICES * state[f"first_order_linear.{NUMERIC_EMBEDDINGS}"].double().numpy()[1, 0]
    stacked = np.stack(vectors, axis=1)
    return logits + 0.5 * (stacked.sum(axis=1) ** 2 - (stacked**2).sum(axis=1)).sum(axis=1)


def bag_of(sequences):
    """Return the values of padded sequences."""
    present = sequences != 0
    return Bag(np.concatenate(([0], np.cumsum(present.sum(axis=1)))), sequences[present].astype(np.int32))


@pytest.mark.parametrize(
    ("dataset", "fields"),
    [
        (True, None),
        (True, "t:4,u:3,p:numeric,w:3,i:3"),
        (True, "t:4:mean/sum,u:3,p:numeric,w:3:mean/sum,i:3"),
        (False, "tags:4:mean/sum,user:3,price:numeric,words:3:mean/sum,item:3"),
    ],
)
def test_sequences_are_pooled_as_the_tool_pools_them(load, tmp_path, dataset, fields):
    if dataset:
        write_dataset(tmp_path / "a-Dataset.pth", SEQUENCE_FIELDS, numerical_features=["price"])
    state = with_sequences(state_dict(6, numbers=1), 4, 3)
    ckpt = load(state, fields)
    tags, _, words, _ = ckpt.schema.fields
    assert [(field.pad, str(field.pooling)) for field in (tags, words)] == [(0, "mean/sum")] * 2
    assert ckpt.vocabulary is None or ckpt.vocabulary.fields[words.name].tokens == ("[PAD]", "x", "y")
    ids = np.stack([np.full(4, -1), SINGLE[:, 0], np.full(4, -1), SINGLE[:, 1]], axis=1).astype(np.int32)
    bags = {tags.name: bag_of(TAGS), words.name: bag_of(WORDS)}
    logits, _ = FMScorer(ckpt).logits_and_sums(ids, PRICES[:, None].astype(np.float32), bags)
    np.testing.assert_allclose(logits, computed_as_the_tool_does(state), atol=1e-5)


@pytest.mark.parametrize("fields", ["a:4,b:3", "a:4,b:3:mean", "a:4:mean/sum,b:3", "a:4:mean/sum,b:3:mean/sum"])
def test_sequences_must_be_named_as_such(load, fields):
    with pytest.raises(CheckpointError, match="it has 1 sequences, of '3' categories, pooled by mean/sum") as caught:
        load(with_sequences(state_dict(4), 3), fields)
    assert "name:size:mean/sum" in caught.value.hint
