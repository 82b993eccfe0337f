"""Whatever goes wrong: one line that names it, an exit code, nothing written, nothing lost."""

import os
import pickle
import re
import signal
import sys
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from fmcompress_cli.main import run
from safetensors.numpy import save_file

from tests.conftest import BUDGET, CommandLine

OLD = b"the old file"


@dataclass(frozen=True)
class Case:
    """A command line, how it must end, and what its one line must say (a regular expression)."""

    args: str
    says: str
    rc: int = 2
    env: dict = field(default_factory=dict)


def quantize(rest, says, **more):
    return Case(
        f"quantize {rest} -o out.safetensors" + ("" if "--budget" in rest else f" --budget {BUDGET}"), says, **more
    )


def tuned(data, says, rest=""):
    return quantize(f"fm.pt --train {data} --valid valid.parquet {rest}", says)


def evaluated(data, says, rest=""):
    return Case(f"evaluate fm.pt --data {data} {rest}", says)


CASES = {
    # Usage
    "no command": Case("nope", "No such command 'nope'"),
    "misspelt command": Case("quantise", "quantize"),
    "misspelt option": Case("quantize fm.pt --bugdet 3", "--bugdet.*--budget"),
    "no budget": Case("quantize fm.pt", "method auto needs a budget.*--budget 10MB"),
    "no argument": Case("report", "Missing argument 'ARTIFACT'"),
    "no number": quantize("fm.pt --lr fast", "--lr"),
    "lr nan": quantize("fm.pt --lr nan", "lr is nan"),
    "lr zero": quantize("fm.pt --lr 0", "lr is 0"),
    "batch of none": quantize("fm.pt --batch-size 0", "--batch-size"),
    "negative seed": quantize("fm.pt --seed -1", "--seed"),
    "huge seed": quantize("fm.pt --seed 99999999999", "--seed"),
    "distillation": quantize("fm.pt --distillation 2", "distillation is 2"),
    "device": quantize("fm.pt --device tpu", "--device"),
    "no gpu": quantize("fm.pt --device cuda", "no CUDA GPU", env={"CUDA_VISIBLE_DEVICES": ""}),
    "valid alone": quantize("fm.pt --valid valid.parquet", "without training data"),
    "resume without data": quantize("fm.pt --resume", "resume without training data.*--train"),
    "history without data": quantize("fm.pt --history h.jsonl", "history without training data.*--train"),
    "history exists": tuned("train.parquet", "old exists.*--force", "--history old"),
    "history the output": tuned("train.parquet", "which this job writes", "--history out.safetensors"),
    "history the state": tuned("train.parquet", "which this job writes", "--history ./out.safetensors.resume"),
    "history the checkpoint": tuned("train.parquet", "fm.pt is an input", "--history fm.pt --force"),
    "history the data": tuned("train.parquet", "train.parquet is an input", "--history train.parquet --force"),
    "history in no folder": tuned("train.parquet", "no folder", "--history none/h.jsonl"),
    "resume from a folder": Case(
        f"quantize fm.pt --budget {BUDGET} --train train.parquet -o state --resume", "state.resume is a directory"
    ),
    "resume from something else": Case(
        f"quantize fm.pt --budget {BUDGET} --train train.parquet -o foreign --resume",
        "foreign.resume is not the state of a run",
    ),
    "no epochs": Case("train train.parquet -o out.pt --epochs 0", "--epochs"),
    "l2": Case("train train.parquet -o out.pt --l2 little", "--l2 is 'little'"),
    "l2 nan": Case("train train.parquet -o out.pt --l2 nan", "l2 is nan"),
    "huge dim": Case("train train.parquet -o out.pt --dim 99999999999", "--dim"),
    "suffix": Case("train train.parquet -o out.bin", r"expected \.pt or \.safetensors"),
    "format": Case("report ptq.safetensors --format xml", "--format"),
    "fields": Case("quantize state.pt --budget 1KB --fields a", "is not name:size"),
    "huge field": Case("quantize state.pt --budget 1KB --fields a:1" + "0" * 22, "'a:10*' is not name:size"),
    "large field": Case("quantize state.pt --budget 1KB --fields a:10000000000", "10,000,000,000 categories"),
    "field twice": Case("quantize state.pt --budget 1KB --fields a:2,a:3", "two fields are named 'a'"),
    # Budgets
    "budget too small": quantize("fm.pt --budget 100", r"smallest artifact .* [\d,]+ bytes", rc=1),
    "budget is no size": quantize("fm.pt --budget tiny", "'tiny' is not a size"),
    "budget zero": quantize("fm.pt --budget 0", "'0' is not between"),
    "budget negative": quantize("fm.pt --budget -5KB", "'-5KB' is not a size"),
    "budget nan": quantize("fm.pt --budget nanMB", "'nanMB' is not a size"),
    "budget endless": quantize("fm.pt --budget 99999999GB", "not between"),
    # Checkpoints
    "checkpoint missing": quantize("none.pt", "none.pt: there is no such file"),
    "checkpoint empty": quantize("empty", "empty: it is empty"),
    "checkpoint truncated": quantize("truncated.pt", "truncated.pt: .*damaged|cut short"),
    "checkpoint a folder": quantize("folder", "is a directory"),
    "checkpoint a pickle": quantize("evil.pkl", "is a pickle"),
    "checkpoint evil": quantize("evil.pt", "posix.system|os.system"),
    "checkpoint nan": quantize("nan.pt --fields a:3,b:2", "nan.pt: .*NaN"),
    "checkpoint infinite": quantize("infinite.pt --fields a:3,b:2", "infinite.pt: .*(infinite|inf)"),
    "checkpoint shapes": quantize("shapes.pt --fields a:3,b:2", r"shapes.pt: .*\(6, 1\)|shapes.pt: .*6"),
    "checkpoint deep": quantize("deep.pt", "no factorization machine.*mlp"),
    "checkpoint foreign": quantize("foreign.safetensors", "no factorization machine"),
    "checkpoint parquet": quantize("train.parquet", "Parquet file: data, not a model"),
    "checkpoint an artifact": quantize("ptq.safetensors", "is an artifact"),
    "checkpoint without fields": quantize("state.pt", "--fields"),
    # Data
    "data missing": tuned("none.parquet", "none.parquet: no such file"),
    "data no parquet": tuned("fm.pt", "fm.pt: is a checkpoint of torch, expected rows in Parquet, CSV or libsvm"),
    "data truncated": evaluated("truncated.parquet", "truncated.parquet: not a readable Parquet file"),
    "data broken": evaluated("broken.parquet", "broken.parquet: .*Parquet"),
    "folder without parquet": evaluated("folder", "folder: the folder holds no data: it holds notes.txt"),
    "column missing": tuned("less.parquet", "less.parquet: column of field 'city' is missing, found label, user"),
    "column of text": evaluated("text.parquet", "text.parquet: column 'city' is of type string.*number"),
    "column of floats": evaluated("floats.parquet", "floats.parquet: row 1, field 'city': id is 0.5, expected a w"),
    "dictionary column": evaluated("dictionary.parquet", "column 'city' is of type dictionary"),
    "column twice": evaluated("twice.parquet", "two columns are named 'city'"),
    "label missing": evaluated("test.parquet", "label column 'click' is missing", "--label click"),
    "label a field": evaluated("test.parquet", "'city' holds the labels and is a field too", "--label city"),
    "label 2": evaluated("label2.parquet", "label2.parquet: row 1: label is 2, expected 0 or 1"),
    "label null": evaluated("label-null.parquet", "row 1: label is null"),
    "label text": evaluated("label-text.parquet", "row 0: label is 'yes', expected 0 or 1"),
    "label 2 in tuning": tuned("label2.parquet", "label2.parquet: row 1: label is 2"),
    "id too large": tuned(
        "large.parquet", "large.parquet: row 1, field 'city': id 30 is out of range, expected 0 to 29.*--oov zero"
    ),
    "id negative": evaluated("negative.parquet", "negative.parquet: row 1, field 'city': id -2 is out of range"),
    "id of 64 bits": evaluated("uint64.parquet", "row 1, field 'city': id 18446744073709551615 is out of range"),
    "id out of range in valid": quantize("fm.pt --train train.parquet --valid large.parquet", "large.parquet: row 1"),
    "id out of range in a later file": evaluated("parts", "b.parquet: row 1, field 'city': id 30"),
    "no rows": tuned("none-left.parquet", "none-left.parquet: holds no rows"),
    "order": evaluated("less.parquet", "has 3 columns beside the label, expected one for each of 4", "--match order"),
    "files that differ": evaluated("differ", "columns differ", "--match order"),
    "train on text": Case("train text.parquet -o out.pt", "column 'city' is of type string"),
    "train on huge ids": Case("train huge.parquet -o out.pt", "row 1, field 'city': id 9223372036854775807"),
    "train on few rows": Case("train few.parquet -o out.pt", "few.parquet: its 2 rows are too few.*--valid"),
    "train on no ids": Case("train nulls.parquet -o out.pt", "column 'city' holds no id"),
    "train on labels alone": Case("train labels.parquet -o out.pt", "no columns beside 'label'"),
    # Artifacts
    "artifact missing": Case("report none.safetensors", "none.safetensors: no such file"),
    "artifact empty": Case("report empty", "empty"),
    "artifact a folder": Case("report folder", "folder"),
    "artifact cut short": Case("evaluate cut.safetensors --data test.parquet", "cut.safetensors: is damaged|cut short"),
    "artifact cut in its header": Case("report cut-header.safetensors", "cut short"),
    "artifact newer": Case("evaluate newer.safetensors --data test.parquet", "schema version 4.*newer fmcompress"),
    "artifact no safetensors": Case("report train.parquet", "is not a safetensors file"),
    "artifact a checkpoint": Case("report fm.pt", "is not a safetensors file"),
    "artifact foreign": Case("report foreign.safetensors", "not a safetensors file written by fmcompress"),
    # Outputs
    "output exists": Case("quantize fm.pt --budget 6KB -o old", "old exists.*--force"),
    "output of score exists": Case("score ptq.safetensors test.parquet -o old", "old exists.*--force"),
    "output in no folder": Case("quantize fm.pt --budget 6KB -o none/out.safetensors", "no folder"),
    "output a folder": Case("quantize fm.pt --budget 6KB -o folder --force", "folder is a directory"),
    "output a device": Case("quantize fm.pt --budget 6KB -o /dev/full --force", "is a device"),
    "output the checkpoint": Case("quantize fm.pt --budget 6KB -o fm.pt --force", "input of this job"),
    "output the data": Case(
        f"quantize fm.pt --budget {BUDGET} --train train.parquet -o train.parquet --force", "input of this job"
    ),
    "output a link to the data": Case("score ptq.safetensors test.parquet -o link.parquet --force", "input of this"),
    "column to keep missing": Case(
        "score ptq.safetensors test.parquet -o new --keep user,key", "to keep 'key' is miss"
    ),
    "column to keep like predictions": Case(
        "score ptq.safetensors test.parquet -o new --keep prediction", "'prediction' cannot be kept"
    ),
    "id out of range while scoring": Case("score ptq.safetensors parts -o old --force", "b.parquet: row 1"),
    "label 2 in training": Case("train label2.parquet --valid valid.parquet -o old.pt --force --l2 0", "label is 2"),
}


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil-was-here",)


