"""Turn Kaggle's Criteo or Avazu text into the Parquet that fmcompress reads, as the paper does.

python examples/paper/prepare.py criteo train.txt -o DATA/criteo
python examples/paper/prepare.py avazu train.gz -o DATA/avazu
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import Annotated, Optional

import typer
from fmcompress_cli.exits import exit_code_of
from fmcompress_cli.options import ForceOption
from raw_text import FORMATS, RawFormat, read_tables
from splits import split_paths, write_splits
from vocabulary import Vocabulary, count_values

from fmcompress.errors import DataError
from fmcompress.files import check_writable, replacing

FIELDS_FILE = "fields.json"

DataSet = Enum("DataSet", {name.upper(): name for name in FORMATS})  # type: ignore[misc]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def prepare(
    data_set: Annotated[DataSet, typer.Argument(metavar="DATASET", help="criteo or avazu.", show_default=False)],
    text: Annotated[Path, typer.Argument(metavar="TEXT", help="Kaggle's train.txt or train.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder to write to.")],
    min_count: Annotated[
        Optional[int],  # noqa: UP045 -- typer reads it on Python 3.10 too
        typer.Option("--min-count", metavar="N", min=1, help="Rows of a category. Default: criteo 10, avazu 4."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Of the split.")] = 0,
    force: ForceOption = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")] = False,
) -> None:
    """Write train.parquet, valid.parquet, test.parquet and fields.json: category ids, split 80/10/10 at random."""
    raw = FORMATS[data_set.value]
    least = raw.min_count if min_count is None else min_count
    _check_folder(output, force=force)

    counts, rows = count_values(read_tables(text, raw), raw.fields)
    if not rows:
        raise DataError(f"{text}: holds no rows")
    vocabularies = {name: counts.pop(name).vocabulary(least) for name in raw.fields}
    _tell_categories(rows, raw, vocabularies)

    with _folder(output), replacing(output / FIELDS_FILE, force=force) as file:
        written = write_splits(read_tables(text, raw), vocabularies, output, seed=seed, force=force)
        cardinalities = {name: vocabulary.cardinality for name, vocabulary in vocabularies.items()}
        description = {"data": raw.name, "min_count": least, "seed": seed, "rows": written}
        file.write((json.dumps({**description, "cardinalities": cardinalities}, indent=2) + "\n").encode())
    print(f"{output}: " + ", ".join(f"{split} {size:,} rows" for split, size in written.items()))


def main(args: Sequence[str]) -> int:
    """Run with these arguments and return the exit code; an error is one line on standard error."""
    code: int = exit_code_of(lambda: app(list(args), standalone_mode=False), debug="--debug" in args)
    return code


def _check_folder(folder: Path, *, force: bool) -> None:
    """Raise OutputError now rather than after the first pass."""
    if not folder.is_dir():
        check_writable(folder)
        return
    for path in (*split_paths(folder).values(), folder / FIELDS_FILE):
        check_writable(path, force=force)


def _tell_categories(rows: int, raw: RawFormat, vocabularies: Mapping[str, Vocabulary]) -> None:
    found = [vocabulary.cardinality for vocabulary in vocabularies.values()]
    same = sum(mine == paper for mine, paper in zip(found, raw.paper_cardinalities, strict=True))
    print(
        f"{rows:,} rows, {sum(found):,} categories (the paper's {raw.name}: {sum(raw.paper_cardinalities):,}); "
        f"{same} of {len(found)} fields are of the paper's size",
        flush=True,
    )


@contextmanager
def _folder(path: Path) -> Iterator[None]:
    """Make a folder, which is taken away after an error unless it was there before."""
    there = path.is_dir()
    path.mkdir(exist_ok=True)
    try:
        yield
    except BaseException:
        if not there:
            with suppress(OSError):
                path.rmdir()
        raise


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
