"""``fmcompress demo``: the whole way on generated data."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .progress import progress_of

if TYPE_CHECKING:
    from fmcompress.evaluation.predictors import Model
    from fmcompress.progress import Progress

_FIELDS = (("user", 8000), ("item", 4000), ("city", 400), ("category", 60), ("hour", 24), ("device", 4))
_ROWS = {"train": 300_000, "valid": 40_000, "test": 40_000}
_MODELS = ("fm.pt", "ptq.safetensors", "tuned.safetensors")
_TRUE_DIM = 4
_SEED = 0
_L2, _LR = 1e-3, 3e-3
_RATIO = 20
_EPOCHS = 2

_NEXT = """
Next:
  fmcompress demo --folder demo               the same, and keep its files; docs/quickstart.md goes on from there
  fmcompress inspect fm.pt                    what a checkpoint of your own holds
  fmcompress quantize fm.pt --budget 10MB     compress it"""
_NEXT_IN_FOLDER = """
Next, in {folder} (docs/quickstart.md goes on from there):
  fmcompress quantize fm.pt --budget 20KB -o small.safetensors
  fmcompress evaluate fm.pt small.safetensors tuned.safetensors --data test.parquet"""


def demo(
    context: typer.Context,
    folder: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Keep data, checkpoint and artifacts here; else they are thrown away."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace files of FOLDER that exist.")] = False,
) -> None:
    """Show the whole way on generated data, in about a minute.

    Generates click data, trains a factorization machine, compresses it without data and with data, evaluates all
    three, and shows the report.
    """
    progress = progress_of(context)
    if folder is not None:
        _prepare(folder, force=force)
        _run(folder, progress)
        print(_NEXT_IN_FOLDER.format(folder=folder))
        return
    with tempfile.TemporaryDirectory(prefix="fmcompress-demo-") as scratch:
        _run(Path(scratch), progress)
    print(_NEXT)


def _prepare(folder: Path, *, force: bool) -> None:
    """Make the folder, and see that nothing in it is lost."""
    from fmcompress.errors import OutputError
    from fmcompress.files import check_writable

    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file, expected a folder")
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*_MODELS, *(f"{part}.parquet" for part in _ROWS)):
        check_writable(folder / name, force=force)


def _run(folder: Path, progress: Progress) -> None:
    import fmcompress as fc
    from fmcompress.backbones.training import TrainOptions, train
    from fmcompress.data.rows import open_training_rows
    from fmcompress.evaluation.deviations import auc_change_error
    from fmcompress.evaluation.scores import score_data
    from fmcompress.reporting.evaluation import EvaluatedModel, Evaluation

    data = _generate(folder, progress)
    rows, held_out = open_training_rows(data["train"], data["valid"], schema=fc.Schema.of(_FIELDS))
    trained = train(rows, held_out, TrainOptions(l2=_L2, lr=_LR), progress=progress)
    fc.save_checkpoint(trained.checkpoint, folder / "fm.pt", force=True)
    checkpoint = fc.load_checkpoint(folder / "fm.pt")
    budget = checkpoint.fp32_bytes // _RATIO
    untuned = fc.quantize(checkpoint, budget, progress=progress)
    untuned.save(folder / "ptq.safetensors", force=True)
    tuning = fc.TuneOptions(epochs=_EPOCHS, reassign=fc.ReassignOptions())
    tuned = fc.quantize(checkpoint, budget, train=data["train"], valid=data["valid"], tuning=tuning, progress=progress)
    tuned.save(folder / "tuned.safetensors", force=True)
    files: dict[str, Model] = {"fm.pt": checkpoint, "ptq.safetensors": untuned, "tuned.safetensors": tuned}
    scored = {name: score_data(model, name, data["test"]) for name, model in files.items()}
    first = scored["fm.pt"]
    models = [
        EvaluatedModel(name, (folder / name).stat().st_size, found.scores, auc_change_error(found, first))
        for name, found in scored.items()
    ]
    print(fc.report(folder / "tuned.safetensors").to_text())
    print(Evaluation(tuple(models)).to_text())


def _generate(folder: Path, progress: Progress) -> dict[str, Path]:
    from fmcompress.data.click_model import draw_clicks, random_click_model, write_rows
    from fmcompress.fm.schema import Schema

    schema = Schema.of(_FIELDS)
    model = random_click_model(schema, dim=_TRUE_DIM, seed=_SEED)
    files = {part: folder / f"{part}.parquet" for part in _ROWS}
    for number, (part, count) in enumerate(_ROWS.items()):
        write_rows(draw_clicks(model, count, seed=number + 1), schema, files[part])
    progress.note(f"generated {sum(_ROWS.values()):,} rows of {len(schema)} fields")
    return files
