"""``fmcompress export``: an artifact as a file for other runtimes."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from .options import ForceOption

Format = Literal["onnx"]


def export(
    artifact: Annotated[
        Path, typer.Argument(metavar="ARTIFACT", help="A file that quantize wrote.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="File to write.")],
    format_: Annotated[Format, typer.Option("--format", help="What it is written as.")] = "onnx",
    tokens: Annotated[
        bool, typer.Option("--tokens", help="Take strings for fields with a vocabulary, not ids: its tokens go along.")
    ] = False,
    weights: Annotated[
        bool, typer.Option("--weights", help="Take a weight for each value of fields with several values in a row.")
    ] = False,
    force: ForceOption = False,
) -> None:
    """Write ARTIFACT for another runtime.

    An ONNX file, codes packed as they are, that runtimes for ONNX score rows with. Needs the package onnx.
    """
    from fmcompress.artifact.io import read_artifact
    from fmcompress.export.onnx_file import export_onnx
    from fmcompress.files import check_apart, check_writable
    from fmcompress.sizes import format_size

    check_apart(output, [artifact])
    check_writable(output, force=force)
    model = read_artifact(artifact)
    size_bytes = export_onnx(model, output, tokens=tokens, weights=weights, force=force)
    print(f"{output} has {format_size(size_bytes)}, {size_bytes / model.file_bytes:.3g} × those of {artifact}")
