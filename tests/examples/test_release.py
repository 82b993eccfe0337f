"""The recipes for pipelines: the shell of each runs here, on an artifact that is small enough and on one too large."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

import fmcompress as fc
from fmcompress.data.click_model import draw_clicks, random_click_model, write_rows
from fmcompress.fm.schema import Schema
from fmcompress.gates.gate import GATES
from tests.conftest import SEED, console_script

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "examples" / "release"
SMALL, LARGE = "6KB", "1KB"
DOCUMENTED = re.compile(r"^\$ (fmcompress check .*)\n((?:.*\n)*?)```", re.MULTILINE)
EXPRESSION = re.compile(r"\$\{\{ inputs\.([\w-]+) \}\}")


def read(path):
    """Return what a recipe says, all of it texts: YAML takes the key "on" for true."""
    return yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)


@pytest.fixture
def project(tmp_path, files):
    """Return a folder with a checkpoint, rows, and an artifact of some 6,000 bytes."""
    for name, path in {"artifact.safetensors": files.ptq, "fm.pt": files.fm}.items():
        (tmp_path / name).write_bytes(path.read_bytes())
    pq.write_table(pq.read_table(files.test).slice(0, 500), tmp_path / "test.parquet")
    return tmp_path


def bash(folder, script, **env):
    """Run a script as continuous integration does: the first command that fails ends it."""
    path = os.pathsep.join([str(Path(console_script()).parent), str(Path(sys.executable).parent), os.environ["PATH"]])
    home = {"PATH": path, "HOME": str(folder), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    argv = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    return subprocess.run(argv, cwd=folder, env={**home, **env}, capture_output=True, text=True, check=False)


def act(folder, **inputs):
    """Run the gate of the GitHub Action, and return the process and the summary of the job."""
    action = read(ROOT / "action.yml")
    inputs = {name.replace("_", "-"): value for name, value in inputs.items()}
    assert set(inputs) <= set(action["inputs"])
    values = {name: inputs.get(name, told.get("default", "")) for name, told in action["inputs"].items()}
    step = action["runs"]["steps"][-1]
    env = {name: EXPRESSION.sub(lambda found: values[found[1]], text) for name, text in step["env"].items()}
    summary = folder / "step_summary"
    summary.touch()
    done = bash(folder, step["run"], GITHUB_STEP_SUMMARY=str(summary), **env)
    return done, summary.read_text()


def test_action_passes(project):
    done, summary = act(project, artifact="artifact.safetensors\n", max_size=SMALL)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("::notice title=max-size%3A pass::artifact.safetensors: 5.")
    assert summary.startswith("## Release check: 1 of 1 passed\n")


def test_action_fails(project):
    done, summary = act(project, artifact="artifact.safetensors", max_size=LARGE)
    assert done.returncode == 1
    assert done.stdout.startswith("::error title=max-size%3A FAIL::artifact.safetensors: 5.")
    assert "❌ FAIL" in summary
    done, summary = act(project, artifact="artifact.safetensors", max_size=LARGE, exit_zero="true")
    assert done.returncode == 0
    assert "❌ FAIL" in summary


def test_action_cannot_judge(project):
    done, summary = act(project, artifact="artifact.safetensors\nnone.safetensors", max_size=LARGE)
    assert done.returncode == 2
    assert "❔ not judged" in summary
    assert act(project, artifact="", max_size=LARGE)[0].returncode == 2
    assert act(project, artifact="artifact.safetensors")[0].returncode == 2


def test_action_takes_all_limits(project):
    done, summary = act(
        project, artifact="artifact.safetensors", max_size=SMALL, baseline="fm.pt", max_growth="0%",
        data="test.parquet", min_auc="0.5", max_auc_drop="0.5", max_logloss_rise="100%", label="label", oov="zero",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert summary.count("✅ pass") == 5


def test_each_limit_is_an_input_of_the_action():
    action = read(ROOT / "action.yml")
    gate = action["runs"]["steps"][-1]
    assert {gate.name for gate in GATES} <= set(action["inputs"])
    used = set(EXPRESSION.findall(" ".join(gate["env"].values())))
    assert used == set(action["inputs"]) - {"install"}
    for name in used - {"artifact", "exit-zero"}:
        assert f'add --{name} "${name.upper().replace("-", "_")}"\n' in gate["run"]


def test_no_input_gets_into_the_shell(project):
    assert all("${{" not in step["run"] for step in read(ROOT / "action.yml")["runs"]["steps"])
    evil = '$(touch evil)`touch evil`"; touch evil; "--exit-zero'
    done, _ = act(project, artifact=f"artifact.safetensors\n{evil}", max_size=LARGE)
    assert done.returncode == 2
    assert evil in done.stdout
    assert not (project / "evil").exists()
    assert act(project, artifact="artifact.safetensors", max_size="--exit-zero")[0].returncode == 2


def test_workflow_for_github(project):
    (job,) = read(RECIPES / "github.yml")["jobs"].values()
    *_, compress, check = job["steps"]
    (project / "artifact.safetensors").unlink()
    assert bash(project, compress["run"].replace("10MB", SMALL)).returncode == 0
    given = {name.replace("-", "_"): value for name, value in check["with"].items()}
    done, summary = act(project, **given | {"max_auc_drop": "0.5", "max_logloss_rise": "100%"})
    assert done.returncode == 0, done.stderr
    assert summary.startswith("## Release check: 3 of 3 passed\n")
    assert act(project, artifact=given["artifact"], max_size=LARGE)[0].returncode == 1


@pytest.mark.parametrize(("limit", "code", "verdict"), [(SMALL, 0, "✅ pass"), (LARGE, 1, "❌ FAIL")])
def test_job_for_gitlab(project, limit, code, verdict):
    job = read(RECIPES / "gitlab-ci.yml")["check-model"]
    variables = job["variables"] | {"MAX_SIZE": limit}
    done = bash(project, "\n".join(job["script"]), **variables)
    assert done.returncode == code
    assert done.stderr.count("\n") == code
    after = bash(project, "\n".join(job["after_script"]), **variables)
    assert verdict in after.stdout
    assert json.loads((project / "check.json").read_text())["passed"] is (code == 0)
    size = (project / "artifact.safetensors").stat().st_size
    assert (project / job["artifacts"]["reports"]["metrics"]).read_text() == f"fmcompress_file_bytes {size}\n"
    assert all((project / path).exists() for path in job["artifacts"]["paths"])


@pytest.mark.parametrize(("limit", "code"), [(SMALL, 0), (LARGE, 1)])
def test_pre_commit_hook(project, limit, code):
    (hook,) = read(ROOT / ".pre-commit-hooks.yaml")
    ((used,),) = (repo["hooks"] for repo in read(RECIPES / ".pre-commit-config.yaml")["repos"])
    assert used["id"] == hook["id"]
    (project / "artifact.safetensors").rename(project / "-model.fmc.safetensors")
    names = sorted(path.name for path in project.iterdir() if re.search(hook["files"], path.name))
    assert names == ["-model.fmc.safetensors"]
    args = [arg.replace("10MB", limit) for arg in used["args"]]
    done = bash(project, " ".join([hook["entry"], *args, *names]))
    assert done.returncode == code, done.stderr


@pytest.mark.parametrize(("limit", "code"), [(SMALL, 0), (LARGE, 1)])
def test_stages_of_dvc(project, limit, code):
    parameters = read(RECIPES / "params.yaml") | {"budget": SMALL, "max_size": limit}
    stages = read(RECIPES / "dvc.yaml")["stages"]
    codes = []
    for stage in stages.values():
        assert all((project / path).exists() for path in stage["deps"])
        assert set(stage.get("params", [])) <= set(parameters)
        done = bash(project, re.sub(r"\$\{(\w+)\}", lambda found: parameters[found[1]], stage["cmd"]))
        codes.append(done.returncode)
        for out in [*stage.get("outs", []), *stage.get("metrics", [])]:
            assert (project / (out if isinstance(out, str) else next(iter(out)))).exists()
    assert codes == [0, 0, code]
    assert json.loads((project / "report.json").read_text())["file_bytes"] <= 6000


def masked(text):
    """Return a text without what another version of the quantizer may change: figures, and the widths they make."""
    return re.sub(r"[\d.,]+", "9", re.sub(r" +|-+", " ", text))


def test_the_guide_shows_what_the_command_says(tmp_path):
    schema = Schema.of((("user", 300), ("item", 200), ("hour", 24)))
    clicks = random_click_model(schema, dim=8, seed=SEED)
    model = fc.FMCheckpoint(schema, clicks.bias, clicks.linear, clicks.embeddings)
    fc.quantize(model, "5KB").save(tmp_path / "artifact.safetensors")
    fc.quantize(model, 4500).save(tmp_path / "old.safetensors")
    write_rows(draw_clicks(clicks, 3000, seed=1), schema, tmp_path / "test.parquet")
    (command, shown), *_ = DOCUMENTED.findall((ROOT / "docs" / "ci.md").read_text(encoding="utf-8"))
    done = bash(tmp_path, command)
    assert done.returncode == 1
    assert masked(done.stdout + done.stderr) == masked(shown)


def test_the_guide_knows_each_limit_and_each_recipe():
    text = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    assert all(f"`--{gate.name} " in text for gate in GATES)
    linked = {ROOT / "docs" / path for path in re.findall(r"\]\((\.\./[^)#]+)\)", text)}
    assert all(path.exists() for path in linked)
    recipes = {path.name for path in RECIPES.iterdir()} - {"README.md", "params.yaml"}
    assert recipes <= {path.name for path in linked}
