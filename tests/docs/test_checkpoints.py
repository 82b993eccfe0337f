"""The commands of the guide to checkpoints read the genuine files of the tools, under the names that it gives them."""

import re
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.checkpoints.samples import FILES
from tests.docs.pages import ROOT, commands

pytestmark = pytest.mark.slow

PAGE = ROOT / "docs" / "checkpoints.md"
ROW = re.compile(r"^\| (?:\[?([^\]|]*)\]?[^|]*)?\| ([^|]*) \| `(fmcompress [^`]*)` \|", re.MULTILINE)
OURS = {"fmcompress": "fm.pt", "your own": "short.pt"}
TABLE = "Parquet table"
GENUINE = {
    ("pytorch-fm", "fm.pt"): "pytorch-fm/fm.pt",
    ("pytorch-fm", "fm_state_dict.pt"): "pytorch-fm/fm_state_dict.pt",
    ("pytorch-fm", "deepfm.pt"): "networks/pytorch-fm/deepfm.pt",
    ("FuxiCTR", "FM_tiny.model"): "fuxictr/tiny_cat/FM_tiny_cat.model",
    ("FuxiCTR", "DeepFM_tiny.model"): "networks/fuxictr/net_all/DeepFM_net_all.model",
    ("RecBole", "DeepFM-….pth"): "networks/recbole/DeepFM-Nov-28-2026_10-51-56.pth",
    ("DeepCTR-Torch", "nfm.h5"): "networks/deepctr-torch/nfm.h5",
    ("torch-rechub", "deepfm.pth"): "networks/torch-rechub/sequence.pth",
    ("torch-rechub", "model.pth"): "torch-rechub/model.pth",
    ("RecBole", "FM-….pth"): "recbole/cat/FM-Nov-23-2026_17-13-12.pth",
    ("DeepCTR-Torch", "deepfm.h5"): "deepctr-torch/deepfm.h5",
    ("libFM", "model.txt"): "libfm/model_clf_sgd.txt",
    ("xLearn", "model.txt"): "xlearn/model.txt",
    ("xLearn", "model.out"): "xlearn/model.out",
    ("Spark MLlib", "pipeline"): "spark/pipeline_clf",
    ("Spark MLlib", "fm"): "spark/fm_clf",
    ("fastFM", "als.pkl"): "fastfm/als_clf.pkl",
    ("myFM", "vb.pkl"): "myfm/vb_clf.pkl",
}


def rows():
    """Return the rows of the table: tool, file and command; a row without a tool belongs to the one above."""
    found, tool = [], ""
    for named, file, command in ROW.findall(PAGE.read_text(encoding="utf-8")):
        tool = named.strip() or tool
        found.append((tool, file, command))
    return found


def place(source, target, *, with_others):
    """Copy a genuine file, or a folder, to the name that the guide gives it; with what lies beside it, or alone."""
    if source.is_dir():
        shutil.copytree(source, target)
        return
    if with_others:
        shutil.copytree(source.parent, target.parent, dirs_exist_ok=True)
    shutil.copy(source, target)


@pytest.mark.parametrize(("tool", "file", "command"), rows())
def test_the_table(tool, file, command, workspace, tmp_path, in_process, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = command.split()[2]
    if tool in OURS:
        shutil.copy(workspace / OURS[tool], name)
    elif tool == TABLE:
        pq.write_table(pa.table({"key": ["a", "b"], "v": [[1.0, 2.0], [3.0, 4.0]], "w": [0.5, 1.5]}), name)
    else:
        place(FILES / GENUINE[tool, name], Path(name).absolute(), with_others="beside it" in file)
    code, out, err = in_process(command)
    assert code == 0, err
    assert out.startswith(f"tool            {'own model' if tool == 'your own' else tool}\n")


def test_the_table_has_all_genuine_files():
    assert {(tool, command.split()[2]) for tool, _, command in rows() if tool not in {*OURS, TABLE}} == set(GENUINE)


def test_the_other_commands(folder, in_process):
    for path, name in {"checkpoints/tiny": "FM_tiny_cat.model", "data/tiny": "feature_*.json"}.items():
        Path(path).mkdir(parents=True)
        for source in (FILES / "fuxictr" / "tiny_cat").glob(name):
            shutil.copy(source, Path(path, source.name.replace("FM_tiny_cat", "FM_tiny")))
    in_table = {command for _, _, command in rows()} | {"fmcompress inspect FILE"}
    others = [shown.command for shown in commands(PAGE) if shown.command not in in_table]
    assert len(others) == 2
    for command in others:
        code, _, err = in_process(command)
        assert code == 0, err
