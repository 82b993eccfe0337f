"""Which of the weights in a file are the model: behind which prefix, under which key, and by which dialect."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

from fmcompress.checkpoints.checkpoint_file import CheckpointFile
from fmcompress.checkpoints.dialect import Dialect, Given
from fmcompress.checkpoints.files.prefixes import spellings, views
from fmcompress.checkpoints.files.state_dict import Part, keys_of
from fmcompress.checkpoints.reading_errors import listed, listed_all, quoted
from fmcompress.errors import CheckpointError

_LABEL = "fmcompress"
_MOST_NAMED = 100


def choose(file: CheckpointFile, given: Given, dialects: Sequence[Dialect]) -> tuple[Dialect, CheckpointFile] | None:
    """Return the dialect that recognises a file, and the file with a view of what it recognised; None where none does.

    Args:
        file: the file.
        given: what the caller says about it, such as the key of the weights.
        dialects: those to try, in this order.

    Raises:
        CheckpointError: it holds several models, or weights beside the model; it is damaged; there is nothing under the
            key that is given.
    """
    if given.key is None and not file.parts:
        return next(((dialect, file) for dialect in dialects if dialect.recognises(file)), None)
    parts = [file.part(given.key)] if given.key is not None else file.parts
    found = [match for part in parts for match in _matches(file, part, dialects)]
    if not found and given.key is None and file.whole is not None and [file.whole] != parts:
        found = list(_matches(file, file.whole, dialects))
    if len(found) > 1:
        names = [view.view.name for _, view in found if view.view is not None]
        raise CheckpointError(
            f"it holds {len(found)} models, under {listed_all(names)}", hint=f"choose one: --key {quoted(names[0])}"
        )
    if not found:
        return None
    dialect, chosen = found[0]
    _check(chosen, given)
    return dialect, chosen


def only_view(file: CheckpointFile, given: Given) -> CheckpointFile:
    """Return a file with the view of all its weights, where they are in one place.

    Raises:
        CheckpointError: they are in several places, or there are none.
    """
    parts = [file.part(given.key)] if given.key is not None else file.parts
    if len(parts) > 1:
        names = [part.name for part in parts]
        raise CheckpointError(
            f"it has weights under {listed_all(names)}, and none of them has the keys that --map names",
            hint=f"choose one: --key {quoted(names[0])}; then --map names keys inside of it",
        )
    if not parts:
        has = keys_of(file.root)
        raise CheckpointError("it holds no tensors" + (f", only {listed_all(has)}" if has else ""))
    return file.looking_at(next(views(parts[0])))


def what_else(file: CheckpointFile, given: Given) -> tuple[str, ...]:
    """Return the names of what else a file holds: keys at its top, losses and measures beside the weights.

    Args:
        file: the file, with the weights that were chosen.
        given: what the caller says about it, such as keys that are part of the model.
    """
    view = file.view
    if view is None:
        return ()
    top = [key for key in keys_of(file.root) if key != _LABEL]
    if view.part.name:
        top = [key for key in top if view.part.name != key and not view.part.name.startswith(f"{key}.")]
    else:
        own = {*view.part.tensors, *(given.keys or {}).values()}
        own |= {key.partition(".")[0] for key in own}
        top = [key for key in top if key not in own]
    return (*top, *view.measures)[:_MOST_NAMED]


def _matches(file: CheckpointFile, part: Part, dialects: Iterable[Dialect]) -> Iterator[tuple[Dialect, CheckpointFile]]:
    """Yield what is recognised in a part, with the shortest prefixes, in the plainest spelling of the keys."""
    for spelled in spellings(part):
        prefixes: list[str] = []
        for view in views(spelled):
            if view.prefix.startswith(tuple(prefixes)):
                continue
            looked = file.looking_at(view)
            dialect = next((each for each in dialects if each.recognises(looked)), None)
            if dialect is not None:
                prefixes.append(view.prefix)
                yield dialect, looked
        if prefixes:
            return


def _check(chosen: CheckpointFile, given: Given) -> None:
    """Check that no weights lie beside those that are chosen, and that these are not the same ones again and again."""
    view = chosen.view
    if view is None or chosen.tensor_file is None:
        return
    ignored = (given.keys or {}).get("ignore", "").split(",")
    beside = [key for key in view.beside if not any(fnmatchcase(key, pattern) for pattern in ignored)]
    if beside:
        raise CheckpointError(
            f"it is no factorization machine: beside {listed([view.prefix[:-1]])} it also holds {listed_all(beside)}",
            hint=f"if they are no part of the model, pass --key {quoted(view.name)}",
        )
    numbers = sum(math.prod(tensor.shape) for tensor in view.inside.tensors.values())
    if numbers > chosen.tensor_file.most_numbers:
        raise CheckpointError("it has far more numbers than bytes: its tensors are the same ones again and again")
