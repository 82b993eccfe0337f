"""``fmcompress inspect``: what a checkpoint holds."""

from fmcompress.errors import CheckpointError

from .options import CheckpointArgument, CheckpointGroup, FormatOption, with_groups


@with_groups
def inspect(*, checkpoint: CheckpointArgument, given: CheckpointGroup, format_: FormatOption = "text") -> None:
    """Show what a checkpoint holds: its tool, fields, sizes, link.

    It also says what the checkpoint does not tell. No code in it is run.
    """
    from fmcompress.checkpoints import load_checkpoint
    from fmcompress.checkpoints.inspection import inspect as find_out
    from fmcompress.checkpoints.model_files import container_of, is_artifact, stored_bytes
    from fmcompress.reporting.inspection import to_json, to_markdown, to_text

    arguments = given.given()
    if is_artifact(checkpoint):
        raise CheckpointError(
            f"{checkpoint.name}: it is an artifact of fmcompress, expected a checkpoint",
            hint="fmcompress report shows what is in it",
        )
    loaded = load_checkpoint(checkpoint, **arguments)
    found = find_out(loaded, stored_bytes(checkpoint), container_of(checkpoint))
    print({"text": to_text, "json": to_json, "markdown": to_markdown}[format_](found))
