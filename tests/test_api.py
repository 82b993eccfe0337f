"""The public surface of the package, and what the examples do with it."""

import inspect
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import fmcompress as fc
from fmcompress.progress import Progress
from tests.conftest import BUDGET

pytestmark = pytest.mark.slow

SURFACE = {
    "ArtifactError", "Auto", "Bag", "BudgetError", "CheckpointError", "Comparison", "CompressedFM",
    "CompressedTables", "Curve", "DataError", "DependencyError", "EmbeddingTables", "FMCheckpoint",
    "FMCompressError", "FMCompressWarning", "Field", "FieldKeys", "FieldVocabulary", "HashedKeys", "LightFM",
    "MovingOptions", "NumericField", "NumericWeights", "OutputError", "Pooling", "ReassignOptions", "Report",
    "Schema", "Scores", "SearchOptions", "SharedField", "SpaceOptions", "StateError", "TablesReport", "TuneOptions",
    "UsageError", "VectorTable", "Verdict", "Vocabulary", "XLightFM", "__version__", "check", "compare", "evaluate",
    "export_onnx", "key_order", "load", "load_checkpoint", "load_tables", "parse_fields", "quantize",
    "quantize_tables", "read_vocabulary", "report", "save_checkpoint", "sweep",
}  # fmt: skip


def test_surface():
    assert set(fc.__all__) == set(dir(fc)) == SURFACE
    for name in SURFACE:
        assert getattr(fc, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = fc.nothing


def test_everything_public_says_what_it_is():
    assert all(inspect.getdoc(getattr(fc, name)) for name in SURFACE - {"__version__"})


def test_errors_have_one_base():
    errors = [getattr(fc, name) for name in SURFACE if name.endswith("Error")]
    assert len(errors) == 9
    assert all(issubclass(error, fc.FMCompressError) for error in errors)


def test_import_is_instant():
    code = "import sys, fmcompress; print([m for m in ('numpy', 'torch', 'faiss', 'pyarrow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_report_needs_no_torch(files):
    code = (
        "import sys, fmcompress as fc; fc.report(sys.argv[1]).to_markdown();"
        "print([m for m in ('torch', 'faiss', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, files.ptq], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_whole_way(files, tmp_path):
    checkpoint = fc.load_checkpoint(files.fm)
    tuning = fc.TuneOptions(epochs=2)
    model = fc.quantize(checkpoint, budget=BUDGET, train=files.train, valid=str(files.valid), tuning=tuning)
    model.save(tmp_path / "artifact.safetensors")
    loaded = fc.load(tmp_path / "artifact.safetensors")
    ids = np.zeros((3, 4), dtype=np.int64)
    assert loaded.predict(ids).shape == (3,)
    np.testing.assert_array_equal(loaded.predict(ids), model.predict(ids))
    assert fc.report(tmp_path / "artifact.safetensors").to_markdown().startswith("#")
    assert fc.evaluate(loaded, files.test).auc > 0.55
    with pytest.raises(fc.OutputError, match="exists"):
        model.save(tmp_path / "artifact.safetensors")
    model.save(str(tmp_path / "artifact.safetensors"), force=True)


def test_budgets_as_numbers_and_texts(files):
    checkpoint = fc.load_checkpoint(files.fm)
    assert fc.quantize(checkpoint, 6000).file_bytes == fc.quantize(checkpoint, "6 KB").file_bytes <= 6000
    with pytest.raises(fc.UsageError, match="not a size"):
        fc.quantize(checkpoint, "much")
    with pytest.raises(fc.BudgetError) as caught:
        fc.quantize(checkpoint, 10)
    assert 10 < caught.value.smallest_bytes <= 6000


def test_training_data_of_one_class_in_validation(files, tmp_path):
    """There is no AUC then, and the artifact can be written all the same."""
    import pyarrow.parquet as pq

    table = pq.read_table(files.valid)
    pq.write_table(table.filter(table["label"].to_numpy() == 0), tmp_path / "valid.parquet")
    with pytest.warns(fc.FMCompressWarning, match="validation rows have label 0"):
        model = fc.quantize(
            fc.load_checkpoint(files.fm), BUDGET, train=files.train, valid=tmp_path / "valid.parquet",
            tuning=fc.TuneOptions(epochs=1),
        )  # fmt: skip
    model.save(tmp_path / "artifact.safetensors")
    fc.report(tmp_path / "artifact.safetensors").to_json()
    assert fc.load(tmp_path / "artifact.safetensors").file_bytes <= 6000


def test_long_runs(files, tmp_path):
    class Ended(Exception):
        pass

    class Impatient(Progress):
        def note(self, message):
            if "epoch 2 of" in message:
                raise Ended

    state, history = tmp_path / "run.resume", tmp_path / "run.jsonl"
    checkpoint = fc.load_checkpoint(files.fm)
    settings = {"train": files.train, "valid": files.valid, "tuning": fc.TuneOptions(epochs=3)}
    with pytest.raises(Ended):
        fc.quantize(checkpoint, BUDGET, **settings, state=state, history=str(history), progress=Impatient())
    with pytest.raises(fc.OutputError, match="exists"):
        fc.quantize(checkpoint, BUDGET, **settings, state=state, history=history)
    with pytest.raises(fc.StateError, match="seed was 0, and now it is 1"):
        fc.quantize(checkpoint, BUDGET, **settings, state=state, resume=True, seed=1)
    with pytest.raises(fc.UsageError, match="no state"):
        fc.quantize(checkpoint, BUDGET, **settings, resume=True)
    with pytest.raises(fc.UsageError, match="without training data"):
        fc.quantize(checkpoint, BUDGET, state=state, resume=True)
    found = fc.quantize(checkpoint, BUDGET, **settings, state=str(state), history=history, resume=True)
    whole = fc.quantize(checkpoint, BUDGET, **settings)
    found.save(tmp_path / "found")
    whole.save(tmp_path / "whole")
    assert (tmp_path / "found").read_bytes() == (tmp_path / "whole").read_bytes()
    assert not state.exists()
    assert [json.loads(line)["event"] for line in history.read_text().splitlines()].count("epoch") == 4


def test_long_runs_of_models_made_in_memory(files, tmp_path):
    checkpoint = replace(fc.load_checkpoint(files.fm), source=None)
    settings = {"train": files.train, "valid": files.valid, "tuning": fc.TuneOptions(epochs=1)}
    heads = []
    for number, model in enumerate((checkpoint, checkpoint, replace(checkpoint, linear=checkpoint.linear * 2))):
        fc.quantize(model, BUDGET, **settings, history=tmp_path / f"{number}.jsonl")
        heads.append((tmp_path / f"{number}.jsonl").read_text().splitlines()[0])
    assert heads[0] == heads[1] != heads[2]
