"""Fields with several values in a row, by the installed commands: from training to scoring."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fmcompress as fc
from tests import pooled

pytestmark = pytest.mark.slow


def table_of(rows):
    """Return rows as users have them: lists of ids, maps from ids to weights."""
    columns = {"label": rows.labels.astype(np.int8)}
    for name, ids in zip(pooled.schema().id_names, rows.ids.T, strict=True):
        if name not in rows.bags:
            columns[name] = pa.array([None if own < 0 else own for own in ids.tolist()], pa.int32())
            continue
        bag = rows.bags[name]
        values = bag.ids.tolist() if bag.weights is None else list(zip(bag.ids.tolist(), bag.weights, strict=True))
        kind = pa.list_(pa.int32()) if bag.weights is None else pa.map_(pa.int32(), pa.float32())
        columns[name] = pa.array(
            [values[start:end] for start, end in zip(bag.starts[:-1], bag.starts[1:], strict=True)], kind
        )
    return pa.table(columns)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """Return a checkpoint's rows, and the folder of their files."""
    folder = tmp_path_factory.mktemp("several")
    ckpt = pooled.checkpoint()
    rows = pooled.batch(ckpt, 3000)
    fc.save_checkpoint(ckpt, folder / "fm.pt")
    for name, part in (("train", slice(2000)), ("valid", slice(2000, 2500)), ("test", slice(2500, None))):
        pq.write_table(table_of(rows.take(part)), folder / f"{name}.parquet")
    return ckpt, rows.take(slice(2500, None)), folder


def test_a_checkpoint_and_its_artifacts_score_as_the_formula_does(here, case, tmp_path):
    ckpt, test, folder = case
    shown = here("inspect", folder / "fm.pt", "--format", "json").stdout
    poolings = {field["name"]: field["pooling"] for field in json.loads(shown)["fields"]}
    expected = {"genres": "mean", "tags": "mean/sum", "words": "each", "history": "sqrtn"}
    assert poolings == {"user": None, "item": None, **expected}
    here("score", folder / "fm.pt", folder / "test.parquet", "-o", "fm.parquet")
    found = pq.read_table(tmp_path / "fm.parquet")["prediction"].to_numpy()
    np.testing.assert_allclose(found, pooled.formula(ckpt, test), atol=1e-4)
    here("quantize", folder / "fm.pt", "--budget", "20KB", "-o", "large.safetensors")
    here("score", "large.safetensors", folder / "test.parquet", "-o", "large.parquet")
    found = pq.read_table(tmp_path / "large.parquet")["prediction"].to_numpy()
    np.testing.assert_allclose(found, pooled.formula(ckpt, test), atol=2e-2)
    assert "18, mean" not in here("report", "large.safetensors").stdout
    assert "9, PAD 0, mean" in here("report", "large.safetensors").stdout


@pytest.mark.parametrize(
    "how",
    [
        ("--budget", "2500"),
        ("--method", "lightfm", "--codewords", "8", "--subspaces", "2"),
        ("--method", "xlightfm", "--budget", "3KB", "--search-steps", "4"),
    ],
    ids=["auto", "lightfm", "xlightfm"],
)
def test_it_is_tuned_by_every_method(here, case, tmp_path, how):
    _, _, folder = case
    data = ("--train", folder / "train.parquet", "--valid", folder / "valid.parquet", "--epochs", "2")
    here("quantize", folder / "fm.pt", *how, *data, "-o", "small.safetensors")
    scores = here(
        "evaluate", folder / "fm.pt", "small.safetensors", "--data", folder / "test.parquet", "--format", "json"
    )
    fm, small = (model["auc"] for model in json.loads(scores.stdout)["models"])
    assert small > 0.5 + 0.6 * (fm - 0.5)
    assert fc.load(tmp_path / "small.safetensors").schema == pooled.schema()


def test_lists_are_trained_on(here, case, tmp_path):
    _, _, folder = case
    data = (folder / "train.parquet", "--valid", folder / "valid.parquet")
    how = ("--dim", "4", "--l2", "1e-3", "--lr", "0.02", "--epochs", "6", "--batch-size", "128")
    refused = here("train", *data, *how, "--fields", "user:30,genres:9,item:40", "-o", "fm.pt", rc=2).stderr
    assert "one value per field" in refused
    assert "Traceback" not in refused
    here("train", *data, *how, "--pooling", "sum", "-o", "fm.pt")
    found = fc.load_checkpoint(tmp_path / "fm.pt").schema
    assert {name: str(pooling) for name, pooling in found.poolings.items()} == dict.fromkeys(
        ("genres", "tags", "history", "words"), "sum"
    )
    fields = "user:30,genres:9:mean,item:40,tags:25:mean/sum,history=item:sqrtn,words:20:each"
    here("train", *data, *how, "--fields", fields, "-o", "own.pt")
    found = here("evaluate", "own.pt", "--data", folder / "test.parquet", "--format", "json").stdout
    assert json.loads(found)["models"][0]["auc"] > 0.6
    assert "there is no pooling 'max'" in here("train", *data, "--pooling", "max", "-o", "x.pt", rc=2).stderr


def test_text_gives_a_field_several_values_with_weights(here, case, tmp_path):
    rng = np.random.default_rng(0)
    fields = "user:5,words:20:each"
    lines, maps, users = [], [], []
    for _ in range(60):
        user = int(rng.integers(5))
        words = {int(word): float(np.float32(rng.normal())) for word in rng.integers(0, 20, rng.integers(0, 4))}
        lines.append(" ".join(["1", f"{user}:1", *(f"{5 + word}:{weight!r}" for word, weight in words.items())]))
        maps.append(list(words.items()))
        users.append(user)
    (tmp_path / "rows.svm").write_text("\n".join(lines) + "\n")
    column = pa.array(maps, pa.map_(pa.int64(), pa.float64()))
    pq.write_table(pa.table({"user": users, "words": column}), tmp_path / "rows.parquet")
    schema = fc.parse_fields(fields)
    weights = rng.normal(size=(25, 4)).astype(np.float32)
    fc.save_checkpoint(fc.FMCheckpoint(schema, 0.1, weights[:, 0].copy(), weights[:, 1:].copy()), tmp_path / "fm.pt")
    here("quantize", "fm.pt", "--budget", "4KB", "-o", "fm.safetensors")
    for model in ("fm.pt", "fm.safetensors"):
        found = []
        for data in ("rows.svm", "rows.parquet"):
            here("score", model, data, "-o", "out.parquet", "--force")
            found.append(pq.read_table(tmp_path / "out.parquet")["prediction"].to_numpy())
        np.testing.assert_array_equal(*found)
        assert len(np.unique(found[0])) > 40