def torchfm(rng, **changes):
    """Return the state_dict that pytorch-fm writes, for fields of 3 and 2 categories."""
    state = {
        "embedding.embedding.weight": torch.from_numpy(rng.normal(size=(5, 4)).astype(np.float32)),
        "linear.fc.weight": torch.zeros(5, 1),
        "linear.bias": torch.zeros(1),
    }
    return {**state, **changes}


def write_checkpoints(folder, files):
    rng = np.random.default_rng(0)
    (folder / "empty").touch()
    (folder / "folder").mkdir()
    (folder / "folder" / "notes.txt").write_text("no data")
    (folder / "truncated.pt").write_bytes(files.fm.read_bytes()[:-2000])
    (folder / "evil.pkl").write_bytes(pickle.dumps(Evil()))
    torch.save({"model": Evil()}, folder / "evil.pt")
    weights = torch.zeros(5, 4)
    torch.save(torchfm(rng), folder / "state.pt")
    torch.save(torchfm(rng, **{"embedding.embedding.weight": weights * np.nan}), folder / "nan.pt")
    torch.save(torchfm(rng, **{"linear.bias": torch.tensor([np.inf])}), folder / "infinite.pt")
    torch.save(torchfm(rng, **{"linear.fc.weight": torch.zeros(6, 1)}), folder / "shapes.pt")
    torch.save(torchfm(rng, **{"mlp.0.weight": weights}), folder / "deep.pt")
    save_file({"weight": weights.numpy()}, folder / "foreign.safetensors")


