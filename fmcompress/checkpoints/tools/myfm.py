"""Models of myFM that variational inference has trained: pickles of its estimators.

predictor_   (dim, rows, task, [the only sample])
task         0 regression, 1 classification, by probit, 2 ordered categories
sample       (w0, its variance, w, its variance, V, its variance, …): float64 (rows,) and (rows, dim)

What Gibbs sampling has trained cannot be read: it is the average over many factorization machines.
"""

from fmcompress.checkpoints.checkpoint_file import CheckpointFile
from fmcompress.checkpoints.dialect import Given, agreed_fields, from_flat
from fmcompress.checkpoints.files.pickle_file import float32_array, number
from fmcompress.checkpoints.pickle.stubs import Stub
from fmcompress.checkpoints.reading_errors import damaged
from fmcompress.errors import CheckpointError
from fmcompress.fm.checkpoint import FMCheckpoint

_PACKAGE = "myfm."
_VARIATIONAL = "VariationalPredictor"
_LINKS = {0: "identity", 1: "probit"}


def recognises(file: CheckpointFile) -> bool:
    """Return whether a file is a pickle of an estimator of myFM."""
    return file.pickle.class_name.startswith(_PACKAGE)


def read(file: CheckpointFile, given: Given) -> FMCheckpoint:
    """Read a variational model of myFM; ``given.fields`` must say what its columns are.

    Raises:
        CheckpointError: it is of another kind or not trained, shapes disagree, fields are missing.
    """
    predictor = file.pickle.read_object().attributes.get("predictor_")
    if not isinstance(predictor, Stub):
        raise CheckpointError("it is not trained: it has no predictor_")
    with damaged("its predictor_ cannot be read"):
        _, _, task, samples = _state(predictor)
        if not isinstance(samples, list):
            raise TypeError("it has no samples")
        link = _link(predictor, task, len(samples))
        (sample,) = samples
        bias, _, linear, _, embeddings, *_ = _state(sample)
    w, v = float32_array("w", linear, 1), float32_array("V", embeddings, 2)
    if len(w) != len(v):
        raise CheckpointError(f"w has shape {w.shape} and V {v.shape}, expected (rows,) and (rows, dim)")
    if not v.shape[1]:
        raise CheckpointError("it has no embeddings: it is a linear model, of rank 0")
    return from_flat(agreed_fields(None, given.fields, len(w)), number("w0", bias), w, v, link=link)


def _link(predictor: Stub, task: object, samples: int) -> str:
    if not predictor.class_name.endswith(f".{_VARIATIONAL}"):
        raise CheckpointError(
            f"it was trained by Gibbs sampling, and averages the predictions of {samples:,} samples",
            hint="train a VariationalFMClassifier or a VariationalFMRegressor",
        )
    if type(task) is not int or task not in _LINKS:
        raise CheckpointError("it predicts ordered categories, expected a regression or a classification")
    return _LINKS[task]


def _state(part: object) -> tuple[object, ...]:
    state = part.state if isinstance(part, Stub) else None
    if not isinstance(state, tuple):
        raise TypeError("a part of it has no state")
    return state