def write_data(folder, files):
    good = pq.read_table(files.test).slice(0, 2)

    def write(name, table):
        pq.write_table(table, folder / f"{name}.parquet")

    def city(name, values, kind=None):
        write(name, good.set_column(good.column_names.index("city"), "city", pa.array(values, kind)))

    def label(name, values):
        write(name, good.set_column(0, "label", pa.array(values)))

    write("few", good)
    write("less", good.drop_columns("city"))
    write("none-left", good.slice(0, 0))
    write("labels", good.select(["label"]))
    write("twice", good.append_column("city", good["city"]))
    city("text", ["a", "b"])
    city("floats", [1.0, 0.5])
    city("dictionary", pa.array(["a", "b"]).dictionary_encode())
    city("large", [0, 30], pa.int32())
    city("negative", [0, -2], pa.int64())
    city("uint64", [0, 2**64 - 1], pa.uint64())
    city("huge", [0, 2**63 - 1], pa.int64())
    city("nulls", [None, None], pa.int32())
    label("label2", [0, 2])
    label("label-null", [0, None])
    label("label-text", ["yes", "no"])
    (folder / "parts").mkdir()
    write("parts/a", good)
    (folder / "parts" / "b.parquet").write_bytes((folder / "large.parquet").read_bytes())
    (folder / "parts" / "README.txt").write_text("not a Parquet file")
    (folder / "differ").mkdir()
    write("differ/a", good)
    write("differ/b", good.rename_columns(["label", "a", "b", "c", "d"]))
    whole = files.test.read_bytes()
    (folder / "truncated.parquet").write_bytes(whole[: len(whole) // 2])
    (folder / "broken.parquet").write_bytes(whole[:100] + bytes(4000) + whole[4100:])


def write_artifacts(folder, files):
    whole = files.ptq.read_bytes()
    (folder / "cut.safetensors").write_bytes(whole[:-1])
    (folder / "cut-header.safetensors").write_bytes(whole[:200])
    start = 8 + int.from_bytes(whole[:8], "little") + 32
    assert whole[start] == 3
    (folder / "newer.safetensors").write_bytes(whole[:start] + b"\4" + whole[start + 1 :])


def state_of(folder):
    """Return what is in a folder, byte for byte."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def bad_folder(tmp_path_factory, files):
    folder = tmp_path_factory.mktemp("bad")
    for path in files.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    write_checkpoints(folder, files)
    write_data(folder, files)
    write_artifacts(folder, files)
    (folder / "old").write_bytes(OLD)
    (folder / "state.resume").mkdir()
    (folder / "foreign.resume").write_bytes(OLD)
    (folder / "old.pt").write_bytes(OLD)
    (folder / "link.parquet").symlink_to(folder / "test.parquet")
    return folder


def check(case, stdout, stderr):
    errors = [line for line in stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, stderr
    assert re.search(case.says, errors[0]), errors[0]
    assert stderr.endswith(errors[0] + "\n")
    assert "Traceback" not in stderr
    assert stdout == ""


@pytest.mark.parametrize("name", CASES)
def test_one_line_and_an_exit_code(bad_folder, name, monkeypatch, capsys):
    """What the console script calls, in this process: imports take longer than any of these."""
    case = CASES[name]
    monkeypatch.chdir(bad_folder)
    monkeypatch.setattr(sys, "argv", ["fmcompress", *case.args.split()])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    for key, value in case.env.items():
        monkeypatch.setenv(key, value)
    before = state_of(bad_folder)
    with pytest.raises(SystemExit) as caught:
        run()
    check(case, *capsys.readouterr())
    assert caught.value.code == case.rc
    assert state_of(bad_folder) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["misspelt option", "budget too small", "checkpoint evil", "id too large", "artifact newer", "output exists"],
)
def test_the_console_script_ends_so_too(bad_folder, name):
    before = state_of(bad_folder)
    done = CommandLine(bad_folder)(*CASES[name].args.split(), rc=CASES[name].rc)
    check(CASES[name], done.stdout, done.stderr)
    assert state_of(bad_folder) == before
